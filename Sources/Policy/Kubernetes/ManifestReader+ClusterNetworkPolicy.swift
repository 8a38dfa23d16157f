// Documents of kind ClusterNetworkPolicy, policy.networking.k8s.io/v1alpha2.

extension DocumentReader {
  /// The most rules, peers, protocols and networks in one list, as the API has it.
  private static let mostItems = 25

  /// Reads a ClusterNetworkPolicy; what cannot be read has an error.
  mutating func clusterNetworkPolicy(
    _ metadata: ObjectMetadata, _ spec: DocumentNode, at source: SourceLocation
  ) -> PolicyManifest {
    let none = PodSet(namespaces: .own(""), pods: .everything, includesHostNetwork: false)
    var out = PolicyManifest(
      name: "ClusterNetworkPolicy/\(metadata.name)", tier: .admin(priority: 0), subject: none, source: source)
    let known = ["tier", "priority", "subject", "ingress", "egress"]
    guard let fields = manifest(spec, "spec", known: known) else { return out }
    for field in ["tier", "priority", "subject"] where fields[field] == nil {
      fail(spec.location, "spec.\(field)", "is missing", "write tier, priority and subject")
    }
    let priority = fields["priority"].flatMap { number($0, "spec.priority", in: 0...1000) } ?? 0
    let isBaseline =
      fields["tier"].flatMap { choice($0, "spec.tier", [("Admin", false), ("Baseline", true)]) } ?? false
    out.tier = isBaseline ? .baseline(priority: UInt16(priority)) : .admin(priority: UInt16(priority))
    if let node = fields["subject"], let subject = pods(node, "spec.subject") { out.subject = subject }
    if let node = fields["ingress"] { out.ingress = clusterRules(node, "ingress", "from") }
    if let node = fields["egress"] { out.egress = clusterRules(node, "egress", "to") }
    return out
  }

  /// A list of 1 to 25 items, or of none where `mayBeEmpty`.
  private mutating func shortList(
    _ node: DocumentNode, _ field: String, like example: String, mayBeEmpty: Bool = false
  ) -> [DocumentNode] {
    guard let items = list(node, field, like: example) else { return [] }
    if items.isEmpty, !mayBeEmpty {
      fail(node.location, field, "is empty", "write at least one item, like \(example)")
    }
    if items.count > Self.mostItems {
      fail(node.location, field, "has \(items.count) items; at most \(Self.mostItems) are allowed", "split the policy")
    }
    return items
  }

  /// `{namespaces: …}` or `{pods: {namespaceSelector: …, podSelector: …}}`.
  private mutating func pods(_ node: DocumentNode, _ field: String) -> PodSet? {
    guard let fields = manifest(node, field, known: ["namespaces", "pods"]) else { return nil }
    guard fields.count == 1 else {
      fail(node.location, field, "must have either namespaces or pods", "write {namespaces: {}} for all pods")
      return nil
    }
    return podSet(fields, field)
  }

  private mutating func podSet(_ fields: [String: DocumentNode], _ field: String) -> PodSet? {
    if let node = fields["namespaces"] {
      return labelSelector(node, "\(field).namespaces").map {
        PodSet(namespaces: .matching($0), pods: .everything, includesHostNetwork: false)
      }
    }
    guard let node = fields["pods"] else { return nil }
    guard let inner = manifest(node, "\(field).pods", known: ["namespaceSelector", "podSelector"]) else { return nil }
    guard let podNode = inner["podSelector"] else {
      fail(node.location, "\(field).pods.podSelector", "is missing", "write `podSelector: {}` for all pods")
      return nil
    }
    let namespaces =
      inner["namespaceSelector"].map { labelSelector($0, "\(field).pods.namespaceSelector") } ?? .everything
    guard let namespaces, let pods = labelSelector(podNode, "\(field).pods.podSelector") else { return nil }
    return PodSet(namespaces: .matching(namespaces), pods: pods, includesHostNetwork: false)
  }

  private mutating func clusterRules(_ node: DocumentNode, _ list: String, _ peers: String) -> [RuleManifest] {
    let example = "{action: Deny, \(peers): [{namespaces: {}}]}"
    return shortList(node, "spec.\(list)", like: example, mayBeEmpty: true).enumerated().map {
      clusterRule($1, "spec.\(list)[\($0)]", "\(list)[\($0)]", peers)
    }
  }

  private mutating func clusterRule(
    _ node: DocumentNode, _ field: String, _ place: String, _ peers: String
  ) -> RuleManifest {
    var rule = RuleManifest(name: place, action: .reject, peers: [], ports: nil, source: node.location)
    guard let fields = manifest(node, field, known: ["name", "action", peers, "protocols"]) else { return rule }
    if let node = fields["name"], let name = string(node, "\(field).name", like: "from-monitoring") {
      if name.unicodeScalars.count > 100 {
        fail(node.location, "\(field).name", "has more than 100 characters", "shorten it")
      }
      rule.name = name
    }
    if let node = fields["action"] {
      let words: [(String, RuleAction)] = [("Accept", .allow), ("Deny", .reject), ("Pass", .pass)]
      rule.action = choice(node, "\(field).action", words) ?? .reject
    } else {
      fail(node.location, "\(field).action", "is missing", "write Accept, Deny or Pass")
    }
    if let node = fields["protocols"] {
      let items = shortList(node, "\(field).protocols", like: "{tcp: {destinationPort: {number: 80}}}")
      rule.ports = items.enumerated().flatMap { protocols($1, "\(field).protocols[\($0)]") }
    }
    guard let peersNode = fields[peers] else {
      fail(node.location, "\(field).\(peers)", "is missing", "write at least one peer, like {namespaces: {}}")
      return rule
    }
    var isUnderstood = true
    let items = shortList(peersNode, "\(field).\(peers)", like: "{namespaces: {}}")
    rule.peers = items.enumerated().flatMap { index, item in
      clusterPeer(item, "\(field).\(peers)[\(index)]", rule, isEgress: peers == "to", &isUnderstood)
    }
    // What the API asks of whoever meets a peer of a version to come.
    if !isUnderstood, rule.action == .allow { rule.peers = [] }
    if !isUnderstood, rule.action != .allow {
      rule.action = .reject
      rule.peers = nil
      rule.ports = nil
    }
    return rule
  }

