// The executable specification: what a policy says to a flow, written to be obviously right.

extension PolicySet {
  /// What this policy says to a flow at the end that judges it.
  ///
  /// A linear scan over all rules. The kernel's tables must say the same; tests compare the two.
  package func verdict(for flow: Flow) -> Verdict {
    if flow.subject.kind == .unlabelled { return Verdict(action: .reject, decidedBy: .unlabelled) }
    // An unlabelled child is nobody, also to its parent.
    if flow.sameWorkload, flow.peer.kind != .unlabelled {
      return Verdict(action: .allow, decidedBy: .local)
    }
    let matching = matchingRules(for: flow)
    let enforced = PolicySet.winner(matching.filter { $0.rule.mode == .enforce })
    let overall = PolicySet.winner(matching)
    let observed = overall?.match.rule.mode == .observe ? overall : nil
    return Verdict(
      action: enforced?.action ?? defaults.actions(for: flow.subject)[flow.direction],
      decidedBy: enforced.map { .rule($0.match.reference) } ?? .default,
      observed: observed.map { Verdict.Observation(action: $0.action, rule: $0.match.reference) },
      log: (enforced?.match.rule.log ?? false) || (observed?.match.rule.log ?? false))
  }

  /// A rule that matches a flow.
  struct Match {
    let rule: Rule
    let strength: Strength
    let reference: RuleReference
  }

  /// All rules that match, by rule-set name and position.
  func matchingRules(for flow: Flow) -> [Match] {
    var out: [Match] = []
    for ruleSet in ruleSets where matches(ruleSet.subject, flow.subject) {
      for (position, rule) in ruleSet.rules(flow.direction).enumerated() where matches(rule, flow) {
        let strength = Strength(ruleSet.tier, rule.action)
        out.append(Match(rule: rule, strength: strength, reference: ruleSet.reference(flow.direction, position)))
      }
    }
    return out
  }

  /// The rule that has the last word among some, in the order of `matchingRules(for:)`, and what it says.
  ///
  /// The steps are gone through in turn. In each the rule of the smallest priority speaks, the first by rule-set name
  /// and position among equals; one that passes leaves the word to the next step.
  static func winner(_ matching: [Match]) -> (match: Match, action: Action)? {
    for step in Step.allCases {
      let asked = matching.filter { $0.strength.step == step }
      guard let priority = asked.map(\.strength.priority).min(),
        let first = asked.first(where: { $0.strength.priority == priority })
      else { continue }
      if let action = first.rule.action.verdict { return (first, action) }
    }
    return nil
  }

  private func matches(_ rule: Rule, _ flow: Flow) -> Bool { matchesPeer(rule, flow) && matchesPort(rule, flow) }

  /// Whether one of the rule's peers matches; an empty list matches nothing.
  func matchesPeer(_ rule: Rule, _ flow: Flow) -> Bool { rule.peers.contains { matches($0, flow.peer) } }

  /// Whether one of the rule's ports matches; an empty list matches nothing.
  func matchesPort(_ rule: Rule, _ flow: Flow) -> Bool {
    rule.ports.contains { $0.contains(flow.protocol, flow.port) }
  }

  private func matches(_ peer: Peer, _ endpoint: Endpoint) -> Bool {
    switch peer {
    case .selector(let selector): matches(selector, endpoint)
    case .network(let name): endpoint.networks.contains(name)
    }
  }

  /// Whether a selector matches an endpoint: an external address is matched through any one of its networks.
  package func matches(_ selector: Selector, _ endpoint: Endpoint) -> Bool {
    guard endpoint.kind == .external else { return selector.matches(endpoint.labels) }
    let containing = networks.lazy.filter { endpoint.networks.contains($0.name) }
    return ExternalNetwork.selectableLabels(of: containing).contains(where: selector.matches)
  }
}

extension RuleSet {
  /// Names one of its rules.
  func reference(_ direction: Direction, _ position: Int) -> RuleReference {
    let rule = rules(direction)[position]
    return RuleReference(
      ruleSet: name, direction: direction, position: position, name: rule.name, action: rule.action, mode: rule.mode,
      source: rule.source)
  }
}
