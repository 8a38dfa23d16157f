// Names from the snapshot that the enforcer writes.

public import Enforcement
internal import Kernel
internal import Policy

extension FlowNames {
  /// The names of everything in a snapshot; what did not change is taken from `previous`.
  ///
  /// Labels that the snapshot cannot say (it was damaged) are left out: the number stays without a name.
  public init(_ snapshot: Snapshot, reusing previous: FlowNames?) {
    var identities: [IdentityNumber: LabelSet] = [:]
    for identity in snapshot.identities {
      let number = IdentityNumber(rawValue: identity.number)
      if let reserved = number.reservedLabels {
        identities[number] = reserved
      } else if let known = previous?.identity(number), known.identity.description == identity.identity {
        // The same hash is the same set: labels need not be checked again.
        identities[number] = known.labels
      } else if let labels = try? LabelSet(identity.labels.map { try Label($0.key, $0.value) }) {
        identities[number] = labels
      }
    }
    let externals = Dictionary(
      snapshot.externals.map { (IdentityNumber(rawValue: $0.number), $0.networks) }, uniquingKeysWith: { $1 })
    let rules = snapshot.rules.sorted { $0.number < $1.number }.map { rule in
      RuleReference(
        ruleSet: rule.ruleSet, direction: rule.direction == "incoming" ? .incoming : .outgoing,
        position: rule.position, name: rule.name, action: rule.action == "allow" ? .allow : .reject,
        mode: rule.mode == "observe" ? .observe : .enforce, source: .none)
    }
    let workloads = Dictionary(
      snapshot.workloads.map { ($0.cgroup.rawValue, $0.path) }, uniquingKeysWith: { $1 })
    self.init(
      identities: identities, externals: externals, rules: rules, workloads: workloads, reusing: previous)
  }
}
