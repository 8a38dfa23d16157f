// How many rows a policy needs, found out without a host.

/// The rows that a policy needs, at least.
package struct PolicyNeeds: Sendable, Equatable {
  /// Rows of rules.
  package let cells: Int
  /// Rows of networks, without the addresses of workloads.
  package let networks: Int

  /// Compiles a policy for what its documents tell of: pods, workloads, and something that fulfils each of its selectors.
  ///
  /// What runs on a host may fall in more classes than these and need more.
  ///
  /// - Throws: if it fits no table at all.
  package init(of policy: PolicySet) throws(CompileError) {
    var sets: Set<LabelSet> = Set(policy.pods.map(\.labels))
    sets.formUnion(policy.workloads.map(\.labels))
    for ruleSet in policy.ruleSets {
      if let example = ruleSet.subject.example { sets.insert(example) }
      for rule in ruleSet.incoming + ruleSet.outgoing {
        for case .selector(let selector) in rule.peers { if let example = selector.example { sets.insert(example) } }
      }
    }
    let most = Int(IdentityNumber.firstExternal.rawValue - IdentityNumber.firstAllotted.rawValue)
    guard sets.count <= most else {
      throw CompileError(
        problem: "the documents tell of \(sets.count) different sets of labels; the tables hold \(most)",
        remedy: "use fewer labels that differ from one workload to the next")
    }
    let sorted = sets.sorted { $0.canonicalBytes.lexicographicallyPrecedes($1.canonicalBytes) }
    let identities = sorted.enumerated().map { index, labels in
      (key: IdentityNumber(rawValue: IdentityNumber.firstAllotted.rawValue + UInt32(index)), value: labels)
    }
    let compiled = try Compiler.compile(policy: policy, sorted: identities)
    cells = compiled.tables.cells.count
    networks = compiled.tables.prefixes.count
  }
}

extension Selector {
  /// Labels that fulfil it; nil if none do, or only reserved identities.
  fileprivate var example: LabelSet? {
    var labels: [String: Label] = [:]
    for requirement in requirements {
      switch requirement.operator {
      case .isIn:
        labels[requirement.key] = requirement.values.first.map { Label(uncheckedKey: requirement.key, value: $0) }
      case .exists:
        if labels[requirement.key] == nil { labels[requirement.key] = Label(uncheckedKey: requirement.key, value: "x") }
      case .notIn, .doesNotExist: break
      }
    }
    guard labels["sallyport.identity"] == nil, labels["sallyport.network"] == nil else { return nil }
    let made = LabelSet(sorted: labels.values.sorted())
    return matches(made) ? made : nil
  }
}
