// What is probably not meant in a policy that is right by every rule: said before it is put in force.

/// Looks at a whole policy for what would surprise its author.
package enum PolicyReview {
  /// Warnings, in the order of documents.
  package static func warnings(of policy: PolicySet) -> [PolicyError] {
    lockouts(policy) + unmatchable(policy) + misspelt(policy) + unused(policy)
  }

  // MARK: Out of the host

  /// Whether nobody could reach the host by SSH, or the host nobody.
  private static func lockouts(_ policy: PolicySet) -> [PolicyError] {
    var out: [PolicyError] = []
    if let cause = refusal(policy, .incoming, .tcp, 22) {
      out.append(
        PolicyError(
          cause.source, cause.field, "refuses SSH (tcp/22) to the host itself from everywhere",
          cause.isRule
            ? "name workloads as the subject of the rule set: reject beats any allow"
            : "add a rule set with the subject sallyport.identity=host that allows tcp/22"))
    }
    if let cause = refusal(policy, .outgoing, .tcp, 443), refusal(policy, .outgoing, .udp, 53) != nil {
      out.append(
        PolicyError(
          cause.source, cause.field, "refuses all connections that the host itself opens, DNS among them",
          cause.isRule
            ? "name workloads as the subject of the rule set: reject beats any allow"
            : "add a rule set with the subject sallyport.identity=host that allows what it needs"))
    }
    return out
  }

  /// What refuses a port of the host to or from the world and every network; nil if somebody may.
  private static func refusal(
    _ policy: PolicySet, _ direction: Direction, _ proto: IPProtocol, _ port: UInt16
  ) -> (source: SourceLocation, field: String, isRule: Bool)? {
    func verdict(_ peer: Endpoint) -> Verdict {
      policy.verdict(for: Flow(direction: direction, subject: .host(), peer: peer, protocol: proto, port: port))
    }
    let world = verdict(.world)
    guard world.action == .reject else { return nil }
    let allowing = policy.ruleSets.flatMap { $0.rules(direction) }.flatMap(\.peers)
    let named = Set(allowing.compactMap { if case .network(let name) = $0 { name } else { nil } })
    let reaching = policy.networks.filter { named.contains($0.name) || !$0.isAnonymous }.prefix(64)
    if reaching.contains(where: { verdict(.external([$0.name])).action == .allow }) { return nil }
    switch world.decidedBy {
    case .rule(let rule): return (rule.source, "\(rule.ruleSet)/\(rule.direction)[\(rule.position)]", true)
    default: return (policy.defaults.source, "spec.host.\(direction)", false)
    }
  }

  // MARK: Nothing

  /// Rules that another one hides wholly, with the same peers or all of them.
  private static func unmatchable(_ policy: PolicySet) -> [PolicyError] {
    var out: [PolicyError] = []
    for ruleSet in policy.ruleSets where ruleSet.tier == .native {
      for direction in Direction.allCases {
        let rules = ruleSet.rules(direction)
        guard rules.count <= 1000,
          let all = rules.firstIndex(where: {
            $0.action == .reject && $0.mode == .enforce && $0.peers.contains(.any) && $0.ports.contains(.any)
          })
        else { continue }
        for (position, rule) in rules.enumerated() where rule.action == .allow && rule.mode == .enforce {
          out.append(
            PolicyError(
              rule.source, "spec.\(direction)[\(position)]",
              "never takes effect: spec.\(direction)[\(all)] rejects everything, and reject beats allow",
              "remove the reject: what no rule allows is refused by default"))
        }
      }
    }
    return out
  }

  /// Selectors that ask for nearly what documents give to a workload, a pod or a network, and for nothing that they give.
  private static func misspelt(_ policy: PolicySet) -> [PolicyError] {
    var known: [String: Set<String>] = [:]
    let sets = policy.workloads.map(\.labels) + policy.pods.map(\.labels) + policy.networks.map(\.selectableLabels)
    for label in sets.flatMap(\.labels) { known[label.key, default: []].insert(label.value) }
    var out: [PolicyError] = []
    func look(_ selector: Selector, _ source: SourceLocation, _ field: String) {
      for requirement in selector.requirements where requirement.operator == .isIn {
        guard let values = known[requirement.key], values.isDisjoint(with: requirement.values),
          let value = requirement.values.first, value.utf8.count > 4,
          let near = Spelling.nearest(to: value, in: values.sorted().prefix(1000))
        else { continue }
        out.append(
          PolicyError(
            source, field, "no document gives \(requirement.description) to anything",
            "did you mean `\(requirement.key)=\(near)`?"))
      }
    }
    for ruleSet in policy.ruleSets where ruleSet.tier == .native {
      look(ruleSet.subject, ruleSet.source, "spec.subject")
      for direction in Direction.allCases {
        for (position, rule) in ruleSet.rules(direction).enumerated() {
          for case .selector(let selector) in rule.peers {
            look(selector, rule.source, "spec.\(direction)[\(position)].peers")
          }
        }
      }
    }
    return out
  }

  /// Networks that no rule can mean.
  private static func unused(_ policy: PolicySet) -> [PolicyError] {
    var named: Set<String> = []
    var selectors: Set<Selector> = []
    for ruleSet in policy.ruleSets {
      for rule in ruleSet.incoming + ruleSet.outgoing {
        for peer in rule.peers {
          switch peer {
          case .network(let name): named.insert(name)
          case .selector(let selector): selectors.insert(selector)
          }
        }
      }
    }
    guard !policy.ruleSets.isEmpty else { return [] }
    var out: [PolicyError] = []
    for network in policy.networks where !network.isAnonymous && !named.contains(network.name) {
      let labels = network.selectableLabels
      if selectors.contains(where: { $0.matches(labels) }) { continue }
      out.append(
        PolicyError(
          network.source, "metadata.name", "no rule means the network \(network.name.shown)",
          "name it in a rule with {network: \(network.name)}, or remove it"))
    }
    return out
  }
}
