// Are the tables the same for the same input, small, and within their limits?

import Policy
import TestSupport
import Testing

@Suite struct CompilerTests {
  private static func number(_ offset: UInt32) -> IdentityNumber {
    IdentityNumber(rawValue: IdentityNumber.firstAllotted.rawValue + offset)
  }

  private static func compile(_ text: String, _ identities: [String] = []) throws -> Compiled {
    var numbered: [IdentityNumber: LabelSet] = [:]
    for (index, labels) in identities.enumerated() { numbered[number(UInt32(index))] = try LabelSet(parsing: labels) }
    return try Compiler.compile(policy: try parse(text).policy, identities: numbered)
  }

  @Test("a hundred compilations give the same numbers")
  func deterministic() throws {
    for seed in 1...10 as ClosedRange<UInt64> {
      let random = try RandomPolicy(seed: seed)
      let first = try Compiler.compile(policy: random.policy, identities: random.identities).tables
      for _ in 0..<10 {
        // A new dictionary has a new order of iteration.
        var identities: [IdentityNumber: LabelSet] = [:]
        for number in random.identities.keys.shuffled() { identities[number] = random.identities[number] }
        #expect(try Compiler.compile(policy: random.policy, identities: identities).tables == first)
      }
    }
  }

  @Test("the order in which rule sets and networks are given does not matter")
  func order() throws {
    for seed in 100...130 as ClosedRange<UInt64> {
      let random = try RandomPolicy(seed: seed)
      let first = try Compiler.compile(policy: random.policy, identities: random.identities).tables
      var generator = SeededGenerator(seed: seed)
      let shuffled = try PolicySet(
        ruleSets: random.policy.ruleSets.shuffled(using: &generator),
        networks: random.policy.networks.shuffled(using: &generator), defaults: random.policy.defaults)
      #expect(try Compiler.compile(policy: shuffled, identities: random.identities).tables == first)
    }
  }

  @Test("the classes of a new identity are those of a full compilation")
  func incremental() throws {
    var known = 0
    for seed in 1000...1400 as ClosedRange<UInt64> {
      var random = SeededGenerator(seed: seed)
      let policy = try RandomPolicy(seed: seed)
      let compiled = try Compiler.compile(policy: policy.policy, identities: policy.identities)
      let labels = try RandomPolicy.labels(&random)
      var identities = policy.identities
      // The highest number, so that known classes keep theirs.
      identities[CompilerTests.number(1000)] = labels
      let full = try Compiler.compile(policy: policy.policy, identities: identities)
      if let classes = compiled.classes(for: labels) {
        known += 1
        #expect(full.tables.classes[CompilerTests.number(1000)] == classes, "seed \(seed)")
        #expect(full.tables.cells == compiled.tables.cells, "seed \(seed)")
        var placed = compiled
        #expect(placed.insert(CompilerTests.number(1000), labels) == classes, "seed \(seed)")
        #expect(placed.tables == full.tables, "seed \(seed)")
      } else {
        #expect(full.tables.cells != compiled.tables.cells || full.tables.classes[CompilerTests.number(1000)] != nil)
      }
    }
    #expect(known > 100)
  }

  @Test("a rule for everyone on one port is one cell per subject class")
  func small() throws {
    let rules = "{subject: tier, incoming: [{action: allow, peers: any, ports: [udp/53]}]}"
    let many = (0..<500).map { "app=a\($0)" + ($0.isMultiple(of: 2) ? ",tier=x" : "") }
    let tables = try CompilerTests.compile(document("NetworkRuleSet", rules), many).tables
    #expect(tables.cells.count == 1)
    #expect(tables.classes[CompilerTests.number(0)]?.incomingProbes == .port)
    #expect(tables.classes[CompilerTests.number(1)]?.incomingSubject == 0)
    #expect(tables.classes[CompilerTests.number(0)]?.outgoingSubject == 0)
    #expect(tables.rules.map(\.description) == ["a/incoming[0]"])
  }

  @Test("only the pairs that a wider cell would hide wrongly are written out")
  func overlaps() throws {
    let rules = """
      {subject: app=web, incoming: [
        {action: allow, peers: [{selector: app=lb}], ports: any}, {action: reject, peers: any, ports: [tcp/22]},
        {action: allow, peers: any, ports: [tcp/80]}]}
      """
    let tables = try CompilerTests.compile(document("NetworkRuleSet", rules), ["app=web", "app=lb"]).tables
    // (lb, any), (any, 22), (any, 80), and (lb, 22), which (lb, any) would allow.
    #expect(tables.cells.count == 4)
    let (web, lb) = (CompilerTests.number(0), CompilerTests.number(1))
    #expect(tables.verdict(.incoming, subject: web, peer: lb, protocol: .tcp, port: 22).action == .reject)
    #expect(tables.verdict(.incoming, subject: web, peer: lb, protocol: .tcp, port: 80).action == .allow)
    #expect(tables.verdict(.incoming, subject: web, peer: lb, protocol: .udp, port: 9).action == .allow)
    #expect(tables.verdict(.incoming, subject: web, peer: .world, protocol: .udp, port: 9).action == .reject)
  }

  @Test("a rule that another one always beats needs no cell")
  func beaten() throws {
    let rules = """
      {subject: app=web, incoming: [{action: reject, peers: any, ports: any},
        {action: allow, peers: [{selector: app=lb}], ports: [tcp/1, tcp/2]}]}
      """
    let tables = try CompilerTests.compile(document("NetworkRuleSet", rules), ["app=web", "app=lb"]).tables
    #expect(tables.cells.count == 1)
    #expect(tables.classes[CompilerTests.number(0)]?.incomingProbes == .any)
  }

