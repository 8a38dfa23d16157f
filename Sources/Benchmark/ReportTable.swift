// Tables of figures, for people, programs and documents.

/// One thing in a table.
package enum Field: Sendable, Equatable {
  /// Words.
  case text(String)
  /// A number with so many digits after the point.
  case number(Double, Int)
  /// Nothing to say.
  case none

  /// A number, or nothing.
  package static func number(_ value: Double?, digits: Int) -> Field { value.map { .number($0, digits) } ?? .none }
  /// A whole number.
  package static func count(_ value: Int) -> Field { .number(Double(value), 0) }

  /// As people read it.
  package var shown: String {
    switch self {
    case .text(let text): text
    case .number(let value, let digits): value.fixed(digits)
    case .none: "-"
    }
  }

  /// As JSON.
  package var json: String {
    switch self {
    case .text(let text): text.jsonQuoted
    case .number(let value, let digits): value.isFinite ? value.fixed(digits) : "null"
    case .none: "null"
    }
  }

  var isText: Bool { if case .text = self { true } else { false } }
}

/// A table with a name.
package struct ReportTable: Sendable, Equatable {
  /// What it is about.
  package let name: String
  /// Names with their units.
  package let columns: [String]
  /// One field for each column.
  package var rows: [[Field]]

  /// A table; rows may come later.
  package init(_ name: String, columns: [String], rows: [[Field]] = []) {
    self.name = name
    self.columns = columns
    self.rows = rows
  }

  /// In columns, for a terminal.
  package var shown: String {
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

  /// As JSON: an object per row, keyed by column.
  package var json: String {
    let rows = rows.map { row in
      "{" + zip(columns, row).map { "\($0.jsonQuoted):\($1.json)" }.joined(separator: ",") + "}"
    }
    return "{\"name\":\(name.jsonQuoted),\"rows\":[\(rows.joined(separator: ","))]}"
  }
}

extension ReportTable {
  /// As Markdown.
  package var markdown: String {
    func line(_ cells: [String]) -> String {
      "| " + cells.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |\n"
    }
    let isRight = columns.indices.map { column in
      column > 0 && rows.contains { column < $0.count && !$0[column].isText && $0[column] != .none }
    }
    return line(columns) + "|" + isRight.map { $0 ? "---:|" : "---|" }.joined() + "\n"
      + rows.map { line($0.map(\.shown)) }.joined()
  }

  /// As comma-separated values (RFC 4180), the table's name in the first column of every row.
  package var csv: String {
    func quoted(_ text: String) -> String {
      text.contains { [",", "\"", "\n"].contains($0) } ? "\"" + text.replacing("\"", with: "\"\"") + "\"" : text
    }
    let lines = [["table"] + columns] + rows.map { [name] + $0.map(\.shown) }
    return lines.map { $0.map(quoted).joined(separator: ",") + "\n" }.joined()
  }
}

extension String {
  /// As JSON writes it.
  package var jsonQuoted: String {
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
  package func fixed(_ digits: Int) -> String {
    guard isFinite, magnitude < 1e15 else { return "\(self)" }
    let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
    let scaled = Int64((magnitude * scale).rounded())
    let sign = self < 0 && scaled != 0 ? "-" : ""
    guard digits > 0 else { return "\(sign)\(scaled)" }
    let fraction = String(scaled % Int64(scale))
    return "\(sign)\(scaled / Int64(scale)).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
  }
}

extension String {
  /// Without blanks and line ends on either side.
  package var trimmed: String {
    let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\n" }
    return String(reversed().drop(while: isBlank).reversed().drop(while: isBlank))
  }
}
