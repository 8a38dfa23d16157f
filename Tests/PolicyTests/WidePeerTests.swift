// Rules for nearly all peers: few cells, the same verdicts.

import Policy
import TestSupport
import Testing

@Suite struct WidePeerTests {
  @Test("tables of wide rules and the specification agree on random policies and flows", arguments: 0..<16)
  func agreement(batch: Int) throws {
    var generator = SeededGenerator(seed: UInt64(batch) &* 104_729 &+ 3)
    var (differing, decided) = (0, 0)
    for _ in 0..<130 {
      let seed = generator.next()
      let random = try RandomPolicy(seed: seed)
      // From one peer class on: small policies have rules for four of five peers too.
      let tables = try Compiler.compile(policy: random.policy, identities: random.identities, widePeers: 1).tables
      let narrow = try Compiler.compile(policy: random.policy, identities: random.identities, widePeers: .max).tables
      if tables.cells != narrow.cells { differing += 1 }
      for _ in 0..<100 {
        let question = RandomQuestion(about: random, using: &generator)
        let expected = random.policy.verdict(for: question.flow)
        if expected.decidedBy != .default { decided += 1 }
        guard question.verdict(of: tables) == expected, question.verdict(of: narrow) == expected else {
          Issue.record(
            "seed \(seed): \(question) is \(question.verdict(of: tables)) in the tables, \(expected) by the rules")
          return
        }
      }
    }
    #expect(differing > 15 && decided > 3_000)
  }

  /// Applications of which each may be reached by every pod, and one more that only some may reach.
  private static func everyPod(applications: Int) throws -> (PolicySet, [IdentityNumber: LabelSet]) {
    let pods = try Selector(parsing: "k8s.namespace")
    var ruleSets = try (0..<applications).map { index in
      RuleSet(
        name: "app-\(index)", subject: try Selector(parsing: "k8s.label/app=a\(index)"),
        incoming: [Rule(action: .allow, peers: [.selector(pods)], ports: [.ports(.tcp, PortRange(80, 80))])])
    }
    ruleSets.append(
      RuleSet(
        name: "narrow", subject: try Selector(parsing: "k8s.label/app=a0"),
        incoming: [
          Rule(
            action: .reject, peers: [.selector(try Selector(parsing: "k8s.label/app=a1"))],
            ports: [.ports(.tcp, PortRange(80, 80))])
        ]))
    let networks = try (0..<3).map {
      ExternalNetwork(name: "net-\($0)", prefixes: [try IPPrefix(parsing: "10.\($0).0.0/16")])
    }
    // Each application is a peer, so that each is a class of its own.
    ruleSets += try (0..<applications).map { index in
      RuleSet(
        name: "peer-\(index)", subject: try Selector(parsing: "role=nobody"),
        incoming: [Rule(action: .allow, peers: [.selector(try Selector(parsing: "k8s.label/app=a\(index)"))])])
    }
    ruleSets.append(
      RuleSet(
        name: "peer-networks", subject: try Selector(parsing: "role=nobody"),
        incoming: [Rule(action: .allow, peers: networks.map { .network($0.name) })]))
    var identities: [IdentityNumber: LabelSet] = [:]
    for index in 0..<applications {
      identities[number(index)] = try LabelSet([Label("k8s.namespace", "n"), Label("k8s.label/app", "a\(index)")])
    }
    identities[number(applications)] = try LabelSet(parsing: "unit=nginx")
    return (try PolicySet(ruleSets: ruleSets, networks: networks), identities)
  }

  private static func number(_ offset: Int) -> IdentityNumber {
    IdentityNumber(rawValue: IdentityNumber.firstAllotted.rawValue + UInt32(offset))
  }

  @Test("a rule for every pod costs a cell, and one for each peer that is no pod, whatever the number of pods")
  func size() throws {
    let count = 400
    let (policy, identities) = try Self.everyPod(applications: count)
    let tables = try Compiler.compile(policy: policy, identities: identities).tables
    let narrow = try Compiler.compile(policy: policy, identities: identities, widePeers: .max).tables
    #expect(narrow.cells.count == count * count)
    // For any peer; for three networks and for everybody else who is no pod; for a1 at a0.
    #expect(tables.cells.count == count * 5 + 1)
    func action(_ peer: IdentityNumber, at subject: Int, _ port: UInt16 = 80) -> Action {
      tables.verdict(.incoming, subject: Self.number(subject), peer: peer, protocol: .tcp, port: port).action
    }
    #expect(action(Self.number(7), at: 3) == .allow && action(Self.number(7), at: 3, 81) == .reject)
    #expect(action(Self.number(1), at: 0) == .reject && action(Self.number(2), at: 0) == .allow)
    // Nobody of these is a pod.
    for stranger in [IdentityNumber.unknown, .host, .world, .firstExternal, Self.number(count)] {
      #expect(action(stranger, at: 3) == .reject, "\(stranger)")
    }
    // A number without a row is judged as unknown.
    #expect(action(Self.number(count + 9), at: 3) == .reject)
  }

  @Test("who comes later and is no pod has a class that such rules leave out")
  func later() throws {
    let (policy, identities) = try Self.everyPod(applications: 400)
    var compiled = try Compiler.compile(policy: policy, identities: identities)
    for labels in ["unit=postgres", "k8s.label/app=none"] {
      let number = Self.number(500)
      let classes = try #require(compiled.insert(number, try LabelSet(parsing: labels)))
      #expect(classes.peer != 0)
      let verdict = compiled.tables.verdict(
        .incoming, subject: Self.number(3), peer: number, protocol: .tcp, port: 80)
      #expect(verdict.action == .reject, "\(labels)")
    }
  }

  @Test("a policy of many rules for every pod fits where its pairs would not")
  func fits() throws {
    let (policy, identities) = try Self.everyPod(applications: 300)
    let limit = 2000
    _ = try Compiler.compile(policy: policy, identities: identities, maximumCells: limit)
    #expect(throws: CompileError.self) {
      try Compiler.compile(policy: policy, identities: identities, maximumCells: limit, widePeers: .max)
    }
  }
}
