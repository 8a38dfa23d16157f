// The rules of a policy, resolved to classes and written as cells.

/// Turns rules into cells, one subject class after the other.
struct RuleTable: Sendable {
  private let ports: PortClasses
  private var rules: [RuleReference] = []
  private var logs: [Bool] = []
  private let ranks: RuleRanks
  /// The resolved rules of each rule set, by direction.
  private var outgoing: [[ResolvedRule]] = []
  private var incoming: [[ResolvedRule]] = []
  /// The rule sets whose subject is the selector of that number.
  private var ruleSets: [[Int]] = []
  /// How many cells the kernel's table holds.
  let maximumCells: Int

  typealias Result = (portClasses: [UInt16], cells: CellTable, rules: [RuleReference], probes: SubjectProbes)

  /// Whether a rule was resolved to all peers but a few: then every peer must have a class.
  private(set) var hasWideRules = false

  /// Numbers all rules by rule-set name, direction and position, and resolves them.
  ///
  /// - Parameter widePeers: from how many peer classes on a rule for nearly all of them is wide.
  init(
    _ policy: PolicySet, _ classifier: SelectorClassifier, maximumCells: Int, widePeers: Int
  ) throws(CompileError) {
    self.maximumCells = maximumCells
    var specs: Set<PortSpec> = []
    for ruleSet in policy.ruleSets {
      for rule in ruleSet.outgoing + ruleSet.incoming where !rule.ports.contains(.any) { specs.formUnion(rule.ports) }
    }
    ports = try PortClasses(specs)
    ranks = RuleRanks(policy)
    var resolver = PeerResolver(policy, classifier, widePeers: widePeers)
    ruleSets = Array(repeating: [], count: classifier.selectors.count)
    for (index, ruleSet) in policy.ruleSets.enumerated() {
      if let subject = resolver.number(of: ruleSet.subject) { ruleSets[Int(subject)].append(index) }
      outgoing.append(resolve(ruleSet, .outgoing, &resolver))
      incoming.append(resolve(ruleSet, .incoming, &resolver))
    }
  }

  private mutating func resolve(
    _ ruleSet: RuleSet, _ direction: Direction, _ resolver: inout PeerResolver
  ) -> [ResolvedRule] {
    var out: [ResolvedRule] = []
    for (position, rule) in ruleSet.rules(direction).enumerated() {
      rules.append(ruleSet.reference(direction, position))
      logs.append(rule.log)
      let anyPort = rule.ports.contains(.any)
      let narrow = anyPort ? [] : Set(rule.ports.flatMap { ports.classesOfSpec[$0] ?? [] }).sorted()
      let anyPeer = rule.peers.contains(.any)
      let (peers, exceptions) = anyPeer ? ([], nil) : resolver.classes(of: rule.peers)
      if exceptions != nil { hasWideRules = true }
      out.append(
        ResolvedRule(
          winners: ranks.winners(ofRule: rules.count, ruleSet.tier, rule), anyPeer: anyPeer,
          selectors: anyPeer ? [] : rule.peers.selectors.compactMap { resolver.number(of: $0) }, peers: peers,
          exceptions: exceptions, anyPort: anyPort, ports: narrow))
    }
    return out
  }

  /// Writes everything.
  func build(_ classifier: SelectorClassifier) throws(CompileError) -> Result {
    var cells = CellTable()
    let probes = SubjectProbes(
      outgoing: try write(.outgoing, classifier.outgoing, &cells),
      incoming: try write(.incoming, classifier.incoming, &cells))
    return (ports.classes, cells, rules, probes)
  }

  private func write(
    _ direction: Direction, _ subjects: ClassNumbers, _ cells: inout CellTable
  ) throws(CompileError) -> [Probes] {
    var probes: [Probes] = []
    for subject in subjects.members.indices {
      probes.append(try write(direction, UInt32(subject), subjects, &cells))
    }
    return probes
  }

