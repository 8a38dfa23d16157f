// Do sorted and dense tables hold what they were given, and are their differences whole?

import Testing

@testable import Policy

@Suite struct TableTests {
  private func key(_ number: Int) -> CellKey {
    CellKey(
      direction: number % 2 == 0 ? .outgoing : .incoming, subject: UInt32(number / 2 % 5),
      peer: UInt32(number / 10 % 7), portClass: UInt16(number / 70))
  }

  private func cell(_ rule: Int) -> Cell {
    Cell(action: .allow, rule: UInt32(rule), observedAction: nil, observedRule: 0, log: false)
  }

  @Test("cells are as a dictionary would hold them, in the order of their keys")
  func cells() {
    var generator = SystemRandomNumberGenerator()
    var table = CellTable()
    var model: [CellKey: Cell] = [:]
    for step in 0..<2000 {
      let key = key(Int.random(in: 0..<300, using: &generator))
      let value = Bool.random() ? cell(step) : nil
      table[key] = value
      model[key] = value
      #expect(table[key] == value)
    }
    #expect(table.keys == model.keys.sorted())
    #expect(table.values == table.keys.map { model[$0] })
    #expect(table == CellTable(model.map { ($0.key, $0.value) }.shuffled()))
  }

  @Test("the changes of cells turn the former table into the new one, and name nothing that stays")
  func cellChanges() {
    for _ in 0..<200 {
      let numbers = (0..<40).map { _ in (Int.random(in: 0..<60), Int.random(in: 0..<3)) }
      func table(_ part: ArraySlice<(Int, Int)>) -> CellTable {
        CellTable(Dictionary(part.map { (key($0), cell($1)) }, uniquingKeysWith: { $1 }).map { ($0.key, $0.value) })
      }
      let (former, wanted) = (table(numbers[..<25]), table(numbers[15...]))
      let changes = wanted.changes(from: former)
      var result = former
      for key in changes.gone {
        #expect(former[key] != nil && wanted[key] == nil)
        result[key] = nil
      }
      for (key, cell) in changes.set {
        #expect(former[key] != cell)
        result[key] = cell
      }
      #expect(result == wanted)
      #expect(changes.gone == changes.gone.sorted() && changes.set.keys == changes.set.keys.sorted())
    }
  }

  @Test("classes are held, counted and walked by number, and a removed one leaves nothing behind")
  func classes() {
    let numbers = [0, 16, 17, 400, 131_072, 131_075].map { IdentityNumber(rawValue: $0) }
    func classes(_ peer: UInt32) -> Classes {
      Classes(
        outgoingSubject: 0, incomingSubject: 0, peer: peer, outgoingProbes: [], incomingProbes: [],
        outgoingDefault: .allow, incomingDefault: .reject)
    }
    var table = ClassTable()
    for number in numbers.shuffled() { table[number] = classes(number.rawValue) }
    #expect(table.map(\.key) == numbers)
    #expect(table.values == numbers.map { classes($0.rawValue) })
    #expect(table.count == 6)
    var other = table
    other[numbers[5]] = nil
    other[numbers[3]] = nil
    other[numbers[1]] = classes(9)
    other[IdentityNumber(rawValue: 20)] = classes(20)
    #expect(other.count == 5)
    let changes = other.changes(from: table)
    #expect(changes.map(\.key.rawValue) == [16, 20, 400, 131_075])
    #expect(changes.map { $0.value?.peer } == [9, 20, nil, nil])
    for (number, value) in changes { table[number] = value }
    #expect(table == other)
    for number in other.map(\.key) { other[number] = nil }
    #expect(other == ClassTable())
  }
}
