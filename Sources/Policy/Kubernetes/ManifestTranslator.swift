// From Kubernetes documents to rule sets, networks and workloads: the policies' own terms end here.

/// What the Kubernetes documents come to.
struct TranslatedManifests {
  var ruleSets: [RuleSet] = []
  var networks: [ExternalNetwork] = []
  var workloads: [WorkloadRule] = []
  var pods: [Pod] = []
}

/// Translates all documents at once: a selector of namespaces means those that there are.
struct ManifestTranslator {
  private let manifests: Manifests
  private var model: ClusterModel
  private var out = TranslatedManifests()
  private var networks: [AddressBlock: String] = [:]
  private var nodeNetworks: [String: String] = [:]
  private let localAddresses: Set<IPAddress>
  /// The groups of blocks that at least one pod is in.
  private var inhabited: Set<String> = []
  /// Rules of which something was said: their peers are asked for once for each answer to a port's name.
  private var warned: Set<SourceLocation> = []

  private init(_ manifests: Manifests, _ localAddresses: Set<IPAddress>) {
    self.manifests = manifests
    self.localAddresses = localAddresses
    model = ClusterModel(manifests)
  }

  /// Translates everything; what is wrong between documents, or odd, goes to the reader.
  static func translate(
    _ manifests: Manifests, localAddresses: Set<IPAddress>, _ reader: inout DocumentReader
  ) -> TranslatedManifests {
    var translator = ManifestTranslator(manifests, localAddresses)
    translator.translatePods(&reader)
    translator.translateNodes()
    for policy in manifests.policies { translator.translate(policy, &reader) }
    translator.warnOfEqualPriorities(&reader)
    return translator.out
  }

  // MARK: Pods and nodes

  private mutating func translatePods(_ reader: inout DocumentReader) {
    var groups: [BlockGroup: SourceLocation] = [:]
    var selected: Set<String> = []
    for policy in manifests.policies {
      selected.formUnion(policy.subject.pods.requirements.map(\.key))
      for rule in policy.ingress + policy.egress {
        if let group = BlockGroup(rule, manifests.nodes), groups[group] == nil { groups[group] = rule.source }
        for case .pods(let pods) in rule.peers ?? [] { selected.formUnion(pods.pods.requirements.map(\.key)) }
      }
    }
    var index = BlockIndex(Set(groups.keys))
    var owners: [IPAddress: PodManifest] = [:]
    for manifest in manifests.pods {
      if !manifest.isHostNetworked {
        for address in manifest.addresses {
          if let owner = owners.updateValue(manifest, forKey: address) {
            reader.fail(
              manifest.source, "status.podIPs",
              "\(address) already belongs to pod \(owner.namespace)/\(owner.name) at \(owner.source)",
              "give each address to one pod")
          }
        }
      }
      let own = index.groups(of: manifest.addresses)
      inhabited.formUnion(own.map(\.token))
      add(pod(manifest, own, selected), manifest)
    }
    for (group, count) in index.partial.sorted(by: { $0.key.token < $1.key.token }) where group.mustHoldAll {
      reader.warn(
        groups[group] ?? .none, "", "\(count) pods have addresses inside and outside of \(group.text): not matched",
        "name blocks of both families")
    }
  }

  private func pod(_ manifest: PodManifest, _ groups: [BlockGroup], _ selected: Set<String>) -> Pod {
    var labels = [Label(uncheckedKey: PodLabel.namespace, value: manifest.namespace)]
    for label in manifest.labels.labels where !PodLabel.incidental.contains(label.key) || selected.contains(label.key) {
      labels.append(Label(uncheckedKey: PodLabel.own(label.key), value: label.value))
    }
    var ports: [Pod.Port] = []
    for port in manifest.ports where !ports.contains(where: { $0.name == port.name && $0.protocol == port.protocol }) {
      ports.append(port)
      labels.append(Label(uncheckedKey: PodLabel.port(port.protocol, port.name), value: String(port.number)))
    }
    if manifest.isHostNetworked { labels.append(Label(uncheckedKey: PodLabel.hostNetwork, value: "true")) }
    for group in groups {
      labels.append(Label(uncheckedKey: PodLabel.blocks(group.token), value: String(group.text.prefix(100))))
    }
    return Pod(
      namespace: manifest.namespace, name: manifest.name, labels: LabelSet(sorted: labels.sorted()),
      addresses: manifest.addresses, ports: ports, source: manifest.source)
  }

