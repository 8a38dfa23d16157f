// The classes of all identities, by number: numbers are dense, so this is two plain lists.

/// Classes by identity number.
///
/// Compared, copied and written a hundred thousand at a time.
package struct ClassTable: Sendable, Equatable {
  // The last row of either list is never nil, so that equal tables have equal lists.
  private var allotted: [Classes?] = []
  private var externals: [Classes?] = []
  /// How many identities have classes.
  package private(set) var count = 0

  /// No identities.
  package init() {}

  /// The classes of a number; nil = it has none.
  package subscript(number: IdentityNumber) -> Classes? {
    get {
      let (row, isExternal) = ClassTable.place(of: number)
      if isExternal { return row < externals.count ? externals[row] : nil }
      return row < allotted.count ? allotted[row] : nil
    }
    set {
      let (row, isExternal) = ClassTable.place(of: number)
      if isExternal {
        count += ClassTable.set(newValue, at: row, in: &externals)
      } else {
        count += ClassTable.set(newValue, at: row, in: &allotted)
      }
    }
  }

  /// All classes, in the order of their numbers.
  package var values: [Classes] { map(\.value) }

  private static func place(of number: IdentityNumber) -> (row: Int, isExternal: Bool) {
    number < .firstExternal
      ? (Int(number.rawValue), false) : (Int(number.rawValue - IdentityNumber.firstExternal.rawValue), true)
  }

  /// Returns by how many the table grew.
  private static func set(_ classes: Classes?, at row: Int, in rows: inout [Classes?]) -> Int {
    if row >= rows.count {
      guard classes != nil else { return 0 }
      rows.append(contentsOf: repeatElement(nil, count: row + 1 - rows.count))
    }
    let grown = (classes == nil ? 0 : 1) - (rows[row] == nil ? 0 : 1)
    rows[row] = classes
    while let last = rows.last, last == nil { rows.removeLast() }
    return grown
  }

  /// What turns `former` into this table, in the order of the numbers; nil = the number loses its classes.
  package func changes(from former: ClassTable) -> [(key: IdentityNumber, value: Classes?)] {
    var changes: [(key: IdentityNumber, value: Classes?)] = []
    func compare(_ rows: [Classes?], _ formerRows: [Classes?], _ first: UInt32) {
      let shared = Swift.min(rows.count, formerRows.count)
      for row in 0..<shared where rows[row] != formerRows[row] {
        changes.append((IdentityNumber(rawValue: first + UInt32(row)), rows[row]))
      }
      for row in shared..<rows.count where rows[row] != nil {
        changes.append((IdentityNumber(rawValue: first + UInt32(row)), rows[row]))
      }
      for row in shared..<Swift.max(shared, formerRows.count) where formerRows[row] != nil {
        changes.append((IdentityNumber(rawValue: first + UInt32(row)), nil))
      }
    }
    compare(allotted, former.allotted, 0)
    compare(externals, former.externals, IdentityNumber.firstExternal.rawValue)
    return changes
  }
}

extension ClassTable: Sequence {
  /// Walks the identities that have classes, in the order of their numbers.
  package struct Iterator: IteratorProtocol {
    private let table: ClassTable
    private var row = 0

    init(_ table: ClassTable) { self.table = table }

    /// The next identity, nil after the last.
    package mutating func next() -> (key: IdentityNumber, value: Classes)? {
      while row < table.allotted.count + table.externals.count {
        defer { row += 1 }
        if row < table.allotted.count {
          if let classes = table.allotted[row] { return (IdentityNumber(rawValue: UInt32(row)), classes) }
        } else if let classes = table.externals[row - table.allotted.count] {
          let number = IdentityNumber.firstExternal.rawValue + UInt32(row - table.allotted.count)
          return (IdentityNumber(rawValue: number), classes)
        }
      }
      return nil
    }
  }

  /// Begins a walk.
  package func makeIterator() -> Iterator { Iterator(self) }
}
