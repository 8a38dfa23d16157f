// Results as a file.

internal import FoundationEssentials

/// A file that holds no results of this format.
package struct ResultsError: Error, Equatable, CustomStringConvertible {
  /// What it was to be.
  package let file: String
  /// What is wrong with it.
  package let reason: String
  /// For people.
  package var description: String { "read results \(file): \(reason)" }

  package init(file: String, reason: String) {
    self.file = file
    self.reason = reason
  }
}

extension Results {
  /// As JSON; numbers are cut to what a measurement can mean.
  package func json() throws(ResultsError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    do { return [UInt8](try encoder.encode(rounded)) + [0x0a] } catch {
      throw ResultsError(file: "to be written", reason: "\(error)")
    }
  }

  /// Reads what `json()` wrote; `file` is for the error.
  package init(json: [UInt8], file: String) throws(ResultsError) {
    struct Version: Decodable { var format: Int }
    do {
      let data = Data(json)
      let version = try JSONDecoder().decode(Version.self, from: data).format
      guard version == Self.currentFormat else {
        throw ResultsError(
          file: file, reason: "it has format \(version), this program reads \(Self.currentFormat): measure again")
      }
      self = try JSONDecoder().decode(Results.self, from: data)
    } catch let error as ResultsError { throw error } catch {
      throw ResultsError(file: file, reason: "it is not what `sallyport-bench run --out` writes: \(error)")
    }
  }

  /// With a tenth of a nanosecond as the last digit, and a thousandth of anything else.
  private var rounded: Results {
    func cut(_ value: Double, _ scale: Double) -> Double { (value * scale).rounded() / scale }
    func cut(_ batches: Batches) -> Batches { batches.map { $0.map { cut($0, 10) } } }
    var copy = self
    copy.measurements = measurements.map {
      var one = $0
      (one.wall, one.cpu, one.instructions) = (cut(one.wall), cut(one.cpu), cut(one.instructions))
      return one
    }
    copy.programs = programs.map {
      var one = $0
      one.nanoseconds = cut(one.nanoseconds)
      one.runsPerUnit = cut(one.runsPerUnit, 1000)
      return one
    }
    copy.quantities = quantities.map { Quantity($0.name, unit: $0.unit, $0.values.map { cut($0, 1000) }) }
    return copy
  }
}