  private mutating func add(_ pod: Pod, _ manifest: PodManifest) {
    out.pods.append(pod)
    var match = WorkloadRule.Match()
    if let cgroup = manifest.cgroup { match.cgroups = [Glob(cgroup)] }
    if let unit = manifest.unit { match.units = [Glob(unit)] }
    // Containers of one pod are workloads of their own that share its addresses.
    let isBound = !match.isEmpty
    if !isBound { match.pods = [pod.title] }
    out.workloads.append(
      WorkloadRule(
        name: "Pod/\(pod.title)", labels: pod.labels, match: match,
        addresses: isBound && !manifest.isHostNetworked ? pod.addresses : [], source: pod.source))
  }

  private mutating func translateNodes() {
    for node in manifests.nodes where !node.addresses.isEmpty {
      let name = "node/\(node.name)"
      nodeNetworks[node.name] = name
      out.networks.append(
        ExternalNetwork(
          name: name, prefixes: node.addresses.map { IPPrefix($0) }, isAnonymous: true, source: node.source))
    }
  }

  // MARK: Policies

  private mutating func translate(_ policy: PolicyManifest, _ reader: inout DocumentReader) {
    translateUntold(policy, &reader)
    guard let subject = model.selector(policy.subject) else {
      if model.untold(policy.subject) == nil {
        reader.warn(
          policy.source, "spec.subject", "matches no namespace that is known, so the policy has no effect",
          "add a document of kind Namespace, or select by \(NamespaceManifest.nameKey)")
      }
      return
    }
    let outgoing = outgoingRules(policy, &reader)
    let named = Set(policy.ingress.flatMap { $0.ports ?? [] }.filter { if case .named = $0 { true } else { false } })
    let variants = named.isEmpty ? [PortVariant(requirements: [], ports: [])] : model.variants(of: named)
    warnOfUnknownPorts(policy, &reader)
    if !named.isEmpty, !outgoing.isEmpty || policy.isolatesIngress {
      // What goes out is the same whatever the ports are called, and so is isolation: it must also hold for a pod whose
      // ports are not what the documents say, or are not yet.
      out.ruleSets.append(
        RuleSet(
          name: policy.name, subject: subject, incoming: policy.isolatesIngress ? isolation(policy) : [],
          outgoing: outgoing, tier: policy.tier, source: policy.source))
    }
    for variant in variants {
      var incoming = incomingRules(policy, variant.ports, &reader)
      if policy.isolatesIngress, named.isEmpty { incoming += isolation(policy) }
      if incoming.isEmpty, outgoing.isEmpty { continue }
      let name = named.isEmpty ? policy.name : "\(policy.name)\(variant.suffix.isEmpty ? "#" : variant.suffix)"
      out.ruleSets.append(
        RuleSet(
          name: name, subject: Selector(subject.requirements + variant.requirements), incoming: incoming,
          outgoing: named.isEmpty ? outgoing : [], tier: policy.tier, source: policy.source))
    }
  }

  /// Container runtimes do not tell what ports are called: where no manifest does, such a rule is about nothing.
  private func warnOfUnknownPorts(_ policy: PolicyManifest, _ reader: inout DocumentReader) {
    for rule in policy.ingress + policy.egress {
      for case .named(let name, let proto) in rule.ports ?? [] {
        let port = PortManifest.named(name, proto)
        if model.portSets.contains(where: { !port.named(in: $0).isEmpty }) { continue }
        reader.warn(
          rule.source, "",
          "\(rule.name) names the port \(name)\(proto.map { "/\($0)" } ?? ""), and no Pod manifest has one of that "
            + "name: it matches nothing", "add the manifests of the pods, or give the port's number")
      }
    }
  }

  /// The rules of a policy that refuse, for pods of namespaces that no document tells of.
  ///
  /// What their labels are is not known. Where those without labels are meant (NotIn, DoesNotExist) a Deny holds for them
  /// as well; an Accept or Pass does not.
  private mutating func translateUntold(_ policy: PolicyManifest, _ reader: inout DocumentReader) {
    guard policy.tier != .namespaced, let subject = model.untold(policy.subject) else { return }
    var denying = policy
    denying.ingress.removeAll { $0.action != .reject }
    denying.egress.removeAll { $0.action != .reject }
    // Ports have names only where there are manifests, and those mention their namespace.
    let incoming = incomingRules(denying, [], &reader).filter { !$0.ports.isEmpty }
    let outgoing = outgoingRules(denying, &reader)
    guard !incoming.isEmpty || !outgoing.isEmpty else { return }
    out.ruleSets.append(
      RuleSet(
        name: policy.name + RuleSet.untoldSuffix, subject: subject, incoming: incoming, outgoing: outgoing,
        tier: policy.tier,
        source: policy.source))
  }

  private mutating func incomingRules(
    _ policy: PolicyManifest, _ ports: [Pod.Port], _ reader: inout DocumentReader
  ) -> [Rule] {
    guard policy.tier != .namespaced || policy.isolatesIngress else { return [] }
    return policy.ingress.map { rule in
      Rule(
        name: rule.name, action: rule.action, peers: peers(of: rule, &reader),
        ports: rule.ports?.flatMap { $0.specs(among: ports) } ?? [.any], source: rule.source)
    }
  }