  @Test("prefixes give the set of all networks around them")
  func prefixes() throws {
    let text =
      document("ExternalNetwork", "{cidrs: [\"::/0\", 10.0.0.0/8, \"!10.1.0.0/16\"]}", name: "a") + "---\n"
      + document("ExternalNetwork", "{cidrs: [10.1.0.0/16]}", name: "b")
    let tables = try CompilerTests.compile(text).tables
    func names(_ text: String) throws -> [String]? {
      tables.externals[tables.identity(of: try IPAddress(parsing: text))]
    }
    #expect(try names("10.2.0.1") == ["a"])
    #expect(try names("10.1.0.1") == ["b"])
    #expect(try names("2001:db8::1") == ["a"])
    // Covered by ::/0 in the common space, but not meant.
    #expect(try names("192.0.2.1") == nil)
    #expect(tables.prefixes[.allIPv4] == .world)
    #expect(Set(tables.externals.keys) == [.firstExternal, IdentityNumber(rawValue: 131_073)])
  }

  @Test("the reserved identities always have classes, and the host its own defaults")
  func reserved() throws {
    let tables = try CompilerTests.compile("").tables
    for number in [IdentityNumber.unknown, .host, .world] { #expect(tables.classes[number] != nil) }
    #expect(tables.verdict(.incoming, subject: .host, peer: .world, protocol: .tcp, port: 1).action == .allow)
    #expect(tables.verdict(.incoming, subject: .unknown, peer: .world, protocol: .tcp, port: 1).action == .reject)
    #expect(tables.portClasses == [UInt16](repeating: 0, count: Tables.portClassCount))
  }

  @Test("numbers that are not for label sets are refused", arguments: [0, 2, 3, 15, 131_072, 147_456] as [UInt32])
  func badNumbers(_ number: UInt32) throws {
    let labels = try LabelSet(parsing: "a=b")
    #expect(throws: CompileError.self) {
      try Compiler.compile(policy: .empty, identities: [IdentityNumber(rawValue: number): labels])
    }
  }

  @Test("the host may have labels of its own")
  func hostLabels() throws {
    let rules = document("NetworkRuleSet", "{subject: role=x, incoming: [{action: reject, peers: any, ports: any}]}")
    let labels = LabelSet.host.merging(try LabelSet(parsing: "role=x"))
    let tables = try Compiler.compile(policy: try parse(rules).policy, identities: [.host: labels]).tables
    #expect(tables.verdict(.incoming, subject: .host, peer: .world, protocol: .tcp, port: 1).action == .reject)
  }

  @Test("too many port classes are an error that says what to do")
  func limits() throws {
    // Every port of two protocols on its own.
    let specs = (0...65535 as ClosedRange<UInt16>).flatMap { port in
      [PortSpec.ports(.tcp, PortRange(port, port)), .ports(.udp, PortRange(port, port))]
    }
    let rule = Rule(action: .allow, ports: specs)
    let policy = try PolicySet(ruleSets: [RuleSet(name: "a", subject: .everything, incoming: [rule])])
    let error = #expect(throws: CompileError.self) { try Compiler.compile(policy: policy, identities: [:]) }
    #expect(
      error?.description
        == "compile policy: the port ranges of all rules split the ports into more than 65535 classes; "
        + "use fewer different port ranges")
  }

  @Test("too many cells are an error that says what to do")
  func cellLimit() throws {
    let peers = try (0..<20).map { Peer.selector(try Selector(parsing: "app=a\($0)")) }
    let ports = (1...10 as ClosedRange<UInt16>).map { PortSpec.ports(.tcp, PortRange($0, $0)) }
    let rule = Rule(action: .allow, peers: peers, ports: ports)
    let policy = try PolicySet(ruleSets: [RuleSet(name: "a", subject: .everything, incoming: [rule])])
    var identities: [IdentityNumber: LabelSet] = [:]
    for index in 0..<20 as Range<UInt32> {
      identities[CompilerTests.number(index)] = try LabelSet(parsing: "app=a\(index)")
    }
    let fits = try Compiler.compile(policy: policy, identities: identities, maximumCells: 200)
    #expect(fits.tables.cells.count == 200)
    let error = #expect(throws: CompileError.self) {
      try Compiler.compile(policy: policy, identities: identities, maximumCells: 199)
    }
    #expect(error?.problem == "the rules need more than 199 table entries")
  }

  @Test("selectors that match nothing are warnings with their place")
  func unmatched() throws {
    let rules = """
      {subject: app=web, incoming: [
        {action: allow, peers: [{selector: app=lb}, {selector: app=lbb}, {selector: site=north}], ports: any}]}
      """
    let network = document("ExternalNetwork", "{cidrs: [10.0.0.0/8]}", metadata: ", labels: {site: north}")
    let text = document("NetworkRuleSet", rules) + "---\n" + network
    #expect(
      try CompilerTests.compile(text, ["app=web", "app=lb"]).warnings.map(\.description) == [
        "f:5: spec.incoming[0].peers[1].selector: "
          + "\"app=lbb\" matches no current workload and no external network; "
          + "check the spelling, or ignore this if the workload is not deployed yet"
      ])
    let none = try CompilerTests.compile(text, ["app=db"]).warnings
    #expect(
      none.map(\.field) == ["spec.subject", "spec.incoming[0].peers[0].selector", "spec.incoming[0].peers[1].selector"])
  }
}
