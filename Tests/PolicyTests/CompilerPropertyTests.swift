// Do the tables say what the specification says, whatever the policy?

import Policy
import TestSupport
import Testing

@Suite struct CompilerPropertyTests {
  @Test("tables and specification agree on random policies and flows", arguments: 0..<16)
  func agreement(batch: Int) throws {
    var generator = SeededGenerator(seed: UInt64(batch) &* 7919)
    var overlaps = 0
    for _ in 0..<130 {
      let seed = generator.next()
      let random = try RandomPolicy(seed: seed)
      let tables = try Compiler.compile(policy: random.policy, identities: random.identities).tables
      for _ in 0..<100 {
        let question = RandomQuestion(about: random, using: &generator)
        let expected = random.policy.verdict(for: question.flow)
        let found = question.verdict(of: tables)
        if expected.decidedBy != .default { overlaps += 1 }
        guard found == expected else {
          Issue.record("seed \(seed): \(question) is \(found) in the tables, \(expected) by the rules")
          return
        }
      }
    }
    // Most questions must be decided by rules, or the agreement says little.
    #expect(overlaps > 3_000)
  }
}
