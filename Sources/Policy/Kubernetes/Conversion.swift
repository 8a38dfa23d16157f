// From native rule sets to Kubernetes policies and back, where nothing is lost on the way.

/// Documents in other words, or why there are none.
package struct PolicyConversion: Sendable {
  /// The documents, each YAML, without `---`; empty if anything cannot be said.
  package private(set) var documents: [String] = []
  /// What cannot be said in the other language, and why.
  package private(set) var problems: [PolicyError] = []

  /// Says a policy in native documents.
  ///
  /// Namespaces, pods and nodes stay as they are: they are no policy.
  package static func native(_ policy: PolicySet) -> PolicyConversion {
    var out = PolicyConversion()
    out.writeNative(policy)
    if !out.problems.isEmpty { out.documents = [] }
    return out
  }

  /// Says a policy in Kubernetes documents.
  package static func kubernetes(_ policy: PolicySet) -> PolicyConversion {
    var out = PolicyConversion()
    out.writeKubernetes(policy)
    if !out.problems.isEmpty { out.documents = [] }
    return out
  }

  private mutating func fail(_ source: SourceLocation, _ field: String, _ message: String, _ remedy: String) {
    let problem = PolicyError(source, field, message, remedy)
    if !problems.contains(problem) { problems.append(problem) }
  }
}

// MARK: To native documents

extension PolicyConversion {
  private mutating func writeNative(_ policy: PolicySet) {
    let defaults = policy.defaults
    documents.append(
      """
      apiVersion: sallyport/v1
      kind: Defaults
      metadata: {name: defaults}
      spec:
        incoming: \(defaults.workloads.incoming)
        outgoing: \(defaults.workloads.outgoing)
        host: {incoming: \(defaults.host.incoming), outgoing: \(defaults.host.outgoing)}
        pods: {incoming: \(defaults.pods.incoming), outgoing: \(defaults.pods.outgoing)}
      """)
    let selectors = policy.ruleSets.flatMap { [$0.subject] + ($0.incoming + $0.outgoing).flatMap(\.peers).selectors }
    for network in policy.networks {
      let named = ExternalNetwork(name: Self.name(network.name), labels: network.labels, prefixes: [])
      if network.isAnonymous,
        selectors.contains(where: { $0.matches(.world) != $0.matches(named.selectableLabels) })
      {
        fail(
          network.source, "", "\(network.name) would no longer be world to selectors that ask for it", "name it there")
      }
      let cidrs = network.prefixes.map { "\"\($0)\"" } + network.excluded.map { "\"!\($0)\"" }
      let labels = network.labels.labels.map { "\($0.key): \($0.value.quoted)" }.joined(separator: ", ")
      documents.append(
        """
        apiVersion: sallyport/v1
        kind: ExternalNetwork
        metadata: {name: \(named.name)\(labels.isEmpty ? "" : ", labels: {\(labels)}")}
        spec: {cidrs: [\(cidrs.joined(separator: ", "))]}
        """)
    }
    // Rejects of the Admin tier beat everything only as long as nothing of it overrules them.
    let overruling = policy.ruleSets.first { ruleSet in
      guard case .admin = ruleSet.tier else { return false }
      return (ruleSet.incoming + ruleSet.outgoing).contains { $0.action != .reject }
    }
    for ruleSet in policy.ruleSets { writeNative(ruleSet, defaults, overruling) }
  }

