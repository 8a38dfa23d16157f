// A small Kubernetes cluster with policies as tests think of it: plain values, written as YAML for the product to read.

/// Everything of one cluster.
package struct KubernetesCluster: Sendable {
  /// Which addresses pods have.
  package enum Families: Sendable, CaseIterable { case ipv4, ipv6, both }

  /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
  struct Expression: Sendable {
    var key: String
    var word: String
    var values: [String]
  }

  /// A label selector.
  struct Query: Sendable {
    var labels: [String: String] = [:]
    var expressions: [Expression] = []
  }

  struct Port: Sendable {
    var name: String
    var proto: String
    var number: Int
  }

  /// A pod.
  package struct Pod: Sendable {
    var namespace: String
    var name: String
    var labels: [String: String]
    var ports: [Port]
    /// The last 32 bits of each of its addresses.
    package var address: UInt32
    var isHostNetworked = false
    /// `NAMESPACE/NAME`.
    package var title: String { "\(namespace)/\(name)" }
  }

  /// A block by the last 32 bits of addresses: the same in both families.
  struct Block: Sendable {
    var base: UInt32
    var length: Int
    var except: [(base: UInt32, length: Int)] = []
  }

  enum Peer: Sendable {
    case pods(namespaces: Query?, pods: Query?)
    case blocks([Block])
  }

  struct PortRule: Sendable {
    var proto: String?
    var number: Int?
    var end: Int?
    var name: String?
  }

  struct Rule: Sendable {
    /// `Accept`, `Deny` or `Pass`; a NetworkPolicy's rules accept.
    var action = "Accept"
    /// Nil = the field is not there.
    var peers: [Peer]?
    var ports: [PortRule]?
  }

  struct NetworkPolicy: Sendable {
    var namespace: String
    var name: String
    var pods: Query
    /// Nil = the field is not there.
    var types: [String]?
    var ingress: [Rule]?
    var egress: [Rule]?
  }

  struct ClusterPolicy: Sendable {
    var name: String
    var tier: String
    var priority: Int
    var namespaces: Query
    /// Nil = the subject is namespaces.
    var pods: Query?
    var ingress: [Rule]
    var egress: [Rule]
  }

  /// Which addresses pods have.
  package var families: Families
  var namespaces: [String: [String: String]] = [:]
  /// All pods.
  package var pods: [Pod] = []
  var policies: [NetworkPolicy] = []
  var clusterPolicies: [ClusterPolicy] = []

  /// An address as text: `10.77.1.2`, `fd77::a4d:102`.
  package static func text(_ address: UInt32, isIPv4: Bool) -> String {
    if isIPv4 { return [24, 16, 8, 0].map { String(address >> UInt32($0) & 255) }.joined(separator: ".") }
    return "fd77::\(String(address >> 16, radix: 16)):\(String(address & 0xffff, radix: 16))"
  }

  /// The addresses that a pod or stranger has.
  package func addresses(_ address: UInt32) -> [String] {
    var out: [String] = []
    if families != .ipv6 { out.append(Self.text(address, isIPv4: true)) }
    if families != .ipv4 { out.append(Self.text(address, isIPv4: false)) }
    return out
  }
}

extension KubernetesCluster {
  /// All documents.
  package var yaml: String { ([objectsYAML] + policiesYAML).joined() }

  /// Namespaces and pods.
  package var objectsYAML: String {
    var out = ""
    for (name, labels) in namespaces.sorted(by: { $0.key < $1.key }) {
      out += "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: \"\(name)\", labels: \(Self.flow(labels))}\n"
    }
    for pod in pods {
      // A container each: within one the API wants different names.
      let containers = pod.ports.enumerated().map { index, port in
        "{name: c\(index), ports: [{name: \(port.name), containerPort: \(port.number), protocol: \(port.proto)}]}"
      }
      let addresses = addresses(pod.address).map { "{ip: \"\($0)\"}" }
      out += """
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: "\(pod.name)", namespace: "\(pod.namespace)", labels: \(Self.flow(pod.labels))}
        spec:
          hostNetwork: \(pod.isHostNetworked)
          containers: [\(containers.joined(separator: ", "))]
        status: {podIPs: [\(addresses.joined(separator: ", "))]}

        """
    }
    return out
  }

  /// Each policy as a document.
  package var policiesYAML: [String] { policies.map(document) + clusterPolicies.map(document) }

  private func document(_ policy: NetworkPolicy) -> String {
    var out = """
      ---
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata: {name: "\(policy.name)", namespace: "\(policy.namespace)"}
      spec:
        podSelector: \(Self.flow(policy.pods))

      """
    if let types = policy.types { out += "  policyTypes: [\(types.joined(separator: ", "))]\n" }
    for (list, peers, rules) in [("ingress", "from", policy.ingress), ("egress", "to", policy.egress)] {
      guard let rules else { continue }
      out += "  \(list): [\(rules.map { flow($0, peers) }.joined(separator: ", "))]\n"
    }
    return out
  }