  private mutating func clusterPeer(
    _ node: DocumentNode, _ field: String, _ rule: RuleManifest, isEgress: Bool, _ isUnderstood: inout Bool
  ) -> [PeerManifest] {
    let known = ["namespaces", "pods"] + (isEgress ? ["nodes", "networks", "domainNames"] : [])
    let meaning = rule.action == .allow ? "the rule matches nothing" : "the rule denies everything"
    if !self.isUnderstood(node, field, known, meaning) {
      isUnderstood = false
      return []
    }
    guard let fields = manifest(node, field, known: known) else { return [] }
    guard fields.count == 1, let kind = fields.keys.first, let inner = fields[kind] else {
      fail(node.location, field, "must have one of \(known.joined(separator: ", "))", "write {namespaces: {}}")
      return []
    }
    let isNamed = rule.ports?.contains { if case .named = $0 { true } else { false } } ?? false
    if isNamed, kind != "namespaces", kind != "pods" {
      fail(
        inner.location, "\(field).\(kind)", "has no named ports, and the rule has a destinationNamedPort",
        "give the port's number, or make two rules")
    }
    switch kind {
    case "nodes": return labelSelector(inner, "\(field).nodes").map { [.nodes($0)] } ?? []
    case "networks":
      let items = shortList(inner, "\(field).networks", like: "10.0.0.0/8")
      let prefixes = items.enumerated().compactMap { cidr($1, "\(field).networks[\($0)]") }
      if Set(prefixes).count < prefixes.count {
        fail(inner.location, "\(field).networks", "holds a network more than once", "keep one of them")
      }
      return prefixes.map { .block(AddressBlock(prefix: $0, except: [])) }
    case "domainNames":
      domainNames(inner, "\(field).domainNames", rule.action)
      return [.nothing]
    default: return podSet(fields, field).map { [.pods($0)] } ?? []
    }
  }

  private mutating func domainNames(_ node: DocumentNode, _ field: String, _ action: RuleAction) {
    for (index, item) in shortList(node, field, like: "example.com").enumerated() {
      guard let name = string(item, "\(field)[\(index)]", like: "example.com") else { continue }
      var labels = name.split(separator: ".", omittingEmptySubsequences: false)
      if labels.last == "" { labels.removeLast() }
      if labels.first == "*" { labels.removeFirst() }
      let isGood = labels.allSatisfy { label in
        let allowed = label.utf8.allSatisfy {
          Label.isAlphanumeric($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
        }
        return allowed && Label.isAlphanumeric(label.utf8.first) && Label.isAlphanumeric(label.utf8.last)
      }
      guard isGood, labels.count >= 2 else {
        fail(
          item.location, "\(field)[\(index)]", "\(name.shown) is not a domain name",
          "write it like example.com or *.example.com")
        continue
      }
    }
    if action != .allow {
      fail(node.location, field, "is for Accept rules only", "deny addresses with networks")
    } else {
      warn(node.location, field, "names are not looked up here: the peer matches nothing", "use networks")
    }
  }

  private mutating func protocols(_ node: DocumentNode, _ field: String) -> [PortManifest] {
    let known = ["tcp", "udp", "sctp", "destinationNamedPort"]
    guard let fields = manifest(node, field, known: known) else { return [] }
    guard fields.count == 1, let kind = fields.keys.first, let inner = fields[kind] else {
      fail(
        node.location, field, "must have one of \(known.joined(separator: ", "))",
        "write {tcp: {destinationPort: {number: 80}}}")
      return []
    }
    if kind == "destinationNamedPort" {
      return portName(inner, "\(field).\(kind)").map { [.named($0, nil)] } ?? []
    }
    guard let proto = IPProtocol(named: kind) else { return [] }
    let path = "\(field).\(kind)"
    guard let outer = manifest(inner, path, known: ["destinationPort"]) else { return [] }
    guard let node = outer["destinationPort"] else {
      fail(inner.location, path, "says nothing", "write destinationPort")
      return []
    }
    return destinationPort(node, "\(path).destinationPort").map { [.range(proto, $0)] } ?? []
  }

  private mutating func destinationPort(_ node: DocumentNode, _ field: String) -> PortRange? {
    guard let fields = manifest(node, field, known: ["number", "range"]) else { return nil }
    guard fields.count == 1 else {
      fail(node.location, field, "must have either number or range", "write {number: 80}")
      return nil
    }
    if let node = fields["number"] {
      return number(node, "\(field).number", in: 1...65535).map { PortRange(UInt16($0), UInt16($0)) }
    }
    guard let node = fields["range"], let ends = manifest(node, "\(field).range", known: ["start", "end"]) else {
      return nil
    }
    guard let start = ends["start"], let end = ends["end"] else {
      fail(node.location, "\(field).range", "must have start and end", "write {start: 8000, end: 8080}")
      return nil
    }
    guard let first = number(start, "\(field).range.start", in: 1...65535),
      let last = number(end, "\(field).range.end", in: 1...65535)
    else { return nil }
    guard first < last else {
      fail(end.location, "\(field).range.end", "\(last) is not above start \(first)", "write number for a single port")
      return nil
    }
    return PortRange(UInt16(first), UInt16(last))
  }
}