  private mutating func writeNative(_ ruleSet: RuleSet, _ defaults: Defaults, _ overruling: RuleSet?) {
    var lines = [
      "apiVersion: sallyport/v1", "kind: NetworkRuleSet", "metadata: {name: \(Self.name(ruleSet.name))}", "spec:",
      "  subject: \(ruleSet.subject.description.quoted)",
    ]
    for direction in Direction.allCases where !ruleSet.rules(direction).isEmpty {
      lines.append("  \(direction):")
      for rule in ruleSet.rules(direction) {
        check(rule, of: ruleSet, direction, defaults, overruling)
        // What the default does already.
        if ruleSet.tier == .namespaced, rule.action == .reject { continue }
        let peers = rule.peers.map { peer in
          switch peer {
          case .selector(let selector): "{selector: \(selector.description.quoted)}"
          case .network(let name): "{network: \(Self.name(name))}"
          }
        }
        let ports = rule.ports.contains(.any) ? "any" : "[\(rule.ports.map(\.description).joined(separator: ", "))]"
        lines.append(
          "    - {name: \(rule.name.quoted), action: \(rule.action), peers: "
            + (rule.peers.contains(.any) ? "any" : "[\(peers.joined(separator: ", "))]") + ", ports: \(ports)"
            + "\(rule.log ? ", log: true" : "")\(rule.mode == .observe ? ", mode: observe" : "")}")
      }
      if lines.last == "  \(direction):" { lines[lines.count - 1] += " []" }
    }
    documents.append(lines.joined(separator: "\n"))
  }

  /// Notes what a rule says that native rules cannot.
  private mutating func check(
    _ rule: Rule, of ruleSet: RuleSet, _ direction: Direction, _ defaults: Defaults, _ overruling: RuleSet?
  ) {
    let source = rule.source
    switch ruleSet.tier {
    case .native: break
    case .namespaced where rule.action == .reject && defaults.pods[direction] == .allow:
      fail(
        source, "", "\(ruleSet.name) isolates some pods, and native rules know only the default of all",
        "write a Defaults document with pods: {\(direction): reject} if all pods are to be isolated")
    case .namespaced: break
    case .admin:
      if let overruling {
        fail(
          source, rule.name, "\(ruleSet.name) is of a tier in which \(overruling.name) overrules rejects",
          "keep the ClusterNetworkPolicy: it stands beside native rules")
      }
    case .baseline:
      fail(
        source, rule.name, "\(ruleSet.name) gives way to all allows and to isolation, and no native rule does",
        "keep the ClusterNetworkPolicy: it stands beside native rules")
    }
    if rule.peers.selectors.contains(where: { $0.requirements.contains { $0.key.hasPrefix("k8s.cidr/") } }) {
      fail(
        source, rule.name, "pods lie in the CIDRs of the rule, and native networks hold no workloads",
        "select these pods by their labels")
    }
  }

  /// A name as native documents may have it.
  private static func name(_ name: String) -> String {
    String(
      name.unicodeScalars.map { scalar in
        scalar.isASCII && (Label.isNameByte(UInt8(scalar.value)) || scalar == "/") ? Character(scalar) : "-"
      })
  }
}

extension [Peer] {
  /// The selectors among them.
  var selectors: [Selector] { compactMap { if case .selector(let selector) = $0 { selector } else { nil } } }
}

// MARK: To Kubernetes documents

extension PolicyConversion {
  private mutating func writeKubernetes(_ policy: PolicySet) {
    for ruleSet in policy.ruleSets where ruleSet.tier != .native {
      fail(ruleSet.source, "", "\(ruleSet.name) is a Kubernetes policy already", "convert native documents alone")
    }
    var namespaces: Set<String> = Set(policy.pods.map(\.namespace))
    for ruleSet in policy.ruleSets where ruleSet.tier == .native {
      guard let (namespace, pods) = Self.subject(ruleSet.subject) else {
        fail(
          ruleSet.source, "spec.subject", "is not the pods of one namespace",
          "write k8s.namespace=NAME and labels under k8s.label/")
        continue
      }
      namespaces.insert(namespace)
      write(ruleSet, namespace, pods, policy)
    }
    for direction in Direction.allCases where policy.defaults.pods[direction] == .reject {
      let type = direction == .incoming ? "Ingress" : "Egress"
      for namespace in namespaces.sorted() {
        let scope = Selector([Requirement(uncheckedKey: PodLabel.namespace, .isIn, [namespace])])
        let opened = policy.ruleSets.filter { $0.subject == scope }.flatMap { $0.rules(direction) }
        if !opened.contains(where: Self.allowsNode) {
          fail(
            policy.defaults.source, "spec.pods.\(direction)",
            "refuses the host in namespace \(namespace), and Kubernetes always lets a node talk to its pods",
            "allow {selector: sallyport.identity=host} any ports for the subject \(scope)")
        }
        documents.append(
          Self.policy("default-\(type.lowercased())", namespace, "{podSelector: {}, policyTypes: [\(type)]}"))
      }
    }
  }

