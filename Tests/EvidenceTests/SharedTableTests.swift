// Does everyone get a share of a table, and does it hold what a dictionary would?

import Testing

@testable import Evidence

@Suite struct SharedTableTests {
  @Test("One user that floods gets half and forgets its own oldest; another keeps all it has")
  func flood() {
    var table = SharedTable<Int, Int>(limit: 1000)
    for key in 0..<100 { table.set(key, for: key, of: 1) }
    for key in 1000..<6000 { table.set(key, for: key, of: 2) }
    #expect((0..<100).allSatisfy { table[$0] == $0 })
    #expect(table.count(of: 2) == 450 && table[5999] == 5999 && table[1000] == nil)
    #expect(table.evicted == 4550)
  }

  @Test("However many flood, a newcomer finds room, and the limit holds")
  func crowd() {
    var table = SharedTable<Int, Int>(limit: 1000)
    for user in 0..<40 { for key in 0..<2000 { table.set(key, for: user * 10000 + key, of: UInt64(user)) } }
    #expect(table.count <= 1000)
    for key in 0..<20 { table.set(key, for: 1_000_000 + key, of: 99) }
    #expect(table.count(of: 99) == 20 && table.count <= 1000)
  }

  @Test("It holds what a dictionary would, and what is evicted is the user's oldest")
  func model() {
    var table = SharedTable<Int, Int>(limit: 200)
    var model: [Int: Int] = [:]
    for round in 0..<20000 {
      let key = Int.random(in: 0..<90)
      if Bool.random() {
        table.set(round, for: key, of: UInt64(key % 3))
        model[key] = round
      } else {
        #expect(table.remove(key) == model.removeValue(forKey: key))
      }
      #expect(table.count == model.count)
    }
    for key in 0..<90 { #expect(table[key] == model[key]) }
    #expect(table.evicted == 0)
  }

  @Test("Once a crowd is gone what is left is still there, in its order")
  func shrinks() {
    var table = SharedTable<Int, Int>(limit: 100_000)
    for key in 0..<20000 { table.set(key, for: key, of: UInt64(key % 2)) }
    for key in 100..<20000 { table.remove(key) }
    #expect(table.count == 100 && (0..<100).allSatisfy { table[$0] == $0 })
    #expect(table.count(of: 0) == 50 && table.count(of: 1) == 50)
  }
}