  private mutating func outgoingRules(_ policy: PolicyManifest, _ reader: inout DocumentReader) -> [Rule] {
    guard policy.tier != .namespaced || policy.isolatesEgress else { return [] }
    var rules: [Rule] = []
    for rule in policy.egress {
      let numbered = rule.ports?.flatMap { $0.specs(among: []) } ?? [.any]
      var named = Set(rule.ports ?? []).filter { if case .named = $0 { true } else { false } }.flatMap(model.numbers)
      named.sort { $0.port < $1.port }
      var made = Rule(name: rule.name, action: rule.action, peers: [], ports: numbered, source: rule.source)
      if !numbered.isEmpty || named.isEmpty {
        made.peers = peers(of: rule, &reader)
        rules.append(made)
      }
      for (requirement, port) in named {
        made.peers = peers(of: rule, having: requirement, &reader)
        made.ports = [.ports(port.protocol, PortRange(port.number, port.number))]
        if !made.peers.isEmpty { rules.append(made) }
      }
    }
    return rules + (policy.isolatesEgress ? isolation(policy) : [])
  }

  /// What a NetworkPolicy says to everybody whom it does not name; a pod may always talk to its node.
  private func isolation(_ policy: PolicyManifest) -> [Rule] {
    let host = Selector(LabelSet.host.labels.map { Requirement($0) })
    return [
      Rule(name: "node", action: .allow, peers: [.selector(host)], source: policy.source),
      Rule(name: "isolation", action: .reject, source: policy.source),
    ]
  }

  // MARK: Peers

  /// Whom a rule is about; `having` narrows that to pods with a named port.
  private mutating func peers(
    of rule: RuleManifest, having requirement: Requirement? = nil, _ reader: inout DocumentReader
  ) -> [Peer] {
    let more = requirement.map { [$0] } ?? []
    guard let peers = rule.peers else { return [requirement.map { .selector(Selector([$0])) } ?? .any] }
    var out: [Peer] = []
    for peer in peers {
      switch peer {
      case .pods(let pods):
        if let selector = model.selector(pods, withUntold: rule.action == .reject) {
          out.append(.selector(Selector(selector.requirements + more)))
        } else if warned.insert(rule.source).inserted {
          reader.warn(
            rule.source, "", "a peer of \(rule.name) matches no namespace that is known",
            "add a document of kind Namespace, or select by \(NamespaceManifest.nameKey)")
        }
      case .block(let block): if requirement == nil { out.append(.network(network(block, rule.source))) }
      case .nodes(let selector): if requirement == nil { out += nodes(selector) }
      case .nothing: break
      }
    }
    if let token = BlockGroup(rule, manifests.nodes)?.token, inhabited.contains(token) {
      out.append(.selector(Selector([Requirement(uncheckedKey: PodLabel.blocks(token), .exists)] + more)))
    }
    return out
  }

  private mutating func network(_ block: AddressBlock, _ source: SourceLocation) -> String {
    if let known = networks[block] { return known }
    let name = "cidr/\(block.text)"
    networks[block] = name
    out.networks.append(
      ExternalNetwork(
        name: name, prefixes: [block.prefix], excluded: block.except, isAnonymous: true, source: source))
    return name
  }

  /// Nodes by label; all nodes are this host as well, and the pods in their networks.
  private func nodes(_ selector: Selector) -> [Peer] {
    var out = manifests.nodes.filter { selector.matches($0.labels) }
      .compactMap { nodeNetworks[$0.name].map(Peer.network) }
    // This host is one of them by its addresses, and whatever they are if all nodes are meant.
    let isHere = manifests.nodes.contains {
      selector.matches($0.labels) && !localAddresses.isDisjoint(with: $0.addresses)
    }
    if selector.isEverything || isHere {
      out.append(.selector(Selector(LabelSet.host.labels.map { Requirement($0) })))
    }
    if selector.isEverything {
      out.append(.selector(Selector([Requirement(uncheckedKey: PodLabel.hostNetwork, .exists)])))
    }
    return out
  }

  private func warnOfEqualPriorities(_ reader: inout DocumentReader) {
    var first: [Tier: PolicyManifest] = [:]
    for policy in manifests.policies.sorted(by: { $0.name < $1.name }) where policy.tier != .namespaced {
      if let other = first[policy.tier] {
        reader.warn(
          policy.source, "spec.priority",
          "is that of \(other.name) at \(other.source) too: the latter is asked first, "
            + "by its name", "give each policy of a tier a priority of its own")
      } else {
        first[policy.tier] = policy
      }
    }
  }
}
