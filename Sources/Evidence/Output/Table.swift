// Aligned columns in plain ASCII: how every noun of the command line shows rows.

/// Rows under titles, as wide as the terminal allows.
package struct Table: Sendable {
  /// One column.
  package struct Column: Sendable {
    /// What stands above it.
    package let title: String
    /// Numbers go right.
    package let isRightAligned: Bool
    /// How narrow it may get when the terminal is; nil = never narrower than its cells.
    package let minimum: Int?

    /// A column of text or of numbers (right-aligned) that shrinks to `minimum` characters if it must.
    package init(_ title: String, rightAligned: Bool = false, minimum: Int? = nil) {
      self.title = title
      self.isRightAligned = rightAligned
      self.minimum = minimum
    }
  }

  /// The columns, from left to right.
  package let columns: [Column]
  private var rows: [[String]] = []

  /// An empty table.
  package init(columns: [Column]) { self.columns = columns }

  /// How many rows there are.
  package var count: Int { rows.count }

  /// Adds a row; missing cells are shown as `-`, surplus ones are dropped.
  package mutating func add(_ cells: [String]) {
    rows.append(
      columns.indices.map { index in
        let cell = index < cells.count ? cells[index].shownSafely : ""
        return cell.isEmpty ? "-" : cell
      })
  }

  /// The table as lines, each ended by a newline, none wider than `width` if the columns' minima allow.
  package func text(width: Int? = nil) -> String {
    let widths = widths(fitting: width)
    var result = Table.line(columns.map(\.title), columns, widths)
    for row in rows { result += Table.line(row, columns, widths) }
    return result
  }

  private func widths(fitting width: Int?) -> [Int] {
    var widths = columns.indices.map { index in
      rows.reduce(columns[index].title.columnWidth) { max($0, $1[index].columnWidth) }
    }
    guard let width else { return widths }
    var excess = widths.reduce(0, +) + 2 * max(widths.count - 1, 0) - width
    while excess > 0 {
      // Take from the widest of those that may shrink, so that short cells stay whole.
      let candidates = columns.indices.filter { index in
        columns[index].minimum.map { widths[index] > max($0, 1) } ?? false
      }
      guard let widest = candidates.max(by: { widths[$0] < widths[$1] }) else { break }
      widths[widest] -= 1
      excess -= 1
    }
    return widths
  }

  /// One line of cells cut or padded to the widths.
  static func line(_ cells: [String], _ columns: [Column], _ widths: [Int]) -> String {
    var result = ""
    for (index, cell) in cells.enumerated() {
      let fitted = cell.cut(to: widths[index])
      let padding = String(repeating: " ", count: max(widths[index] - fitted.columnWidth, 0))
      if index > 0 { result += "  " }
      result += columns[index].isRightAligned ? padding + fitted : fitted + padding
    }
    while result.last == " " { result.removeLast() }
    return result + "\n"
  }
}

extension String {
  /// How many columns of a terminal this takes.
  var columnWidth: Int { unicodeScalars.reduce(0) { $0 + $1.columnWidth } }

  /// The beginning of this text in at most `width` columns; a cut is marked with `~`.
  func cut(to width: Int) -> String {
    guard columnWidth > width else { return self }
    var result = ""
    var used = 0
    for scalar in unicodeScalars {
      if used + scalar.columnWidth > width - 1 { break }
      result.unicodeScalars.append(scalar)
      used += scalar.columnWidth
    }
    return width > 0 ? result + "~" : ""
  }
}

extension Unicode.Scalar {
  fileprivate var columnWidth: Int {
    switch value {
    case 0..<0x300: 1
    case 0x300...0x36f, 0x200b...0x200d, 0xfe00...0xfe0f: 0  // combining marks, joiners, variation selectors
    case 0x1100...0x115f, 0x2e80...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f, 0xff00...0xff60: 2
    case 0x1f300...0x1faff, 0x20000...0x3fffd: 2
    default: 1
    }
  }
}