  /// Adds the cells of one subject class, whose key comes after all others; returns their kinds.
  ///
  /// - Parameter peer: the latest peer class if only its cells are wanted; nil = all.
  func write(
    _ direction: Direction, _ subject: UInt32, _ subjects: ClassNumbers, of peer: UInt32? = nil,
    _ cells: inout CellTable
  ) throws(CompileError) -> Probes {
    var builder = CellBuilder(limit: maximumCells)
    let resolved = direction == .outgoing ? outgoing : incoming
    for selector in subjects.members[Int(subject)] {
      for ruleSet in ruleSets[Int(selector)] {
        for rule in resolved[ruleSet] { try builder.add(peer.map(rule.restricted) ?? rule) }
      }
    }
    // One subject's cells, to be sorted; subjects come in order.
    var own: [(place: UInt64, winners: Winners)] = []
    let probes = try builder.write { (place, port, winners) throws(CompileError) in
      guard cells.count + own.count < maximumCells else { throw CompileError.tooManyCells(maximumCells) }
      if peer == nil || place == peer { own.append((UInt64(place) << 16 | UInt64(port), winners)) }
    }
    own.sort { $0.place < $1.place }
    for (place, winners) in own {
      let key = CellKey(
        direction: direction, subject: subject, peer: UInt32(truncatingIfNeeded: place >> 16),
        portClass: UInt16(truncatingIfNeeded: place))
      cells.append(cell(winners), for: key)
    }
    return probes
  }

  /// Takes note of a new peer class, the highest; returns the selectors of subjects that it makes a difference to.
  mutating func add(peer: UInt32, matching found: Set<UInt32>) -> (outgoing: Set<UInt32>, incoming: Set<UInt32>) {
    var concerned: (outgoing: Set<UInt32>, incoming: Set<UInt32>) = ([], [])
    for (selector, own) in ruleSets.enumerated() {
      for ruleSet in own {
        for index in outgoing[ruleSet].indices {
          let differs = outgoing[ruleSet][index].add(peer, matching: found)
          if differs { concerned.outgoing.insert(UInt32(selector)) }
        }
        for index in incoming[ruleSet].indices {
          let differs = incoming[ruleSet][index].add(peer, matching: found)
          if differs { concerned.incoming.insert(UInt32(selector)) }
        }
      }
    }
    return concerned
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
  typealias Classes = (peers: [UInt32], exceptions: [UInt32]?)

  private var classesOfPeer: [Peer: [UInt32]] = [:]
  private var resolved: [[Peer]: Classes] = [:]
  private let numbers: [Selector: UInt32]
  /// How many peer classes there are, class 0 left out.
  private let count: Int
  private let widePeers: Int

  init(_ policy: PolicySet, _ classifier: SelectorClassifier, widePeers: Int) {
    self.widePeers = widePeers
    count = classifier.peers.members.count - 1
    numbers = Dictionary(uniqueKeysWithValues: classifier.selectors.enumerated().map { ($1, UInt32($0)) })
    var peers = classifier.selectors.map(Peer.selector)
    peers += policy.networks.map { .network($0.name) }
    for (number, members) in classifier.peers.members.enumerated() {
      for member in members { classesOfPeer[peers[Int(member)], default: []].append(UInt32(number)) }
    }
  }

  /// The number of a selector; nil = no rule set has it as a subject, and no rule as a narrow peer.
  func number(of selector: Selector) -> UInt32? { numbers[selector] }

  /// The classes of some peers, ascending; or, if they are at least four times as many as the others, the others.
  mutating func classes(of peers: [Peer]) -> Classes {
    if let known = resolved[peers] { return known }
    var found: [UInt32] = []
    if peers.count == 1, let only = peers.first {
      found = classesOfPeer[only] ?? []
    } else {
      found = Set(peers.flatMap { classesOfPeer[$0] ?? [] }).sorted()
    }
    var classes: Classes = (found, nil)
    if count >= widePeers, found.count >= 4 * (count - found.count) {
      let own = Set(found)
      classes = ([], (1...UInt32(count)).filter { !own.contains($0) })
    }
    resolved[peers] = classes
    return classes
  }
}
