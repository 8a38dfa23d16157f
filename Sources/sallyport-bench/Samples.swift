// Many measurements of one thing, and what may be said of them.

/// Measurements in one unit.
struct Samples: Sendable {
  private var sorted: [Double]

  /// Takes measurements in any order.
  init(_ values: [Double]) { sorted = values.sorted() }

  var count: Int { sorted.count }
  var minimum: Double? { sorted.first }
  var median: Double? { quantile(0.5) }
  /// The middle half lies between these two.
  var lowerQuartile: Double? { quantile(0.25) }
  var upperQuartile: Double? { quantile(0.75) }

  /// The value below which this share lies; between two measurements it is interpolated.
  func quantile(_ share: Double) -> Double? {
    guard let last = sorted.last else { return nil }
    let position = share * Double(sorted.count - 1)
    let index = Int(position)
    guard index + 1 < sorted.count else { return last }
    return sorted[index] + (sorted[index + 1] - sorted[index]) * (position - Double(index))
  }
}