  private func flow(_ rule: Rule, _ field: String) -> String {
    var parts: [String] = []
    if let peers = rule.peers {
      let items = peers.flatMap { peer -> [String] in
        switch peer {
        case .pods(let namespaces, let pods):
          let fields = [
            namespaces.map { "namespaceSelector: \(Self.flow($0))" }, pods.map { "podSelector: \(Self.flow($0))" },
          ]
          return ["{\(fields.compactMap { $0 }.joined(separator: ", "))}"]
        case .blocks(let blocks):
          return blocks.flatMap { block in
            kinds.map { isIPv4 in
              let except = block.except.map { Self.cidr($0.base, $0.length, isIPv4) }.joined(separator: ", ")
              return "{ipBlock: {cidr: \(Self.cidr(block.base, block.length, isIPv4)), except: [\(except)]}}"
            }
          }
        }
      }
      parts.append("\(field): [\(items.joined(separator: ", "))]")
    }
    if let ports = rule.ports {
      let items = ports.map { port in
        let fields = [
          port.proto.map { "protocol: \($0)" }, port.number.map { "port: \($0)" }, port.name.map { "port: \($0)" },
          port.end.map { "endPort: \($0)" },
        ]
        return "{\(fields.compactMap { $0 }.joined(separator: ", "))}"
      }
      parts.append("ports: [\(items.joined(separator: ", "))]")
    }
    return "{\(parts.joined(separator: ", "))}"
  }

  private func document(_ policy: ClusterPolicy) -> String {
    let subject =
      policy.pods.map { "{pods: {namespaceSelector: \(Self.flow(policy.namespaces)), podSelector: \(Self.flow($0))}}" }
      ?? "{namespaces: \(Self.flow(policy.namespaces))}"
    return """
      ---
      apiVersion: policy.networking.k8s.io/v1alpha2
      kind: ClusterNetworkPolicy
      metadata: {name: \(policy.name)}
      spec:
        tier: \(policy.tier)
        priority: \(policy.priority)
        subject: \(subject)
        ingress: [\(policy.ingress.map { clusterFlow($0, "from") }.joined(separator: ", "))]
        egress: [\(policy.egress.map { clusterFlow($0, "to") }.joined(separator: ", "))]

      """
  }

  private func clusterFlow(_ rule: Rule, _ field: String) -> String {
    let peers = (rule.peers ?? []).map { peer in
      switch peer {
      case .pods(let namespaces, nil): return "{namespaces: \(Self.flow(namespaces ?? Query()))}"
      case .pods(let namespaces, .some(let pods)):
        let scope = Self.flow(namespaces ?? Query())
        return "{pods: {namespaceSelector: \(scope), podSelector: \(Self.flow(pods))}}"
      case .blocks(let blocks):
        let cidrs = blocks.flatMap { block in kinds.map { Self.cidr(block.base, block.length, $0) } }
        return "{networks: [\(cidrs.joined(separator: ", "))]}"
      }
    }
    var out = "{action: \(rule.action), \(field): [\(peers.joined(separator: ", "))]"
    if let ports = rule.ports {
      let items = ports.map { port in
        if let name = port.name { return "{destinationNamedPort: \(name)}" }
        let number = port.number ?? 1
        let inner = port.end.map { "range: {start: \(number), end: \($0)}" } ?? "number: \(number)"
        return "{\((port.proto ?? "TCP").lowercased()): {destinationPort: {\(inner)}}}"
      }
      out += ", protocols: [\(items.joined(separator: ", "))]"
    }
    return out + "}"
  }

  private var kinds: [Bool] { families == .ipv4 ? [true] : families == .ipv6 ? [false] : [true, false] }

  private static func cidr(_ base: UInt32, _ length: Int, _ isIPv4: Bool) -> String {
    "\"\(text(base, isIPv4: isIPv4))/\(isIPv4 ? length : length + 96)\""
  }

  private static func flow(_ labels: [String: String]) -> String {
    // In quotes: `y` is a fine name, and a truth to YAML.
    "{\(labels.sorted { $0.key < $1.key }.map { "\($0.key): \"\($0.value)\"" }.joined(separator: ", "))}"
  }

  private static func flow(_ query: Query) -> String {
    var parts: [String] = []
    if !query.labels.isEmpty { parts.append("matchLabels: \(flow(query.labels))") }
    if !query.expressions.isEmpty {
      let items = query.expressions.map { expression in
        let values = expression.values.isEmpty ? "" : ", values: [\(expression.values.joined(separator: ", "))]"
        return "{key: \(expression.key), operator: \(expression.word)\(values)}"
      }
      parts.append("matchExpressions: [\(items.joined(separator: ", "))]")
    }
    return "{\(parts.joined(separator: ", "))}"
  }
}