  private mutating func write(_ ruleSet: RuleSet, _ namespace: String, _ pods: String, _ policy: PolicySet) {
    for direction in Direction.allCases where !ruleSet.rules(direction).isEmpty {
      let (type, list, field) =
        direction == .incoming ? ("Ingress", "ingress", "from") : ("Egress", "egress", "to")
      var rules: [String] = []
      if policy.defaults.pods[direction] == .allow {
        fail(
          ruleSet.source, "spec.\(direction)", "would isolate its subject, and the default of pods is to allow",
          "write a Defaults document with pods: {\(direction): reject}")
      }
      for rule in ruleSet.rules(direction) where !Self.allowsNode(rule) || rule.peers.contains(.any) {
        guard let ports = portList(rule), let peers = peerList(rule, policy), isPlain(rule) else { continue }
        let parts = [peers.map { "\(field): [\($0)]" }, ports.map { "ports: [\($0)]" }].compactMap { $0 }
        rules.append("{\(parts.joined(separator: ", "))}")
      }
      documents.append(
        Self.policy(
          "\(Self.dnsName(ruleSet.name))-\(list)", namespace,
          "{podSelector: \(pods), policyTypes: [\(type)], \(list): [\(rules.joined(separator: ", "))]}"))
    }
  }

  /// Whether it allows the host everything, which every NetworkPolicy does.
  private static func allowsNode(_ rule: Rule) -> Bool {
    rule.action == .allow && rule.ports.contains(.any) && rule.mode == .enforce
      && rule.peers.selectors.contains {
        $0.isEverything || $0.requirements == LabelSet.host.labels.map { Requirement($0) }
      }
  }

  private mutating func isPlain(_ rule: Rule) -> Bool {
    if rule.action != .allow {
      fail(rule.source, rule.name, "rejects, and a NetworkPolicy only allows", "keep it native")
    }
    if rule.mode == .observe {
      fail(rule.source, rule.name, "is observed, which Kubernetes does not know", "keep it native")
    }
    if rule.log { fail(rule.source, rule.name, "asks for log lines, which Kubernetes does not know", "keep it native") }
    return rule.action == .allow && rule.mode == .enforce && !rule.log
  }

  /// What a NetworkPolicy says of ports: nil within nil = no list at all; nil = it cannot.
  private mutating func portList(_ rule: Rule) -> String?? {
    if rule.ports.contains(.any) { return .some(nil) }
    var out: [String] = []
    for spec in rule.ports {
      guard case .ports(let proto, let range) = spec, proto.hasPorts else {
        fail(rule.source, rule.name, "\(spec) is not TCP, UDP or SCTP", "keep it native")
        return nil
      }
      let name = proto.description.uppercased()
      switch range {
      case PortRange(0, 65535): out.append("{protocol: \(name)}")
      case _ where range.first == 0:
        fail(rule.source, rule.name, "\(spec) begins with port 0, which Kubernetes does not know", "begin with 1")
        return nil
      case _ where range.first == range.last: out.append("{protocol: \(name), port: \(range.first)}")
      default: out.append("{protocol: \(name), port: \(range.first), endPort: \(range.last)}")
      }
    }
    if out.isEmpty { fail(rule.source, rule.name, "an empty list means everything in Kubernetes", "remove the rule") }
    return .some(out.joined(separator: ", "))
  }

