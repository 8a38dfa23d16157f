// Rows by identity number, in blocks: looking one up is two steps, and a copy that is changed copies one block.

internal import Policy

/// What is known by a dense identity number.
struct NumberedRows<Row: Sendable>: Sendable {
  private static var width: Int { 256 }
  private var blocks: [[Row?]] = []

  /// The row of a number.
  subscript(number: IdentityNumber) -> Row? {
    get {
      let (block, row) = Self.place(of: number)
      return block < blocks.count ? blocks[block][row] : nil
    }
    _modify {
      let (block, row) = Self.place(of: number)
      while block >= blocks.count { blocks.append(Array(repeating: nil, count: Self.width)) }
      yield &blocks[block][row]
    }
  }

  /// Walks the rows in the order of their numbers.
  func forEach<Failure>(_ body: (IdentityNumber, Row) throws(Failure) -> Void) throws(Failure) {
    for (index, block) in blocks.enumerated() {
      for (row, value) in block.enumerated() {
        if let value { try body(IdentityNumber(rawValue: UInt32(index * Self.width + row)), value) }
      }
    }
  }

  private static func place(of number: IdentityNumber) -> (Int, Int) {
    Int(number.rawValue).quotientAndRemainder(dividingBy: width)
  }
}
