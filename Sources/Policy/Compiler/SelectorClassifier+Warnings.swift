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
    return policy.unmatched(matched.contains)
  }
}
