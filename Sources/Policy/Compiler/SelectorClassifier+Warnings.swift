// Selectors that matched nothing while a policy was compiled.

extension SelectorClassifier {
  /// A warning for every subject and peer selector that no identity and no network fulfils, in order of rule sets.
  func unmatched(in policy: PolicySet) -> [PolicyError] {
    var matched: Set<Selector> = [.everything]
    for classes in [outgoing, incoming, peers] {
      for member in Set(classes.members.joined()) where Int(member) < selectors.count {
        matched.insert(selectors[Int(member)])
      }
    }
    var warnings: [PolicyError] = []
    for ruleSet in policy.ruleSets {
      let hasRules = !ruleSet.incoming.isEmpty || !ruleSet.outgoing.isEmpty
      let isNative = ruleSet.tier == .native
      if hasRules, !matched.contains(ruleSet.subject), !isTranslated(ruleSet.subject), !ruleSet.isForUntold {
        warnings.append(warning(ruleSet.source, isNative ? "spec.subject" : "", ruleSet.subject, "workload"))
      }
      for direction in Direction.allCases {
        for (index, rule) in ruleSet.rules(direction).enumerated() {
          for (position, peer) in rule.peers.enumerated() {
            guard case .selector(let selector) = peer, !matched.contains(selector), !isTranslated(selector) else {
              continue
            }
            let field = isNative ? "spec.\(direction)[\(index)].peers[\(position)].selector" : rule.name
            warnings.append(warning(rule.source, field, selector, "workload and no external network"))
          }
        }
      }
    }
    return warnings
  }

  /// Whether it stands for a named port or for CIDRs: one for every answer, of which few hold on one host.
  private func isTranslated(_ selector: Selector) -> Bool {
    selector.requirements.contains { PodLabel.isTranslated($0.key) }
  }

  private func warning(
    _ source: SourceLocation, _ field: String, _ selector: Selector, _ what: String
  ) -> PolicyError {
    PolicyError(
      source, field, "\(selector.description.shown) matches no current \(what)",
      "check the spelling, or ignore this if the workload is not deployed yet")
  }
}
