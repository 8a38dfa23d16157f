// What a run found, as a table for people or JSON for programs.

internal import ArgumentParser

/// How a report is printed.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
  case table, json
}

/// One thing in a table.
enum Field: Sendable {
  case text(String)
  /// A number with so many digits after the point.
  case number(Double, Int)
  case none

  static func number(_ value: Double?, digits: Int) -> Field { value.map { .number($0, digits) } ?? .none }
  static func count(_ value: Int) -> Field { .number(Double(value), 0) }

  var shown: String {
    switch self {
    case .text(let text): text
    case .number(let value, let digits): value.fixed(digits)
    case .none: "-"
    }
  }

  var json: String {
    switch self {
    case .text(let text): text.jsonQuoted
    case .number(let value, let digits): value.isFinite ? value.fixed(digits) : "null"
    case .none: "null"
    }
  }

  var isText: Bool { if case .text = self { true } else { false } }
}

/// A table with a name.
struct ReportTable: Sendable {
  let name: String
  /// Names with their units.
  let columns: [String]
  var rows: [[Field]] = []

  init(_ name: String, columns: [String], rows: [[Field]] = []) {
    self.name = name
    self.columns = columns
    self.rows = rows
  }

  var shown: String {
    let texts = [columns] + rows.map { $0.map(\.shown) }
    let widths = columns.indices.map { column in
      texts.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    let lines = texts.enumerated().map { number, texts in
      texts.enumerated().map { column, text in
        let isLeft = column == 0 || (number > 0 && rows[number - 1][column].isText)
        let blanks = String(repeating: " ", count: widths[column] - text.count)
        return isLeft ? text + blanks : blanks + text
      }.joined(separator: "  ").trimmed
    }
    return "\n\(name)\n" + lines.map { "  \($0)\n" }.joined()
  }

  var json: String {
    let rows = rows.map { row in
      "{" + zip(columns, row).map { "\($0.jsonQuoted):\($1.json)" }.joined(separator: ",") + "}"
    }
    return "{\"name\":\(name.jsonQuoted),\"rows\":[\(rows.joined(separator: ","))]}"
  }
}

/// Everything that one run found.
struct Report: Sendable {
  let benchmark: String
  let facts: MachineFacts
  var settings: [(String, String)] = []
  var tables: [ReportTable] = []
  var notes: [String] = []

  init(_ benchmark: String, settings: [(String, String)]) {
    self.benchmark = benchmark
    self.settings = settings
    facts = .read()
  }

  /// Writes to standard output.
  func print(_ format: OutputFormat) {
    switch format {
    case .table:
      var text = "sallyport-bench \(benchmark)\n"
      for (key, value) in facts.fields + settings { text += "  \(key): \(value)\n" }
      text += tables.map(\.shown).joined()
      if !notes.isEmpty { text += "\n" + notes.map { "note: \($0)\n" }.joined() }
      Swift.print(text, terminator: "")
    case .json:
      func object(_ fields: [(String, String)]) -> String {
        "{" + fields.map { "\($0.jsonQuoted):\($1.jsonQuoted)" }.joined(separator: ",") + "}"
      }
      Swift.print(
        "{\"benchmark\":\(benchmark.jsonQuoted),\"machine\":\(object(facts.fields)),\"settings\":\(object(settings)),"
          + "\"tables\":[\(tables.map(\.json).joined(separator: ","))],"
          + "\"notes\":[\(notes.map(\.jsonQuoted).joined(separator: ","))]}")
    }
  }
}

extension String {
  /// As JSON writes it.
  var jsonQuoted: String {
    var out = "\""
    for scalar in unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }
}

extension Double {
  /// With exactly so many digits after the point.
  func fixed(_ digits: Int) -> String {
    guard isFinite, magnitude < 1e15 else { return "\(self)" }
    let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
    let scaled = Int64((magnitude * scale).rounded())
    let sign = self < 0 && scaled != 0 ? "-" : ""
    guard digits > 0 else { return "\(sign)\(scaled)" }
    let fraction = String(scaled % Int64(scale))
    return "\(sign)\(scaled / Int64(scale)).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
  }
}
