// What must hold between documents: names are unique per kind, and networks that rules name exist.

extension PolicySet {
  /// Takes documents in any order and checks them against each other.
  ///
  /// - Throws: every name that is used twice (with both places) and every network that a rule names and nobody defines.
  package init(
    ruleSets: [RuleSet] = [], networks: [ExternalNetwork] = [], workloads: [WorkloadRule] = [],
    pods: [Pod] = [], defaults: Defaults = Defaults()
  ) throws(PolicyErrors) {
    var errors = PolicySet.repeated("rule set", ruleSets.map { ($0.name, $0.source) })
    errors += PolicySet.repeated("external network", networks.map { ($0.name, $0.source) })
    errors += PolicySet.repeated("workload", workloads.map { ($0.name, $0.source) })
    errors += PolicySet.unknownNetworks(ruleSets, Set(networks.map(\.name)))
    errors += PolicySet.sharedAddresses(workloads)
    guard errors.isEmpty else { throw PolicyErrors(errors: errors, warnings: []) }
    self.init(
      sortedRuleSets: ruleSets.sorted { $0.name < $1.name }, networks: networks.sorted { $0.name < $1.name },
      workloads: workloads.sorted { $0.name < $1.name },
      pods: pods.sorted { ($0.namespace, $0.name) < ($1.namespace, $1.name) }, defaults: defaults)
  }

  private static func repeated(_ kind: String, _ names: [(String, SourceLocation)]) -> [PolicyError] {
    var first: [String: SourceLocation] = [:]
    var errors: [PolicyError] = []
    for (name, location) in names {
      if let before = first[name] {
        errors.append(
          PolicyError(
            location, "metadata.name", "\(kind) \(name.shown) is already defined at \(before)", "rename one of them"))
      } else {
        first[name] = location
      }
    }
    return errors
  }

  /// An address stands for one workload, or the identity of what it sends would be a matter of chance.
  private static func sharedAddresses(_ workloads: [WorkloadRule]) -> [PolicyError] {
    var owners: [IPAddress: WorkloadRule] = [:]
    var errors: [PolicyError] = []
    for workload in workloads {
      for (index, address) in workload.addresses.enumerated() {
        if let owner = owners.updateValue(workload, forKey: address) {
          errors.append(
            PolicyError(
              workload.source, "spec.addresses[\(index)]",
              "\(address) already belongs to workload \(owner.name.shown) at \(owner.source)",
              "give each address to one workload, once"))
        }
      }
    }
    return errors
  }

  private static func unknownNetworks(_ ruleSets: [RuleSet], _ known: Set<String>) -> [PolicyError] {
    var errors: [PolicyError] = []
    for ruleSet in ruleSets {
      for direction in Direction.allCases {
        for (index, rule) in ruleSet.rules(direction).enumerated() {
          for (position, peer) in rule.peers.enumerated() {
            guard case .network(let name) = peer, !known.contains(name) else { continue }
            let near = Spelling.nearest(to: name, in: known)
            errors.append(
              PolicyError(
                rule.source, "spec.\(direction)[\(index)].peers[\(position)].network",
                "there is no external network \(name.shown)",
                DocumentReader.addressRemedy(name) ?? near.map { "did you mean \($0.shown)?" }
                  ?? "define it with a document of kind ExternalNetwork"))
          }
        }
      }
    }
    return errors
  }
}
