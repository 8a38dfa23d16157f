// What a policy says of workloads that are not here now: a typing error, or something that is deployed later.

extension PolicySet {
  /// A warning for every subject and peer selector that matches nothing, in order of rule sets.
  func unmatched(_ isMatched: (Selector) -> Bool) -> [PolicyError] {
    var warnings: [PolicyError] = []
    func warn(_ source: SourceLocation, _ field: String, _ selector: Selector, _ what: String) {
      warnings.append(
        PolicyError(
          source, field, "\(selector.description.shown) matches no current \(what)",
          "check the spelling, or ignore this if the workload is not deployed yet"))
    }
    // Of those that stand for a named port or for CIDRs there is one for every answer, of which few hold on one host.
    func isTranslated(_ selector: Selector) -> Bool {
      selector.requirements.contains { PodLabel.isTranslated($0.key) }
    }
    for ruleSet in ruleSets {
      let hasRules = !ruleSet.incoming.isEmpty || !ruleSet.outgoing.isEmpty
      let isNative = ruleSet.tier == .native
      if hasRules, !ruleSet.isForUntold, !isTranslated(ruleSet.subject), !isMatched(ruleSet.subject) {
        warn(ruleSet.source, isNative ? "spec.subject" : "", ruleSet.subject, "workload")
      }
      for direction in Direction.allCases {
        for (index, rule) in ruleSet.rules(direction).enumerated() {
          for (position, peer) in rule.peers.enumerated() {
            guard case .selector(let selector) = peer, !isTranslated(selector), !isMatched(selector) else { continue }
            let field = isNative ? "spec.\(direction)[\(index)].peers[\(position)].selector" : rule.name
            warn(rule.source, field, selector, "workload and no external network")
          }
        }
      }
    }
    return warnings
  }
}

extension PolicyReview {
  /// A warning for everything in a policy that concerns nothing here: selectors of rule sets, and workload documents.
  ///
  /// - Parameters:
  ///   - labels: the label sets of the workloads that are here, under this policy.
  ///   - rules: the names of the workload documents that labelled them.
  package static func unmatched(
    _ policy: PolicySet, among labels: Set<LabelSet>, labelledBy rules: Set<String>
  ) -> [PolicyError] {
    var sets = labels.union(policy.pods.map(\.labels))
    sets.formUnion([.host, .world] + [IdentityNumber.unknown.reservedLabels].compactMap(\.self))
    sets.formUnion(policy.networks.map(\.selectableLabels))
    var known: [Selector: Bool] = [.everything: true]
    let selectors = policy.unmatched { selector in
      if let isMatched = known[selector] { return isMatched }
      let isMatched = sets.contains(where: selector.matches)
      known[selector] = isMatched
      return isMatched
    }
    // What places processes does so when one begins; what only has addresses has no cgroup here.
    let idle = policy.workloads.filter { rule in
      rule.placement == .inPlace && !rule.match.isEmpty && rule.match.pods.isEmpty && !rules.contains(rule.name)
    }
    return selectors
      + idle.map { rule in
        PolicyError(
          rule.source, "spec.match", "matches no current cgroup, so that \(rule.name.shown) labels nothing",
          "check the patterns, or ignore this if the workload is not deployed yet")
      }
  }
}
