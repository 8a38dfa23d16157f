// Do tables that got room for a new identity say what tables compiled with it say?

import Policy
import TestSupport
import Testing

@Suite struct ExtensionTests {
  /// Compiles for some identities of a random policy and adds the others one by one.
  private static func extended(
    _ random: RandomPolicy, widePeers: Int
  ) throws -> (compiled: Compiled, extensions: Int) {
    let sorted = random.identities.sorted { $0.key < $1.key }
    let first = sorted.prefix(sorted.count / 3)
    var compiled = try Compiler.compile(
      policy: random.policy, identities: Dictionary(uniqueKeysWithValues: first.map { ($0.key, $0.value) }),
      widePeers: widePeers)
    var extensions = 0
    for (number, labels) in sorted.dropFirst(first.count) where compiled.insert(number, labels) == nil {
      extensions += 1
      #expect(try compiled.extend(number, labels))
    }
    return (compiled, extensions)
  }

  @Test("tables that were extended are those of a compilation", arguments: 0..<8)
  func equality(batch: Int) throws {
    var generator = SeededGenerator(seed: UInt64(batch) &* 15_485_863 &+ 11)
    var count = 0
    for _ in 0..<100 {
      let random = try RandomPolicy(seed: generator.next())
      let (compiled, extensions) = try Self.extended(random, widePeers: .max)
      count += extensions
      let full = try Compiler.compile(policy: random.policy, identities: random.identities, widePeers: .max)
      guard compiled.tables == full.tables else {
        Issue.record("seed \(random.seed): \(compiled.tables.cells.count) cells, \(full.tables.cells.count) wanted")
        return
      }
    }
    #expect(count > 200)
  }

  @Test("extended tables of wide rules agree with the specification", arguments: 0..<8)
  func agreement(batch: Int) throws {
    var generator = SeededGenerator(seed: UInt64(batch) &* 32_452_843 &+ 5)
    var count = 0
    for _ in 0..<100 {
      let random = try RandomPolicy(seed: generator.next())
      let (compiled, extensions) = try Self.extended(random, widePeers: 1)
      count += extensions
      for _ in 0..<100 {
        let question = RandomQuestion(about: random, using: &generator)
        let expected = random.policy.verdict(for: question.flow)
        guard question.verdict(of: compiled.tables) == expected else {
          Issue.record(
            "seed \(random.seed): \(question) is \(question.verdict(of: compiled.tables)), \(expected) by the rules")
          return
        }
      }
    }
    #expect(count > 200)
  }

  @Test("what does not fit is an error, and the tables stay as they were; in the end all is to be compiled anew")
  func limits() throws {
    let number = IdentityNumber.firstAllotted
    let rules = document(
      "NetworkRuleSet",
      "{subject: app, incoming: [{action: allow, peers: [{selector: \"app in (a,b)\"}, {selector: tier}], ports: any}]}"
    )
    let policy = try parse(rules).policy
    var compiled = try Compiler.compile(
      policy: policy, identities: [number: try LabelSet(parsing: "app=a")], maximumCells: 2)
    let before = compiled.tables
    #expect(before.cells.count == 1)
    // Of the same subjects, and a class of peers of its own: one cell more, then one too many.
    let (next, last) = (IdentityNumber(rawValue: number.rawValue + 1), IdentityNumber(rawValue: number.rawValue + 2))
    #expect(try compiled.extend(next, try LabelSet(parsing: "app=b,tier=x")))
    let full = compiled.tables
    #expect(full.cells.count == 2)
    let labels = try LabelSet(parsing: "tier=x")
    let error = #expect(throws: CompileError.self) { try compiled.extend(last, labels) }
    #expect(error?.problem == "the rules need more than 2 table entries")
    #expect(compiled.tables == full)
    var many = try Compiler.compile(policy: policy, identities: [:])
    for offset in 0..<UInt32(Compiled.mostExtensions) {
      let labels = try LabelSet(parsing: "app=b\(offset)")
      #expect(try many.extend(IdentityNumber(rawValue: number.rawValue + offset), labels))
    }
    let all = many.tables
    #expect(try !many.extend(IdentityNumber(rawValue: number.rawValue + 1000), try LabelSet(parsing: "app=c")))
    #expect(many.tables == all)
  }
}