  /// Likewise, of peers.
  private mutating func peerList(_ rule: Rule, _ policy: PolicySet) -> String?? {
    if rule.peers.contains(.any) { return .some(nil) }
    var out: [String] = []
    for peer in rule.peers {
      switch peer {
      case .selector(let selector):
        guard let text = Self.podPeer(selector) else {
          fail(
            rule.source, rule.name, "\(selector.description.shown) may be more than pods",
            "ask for a label under k8s.label/, or for k8s.namespace")
          return nil
        }
        out.append(text)
      case .network(let name):
        guard let network = policy.network(named: name) else { continue }
        if let pod = policy.pods.first(where: { $0.addresses.contains(where: network.contains) }) {
          fail(
            rule.source, rule.name, "network \(name) holds pod \(pod.title), and an ipBlock would mean it", "narrow it")
          return nil
        }
        out += network.prefixes.map { prefix in
          let except = network.excluded.filter { prefix.contains($0) && $0 != prefix }.map { "\"\($0)\"" }
          return "{ipBlock: {cidr: \"\(prefix)\", except: [\(except.joined(separator: ", "))]}}"
        }
        if network.prefixes.contains(where: { prefix in network.excluded.contains { $0.contains(prefix) } }) {
          fail(rule.source, rule.name, "network \(name) excludes one of its own blocks", "remove the block")
        }
      }
    }
    if out.isEmpty { fail(rule.source, rule.name, "an empty list means everybody in Kubernetes", "remove the rule") }
    return .some(out.joined(separator: ", "))
  }

  /// The namespace and pod selector of a subject; nil if it is anything else.
  private static func subject(_ selector: Selector) -> (namespace: String, pods: String)? {
    guard let scope = selector.requirements.first(where: { $0.key == PodLabel.namespace }), scope.operator == .isIn,
      let name = scope.values.first, scope.values.count == 1, let pods = podSelector(selector)
    else { return nil }
    return (name, pods)
  }

  private static func podPeer(_ selector: Selector) -> String? {
    let isPod = selector.requirements.contains {
      $0.key.hasPrefix("k8s.") && ($0.operator == .isIn || $0.operator == .exists)
    }
    guard isPod, let pods = podSelector(selector) else { return nil }
    let scope = selector.requirements.filter { $0.key == PodLabel.namespace && $0.operator != .exists }
    let namespaces = scope.map { expression($0, NamespaceManifest.nameKey) }.joined(separator: ", ")
    return "{namespaceSelector: \(scope.isEmpty ? "{}" : "{matchExpressions: [\(namespaces)]}"), podSelector: \(pods)}"
  }

  /// Everything but the namespace; nil if it is not all labels of pods.
  private static func podSelector(_ selector: Selector) -> String? {
    var parts: [String] = []
    for requirement in selector.requirements where requirement.key != PodLabel.namespace {
      let key: String
      if requirement.key.hasPrefix("k8s.label/") {
        key = String(requirement.key.dropFirst("k8s.label/".count))
      } else if requirement.key.hasPrefix("k8s.label.") {
        key = String(requirement.key.dropFirst("k8s.label.".count))
      } else {
        return nil
      }
      parts.append(expression(requirement, key))
    }
    return parts.isEmpty ? "{}" : "{matchExpressions: [\(parts.joined(separator: ", "))]}"
  }

  private static func expression(_ requirement: Requirement, _ key: String) -> String {
    let word =
      switch requirement.operator {
      case .isIn: "In"
      case .notIn: "NotIn"
      case .exists: "Exists"
      case .doesNotExist: "DoesNotExist"
      }
    let values = requirement.values.map(\.quoted).joined(separator: ", ")
    return "{key: \"\(key)\", operator: \(word)\(values.isEmpty ? "" : ", values: [\(values)]")}"
  }

  private static func dnsName(_ name: String) -> String {
    let bytes = name.lowercased().utf8.map { Label.isAlphanumeric($0) ? $0 : UInt8(ascii: "-") }
    return String(decoding: bytes.prefix(200), as: UTF8.self)
  }

  private static func policy(_ name: String, _ namespace: String, _ spec: String) -> String {
    """
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: "\(name)", namespace: "\(namespace)"}
    spec: \(spec)
    """
  }
}
