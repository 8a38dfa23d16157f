// The rules of a policy, resolved to classes and written as cells.

/// Turns rules into cells, one subject class after the other.
struct RuleTable {
  private let policy: PolicySet
  private let classifier: Classifier
  private let ports: PortClasses
  private var rules: [RuleReference] = []
  private var logs: [Bool] = []
  private let ranks: RuleRanks
  /// The resolved rules of each rule set, by direction.
  private var outgoing: [[ResolvedRule]] = []
  private var incoming: [[ResolvedRule]] = []

  typealias Result = (portClasses: [UInt16], cells: CellTable, rules: [RuleReference], probes: SubjectProbes)

  /// Numbers all rules by rule-set name, direction and position, and resolves them.
  init(_ policy: PolicySet, _ classifier: Classifier) throws(CompileError) {
    self.policy = policy
    self.classifier = classifier
    var specs: Set<PortSpec> = []
    for ruleSet in policy.ruleSets {
      for rule in ruleSet.outgoing + ruleSet.incoming where !rule.ports.contains(.any) { specs.formUnion(rule.ports) }
    }
    ports = try PortClasses(specs)
    ranks = RuleRanks(policy)
    let resolver = PeerResolver(policy, classifier)
    for ruleSet in policy.ruleSets {
      outgoing.append(resolve(ruleSet, .outgoing, resolver))
      incoming.append(resolve(ruleSet, .incoming, resolver))
    }
  }

  private mutating func resolve(
    _ ruleSet: RuleSet, _ direction: Direction, _ resolver: PeerResolver
  ) -> [ResolvedRule] {
    var out: [ResolvedRule] = []
    for (position, rule) in ruleSet.rules(direction).enumerated() {
      rules.append(ruleSet.reference(direction, position))
      logs.append(rule.log)
      let anyPort = rule.ports.contains(.any)
      let narrow = anyPort ? [] : Set(rule.ports.flatMap { ports.classesOfSpec[$0] ?? [] }).sorted()
      let anyPeer = rule.peers.contains(.any)
      out.append(
        ResolvedRule(
          winners: ranks.winners(ofRule: rules.count, ruleSet.tier, rule), anyPeer: anyPeer,
          peers: anyPeer ? [] : resolver.classes(of: rule.peers), anyPort: anyPort, ports: narrow))
    }
    return out
  }

  /// Writes everything.
  func build(_ maximumCells: Int) throws(CompileError) -> Result {
    var cells = CellTable()
    let probes = SubjectProbes(
      outgoing: try write(.outgoing, classifier.outgoing, outgoing, maximumCells, &cells),
      incoming: try write(.incoming, classifier.incoming, incoming, maximumCells, &cells))
    return (ports.classes, cells, rules, probes)
  }

  private func write(
    _ direction: Direction, _ subjects: ClassNumbers, _ resolved: [[ResolvedRule]], _ maximumCells: Int,
    _ cells: inout CellTable
  ) throws(CompileError) -> [Probes] {
    var bySubject: [[Int]] = Array(repeating: [], count: classifier.selectors.count)
    let positions = Dictionary(uniqueKeysWithValues: classifier.selectors.enumerated().map { ($1, $0) })
    for (index, ruleSet) in policy.ruleSets.enumerated() {
      if let position = positions[ruleSet.subject] { bySubject[position].append(index) }
    }
    var probes: [Probes] = []
    // One subject's cells, to be sorted; subjects come in order.
    var own: [(place: UInt64, winners: Winners)] = []
    for (subject, selectors) in subjects.members.enumerated() {
      var builder = CellBuilder(limit: maximumCells)
      for selector in selectors {
        for ruleSet in bySubject[Int(selector)] {
          for rule in resolved[ruleSet] { try builder.add(rule) }
        }
      }
      probes.append(
        try builder.write { (peer, port, winners) throws(CompileError) in
          guard cells.count + own.count < maximumCells else { throw CompileError.tooManyCells(maximumCells) }
          own.append((UInt64(peer) << 16 | UInt64(port), winners))
        })
      own.sort { $0.place < $1.place }
      for (place, winners) in own {
        let key = CellKey(
          direction: direction, subject: UInt32(subject), peer: UInt32(truncatingIfNeeded: place >> 16),
          portClass: UInt16(truncatingIfNeeded: place))
        cells.append(cell(winners), for: key)
      }
      own.removeAll(keepingCapacity: true)
    }
    return probes
  }

  private func cell(_ winners: Winners) -> Cell {
    let enforced = lastWord(winners.upperEnforced, winners.lowerEnforced)
    let overall = lastWord(winners.upperOverall, winners.lowerOverall)
    let observed = overall != 0 && rules[Int(overall) - 1].mode == .observe ? overall : 0
    func isLogged(_ number: UInt32) -> Bool { number != 0 && logs[Int(number) - 1] }
    return Cell(
      action: enforced == 0 ? nil : rules[Int(enforced) - 1].action.verdict, rule: enforced,
      observedAction: observed == 0 ? nil : rules[Int(observed) - 1].action.verdict, observedRule: observed,
      log: isLogged(enforced) || isLogged(observed))
  }

  /// The number of the rule that decides; 0 if all that there are pass, or there is none.
  private func lastWord(_ upper: UInt32, _ lower: UInt32) -> UInt32 {
    for rank in [upper, lower] where rank != Winners.noRule {
      let number = ranks.number(of: rank)
      if rules[Int(number) - 1].action != .pass { return number }
    }
    return 0
  }
}

/// Finds the peer classes of narrow peers.
private struct PeerResolver {
  private var classesOfPeer: [Peer: [UInt32]] = [:]

  init(_ policy: PolicySet, _ classifier: Classifier) {
    var peers = classifier.selectors.map(Peer.selector)
    peers += policy.networks.map { .network($0.name) }
    for (number, members) in classifier.peers.members.enumerated() {
      for member in members { classesOfPeer[peers[Int(member)], default: []].append(UInt32(number)) }
    }
  }

  func classes(of peers: [Peer]) -> [UInt32] {
    if peers.count == 1, let only = peers.first { return classesOfPeer[only] ?? [] }
    return Set(peers.flatMap { classesOfPeer[$0] ?? [] }).sorted()
  }
}
