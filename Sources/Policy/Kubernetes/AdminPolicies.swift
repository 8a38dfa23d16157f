// AdminNetworkPolicy and BaselineAdminNetworkPolicy (v1alpha1) in the words of their successor, ClusterNetworkPolicy.

/// The policies of documents as ClusterNetworkPolicy, or why not.
package struct AdminPolicyConversion: Sendable {
  /// The documents, each YAML, without `---`; empty if anything cannot be said.
  package private(set) var documents: [String] = []
  /// What is wrong with them or cannot be said, by file and line.
  package private(set) var problems: [PolicyError] = []
  /// What is worth a look.
  package private(set) var warnings: [PolicyError] = []
  /// How many documents of other kinds there are: they are left out.
  package private(set) var others = 0

  static let kinds: Set<String> = ["AdminNetworkPolicy", "BaselineAdminNetworkPolicy"]
  static let version = "policy.networking.k8s.io/v1alpha1"

  /// Reads files and says the policies of the older kinds that they hold in the new one.
  package init(files: [(name: String, bytes: [UInt8])]) {
    var reader = DocumentReader()
    for file in files {
      let faults = YAMLReader.read(file: file.name, bytes: file.bytes) { part in
        switch part {
        case .document(let node), .item(let node):
          guard let kind = node.plainText("kind") else { return }
          if Self.kinds.contains(kind) {
            if let made = reader.adminPolicy(node, kind) { documents.append(made) }
          } else if !kind.hasSuffix("List") {
            others += 1
          }
        }
      }
      reader.add(faults)
    }
    problems = reader.errors
    warnings = reader.warnings
    if !problems.isEmpty { documents = [] }
  }
}

extension DocumentReader {
  /// The most items that lists of ClusterNetworkPolicy may have.
  private static let mostItems = 25

  fileprivate mutating func adminPolicy(_ node: DocumentNode, _ kind: String) -> String? {
    let faults = errors.count
    guard node.plainText("apiVersion") == AdminPolicyConversion.version else {
      fail(
        node.location, "apiVersion", "\(kind) of another version than \(AdminPolicyConversion.version) is not read",
        "write `apiVersion: \(AdminPolicyConversion.version)`")
      return nil
    }
    let isBaseline = kind == "BaselineAdminNetworkPolicy"
    let known = ["apiVersion", "kind", "metadata", "spec", "status"]
    guard let fields = manifest(node, "", known: known) else { return nil }
    let metadata = objectMetadata(fields["metadata"], of: node, isNamespaced: false)
    guard let spec = fields["spec"] else {
      fail(node.location, "spec", "is missing", "write what the policy says")
      return nil
    }
    let parts = isBaseline ? ["subject", "ingress", "egress"] : ["priority", "subject", "ingress", "egress"]
    guard let inner = manifest(spec, "spec", known: parts) else { return nil }
    // There is one Baseline policy only: last among its successors.
    var priority = 1000
    if !isBaseline {
      if let node = inner["priority"] {
        priority = number(node, "spec.priority", in: 0...1000) ?? 0
      } else {
        fail(spec.location, "spec.priority", "is missing", "write a number from 0 to 1000")
      }
    }
    var lines = [
      "apiVersion: policy.networking.k8s.io/v1alpha2", "kind: ClusterNetworkPolicy",
      "metadata: {name: \((metadata?.name ?? "").quoted)}", "spec:", "  tier: \(isBaseline ? "Baseline" : "Admin")",
      "  priority: \(priority)",
    ]
    if let node = inner["subject"] {
      lines.append("  subject: \(adminPods(node, "spec.subject") ?? "{}")")
    } else {
      fail(spec.location, "spec.subject", "is missing", "write {namespaces: {}} for all pods")
    }
    for (list, peers) in [("ingress", "from"), ("egress", "to")] {
      guard let node = inner[list] else { continue }
      let items = self.list(node, "spec.\(list)", like: "{action: Deny, \(peers): [{namespaces: {}}]}") ?? []
      var rules: [String] = []
      for (index, item) in items.enumerated() {
        rules += adminRule(item, "spec.\(list)[\(index)]", peers, isBaseline: isBaseline)
      }
      if rules.count > Self.mostItems {
        fail(
          node.location, "spec.\(list)",
          "comes to \(rules.count) rules, and a ClusterNetworkPolicy has at most \(Self.mostItems)",
          "split the policy into several of neighbouring priorities")
      }
      lines.append(rules.isEmpty ? "  \(list): []" : "  \(list):")
      lines += rules.map { "    - \($0)" }
    }
    return errors.count == faults ? lines.joined(separator: "\n") : nil
  }

  /// `{namespaces: …}` or `{pods: {namespaceSelector: …, podSelector: …}}`, also as the first drafts of the API had them.
  private mutating func adminPods(_ node: DocumentNode, _ field: String) -> String? {
    guard let fields = manifest(node, field, known: ["namespaces", "pods"]) else { return nil }
    guard fields.count == 1 else {
      fail(node.location, field, "must have either namespaces or pods", "write {namespaces: {}} for all pods")
      return nil
    }
    if let node = fields["namespaces"] { return namespaces(node, "\(field).namespaces").map { "{namespaces: \($0)}" } }
    guard let node = fields["pods"] else { return nil }
    let known = ["namespaceSelector", "podSelector", "namespaces"]
    guard let inner = manifest(node, "\(field).pods", known: known) else { return nil }
    var scope: String? = "{}"
    if let node = inner["namespaces"] { scope = namespaces(node, "\(field).pods.namespaces") }
    if let node = inner["namespaceSelector"] {
      scope = labelSelector(node, "\(field).pods.namespaceSelector").map(Self.text)
    }
    guard let podNode = inner["podSelector"] else {
      fail(node.location, "\(field).pods.podSelector", "is missing", "write `podSelector: {}` for all pods")
      return nil
    }
    guard let scope, let pods = labelSelector(podNode, "\(field).pods.podSelector") else { return nil }
    return "{pods: {namespaceSelector: \(scope), podSelector: \(Self.text(pods))}}"
  }

  /// A selector of namespaces; `namespaceSelector` within is what the first drafts had, `sameLabels` has no successor.
  private mutating func namespaces(_ node: DocumentNode, _ field: String) -> String? {
    if case .mapping(let entries) = node.content {
      for entry in entries where ["sameLabels", "notSameLabels"].contains(entry.key) {
        fail(
          entry.location, "\(field).\(entry.key)",
          "compares the labels of two namespaces, which ClusterNetworkPolicy cannot",
          "write a policy for each value of the label")
        return nil
      }
      if let inner = entries.first(where: { $0.key == "namespaceSelector" }), entries.count == 1 {
        return labelSelector(inner.value, "\(field).namespaceSelector").map(Self.text)
      }
    }
    return labelSelector(node, field).map(Self.text)
  }

  /// One rule, or several where lists are too long for one; none, with an error, if it cannot be said.
  private mutating func adminRule(
    _ node: DocumentNode, _ field: String, _ peers: String, isBaseline: Bool
  ) -> [String] {
    guard let fields = manifest(node, field, known: ["name", "action", peers, "ports"]) else { return [] }
    var head: [String] = []
    if let node = fields["name"], let name = string(node, "\(field).name", like: "from-monitoring") {
      head.append("name: \(name.quoted)")
    }
    guard let actionNode = fields["action"] else {
      fail(node.location, "\(field).action", "is missing", "write Allow, Deny\(isBaseline ? "" : " or Pass")")
      return []
    }
    let words = [("Allow", "Accept"), ("Deny", "Deny")] + (isBaseline ? [] : [("Pass", "Pass")])
    guard let action = choice(actionNode, "\(field).action", words) else { return [] }
    head.append("action: \(action)")
    guard let peersNode = fields[peers] else {
      fail(node.location, "\(field).\(peers)", "is missing", "write at least one peer, like {namespaces: {}}")
      return []
    }
    let items = list(peersNode, "\(field).\(peers)", like: "{namespaces: {}}") ?? []
    if items.isEmpty { fail(peersNode.location, "\(field).\(peers)", "is empty", "write at least one peer") }
    let made = items.enumerated().flatMap { adminPeer($1, "\(field).\(peers)[\($0)]", peers == "to", action) }
    var ports: [String] = []
    if let node = fields["ports"] {
      let items = list(node, "\(field).ports", like: "{portNumber: {protocol: TCP, port: 80}}") ?? []
      ports = items.enumerated().compactMap { adminPort($1, "\(field).ports[\($0)]") }
      if items.isEmpty {
        fail(node.location, "\(field).ports", "is empty", "remove it: then the rule is for all ports")
      }
    }
    // Rules in a row with one action say together what one would.
    let peerLists = made.chunked(Self.mostItems)
    let portLists = ports.isEmpty ? [[]] : ports.chunked(Self.mostItems)
    return peerLists.flatMap { some in
      portLists.map { protocols in
        let parts =
          head + ["\(peers): [\(some.joined(separator: ", "))]"]
          + (protocols.isEmpty ? [] : ["protocols: [\(protocols.joined(separator: ", "))]"])
        return "{\(parts.joined(separator: ", "))}"
      }
    }
  }

  private mutating func adminPeer(
    _ node: DocumentNode, _ field: String, _ isEgress: Bool, _ action: String
  ) -> [String] {
    let known = ["namespaces", "pods"] + (isEgress ? ["nodes", "networks", "domainNames"] : [])
    guard let fields = manifest(node, field, known: known) else { return [] }
    guard fields.count == 1, let kind = fields.keys.first, let inner = fields[kind] else {
      fail(node.location, field, "must have one of \(known.joined(separator: ", "))", "write {namespaces: {}}")
      return []
    }
    switch kind {
    case "nodes": return labelSelector(inner, "\(field).nodes").map { ["{nodes: \(Self.text($0))}"] } ?? []
    case "networks":
      let items = list(inner, "\(field).networks", like: "10.0.0.0/8") ?? []
      let prefixes = items.enumerated().compactMap { cidr($1, "\(field).networks[\($0)]") }
      return prefixes.chunked(Self.mostItems).map { some in
        "{networks: [\(some.map { "\"\($0)\"" }.joined(separator: ", "))]}"
      }
    case "domainNames":
      guard action == "Accept" else {
        fail(inner.location, "\(field).domainNames", "is for Allow rules only", "deny addresses with networks")
        return []
      }
      let items = list(inner, "\(field).domainNames", like: "example.com") ?? []
      let names = items.enumerated().compactMap { string($1, "\(field).domainNames[\($0)]", like: "example.com") }
      return names.chunked(Self.mostItems).map { some in
        "{domainNames: [\(some.map(\.quoted).joined(separator: ", "))]}"
      }
    default: return adminPods(node, field).map { [$0] } ?? []
    }
  }

  private mutating func adminPort(_ node: DocumentNode, _ field: String) -> String? {
    guard let fields = manifest(node, field, known: ["portNumber", "portRange", "namedPort"]) else { return nil }
    guard fields.count == 1, let kind = fields.keys.first, let inner = fields[kind] else {
      fail(
        node.location, field, "must have one of portNumber, portRange, namedPort",
        "write {portNumber: {protocol: TCP, port: 80}}")
      return nil
    }
    if kind == "namedPort" {
      return portName(inner, "\(field).namedPort").map { "{destinationNamedPort: \($0.quoted)}" }
    }
    let path = "\(field).\(kind)"
    let ends = kind == "portNumber" ? ["port"] : ["start", "end"]
    guard let parts = manifest(inner, path, known: ["protocol"] + ends) else { return nil }
    let words = [("TCP", "tcp"), ("UDP", "udp"), ("SCTP", "sctp")]
    // The API fills in TCP.
    let proto = parts["protocol"].map { choice($0, "\(path).protocol", words) } ?? "tcp"
    var numbers: [Int] = []
    for end in ends {
      guard let node = parts[end] else {
        fail(inner.location, "\(path).\(end)", "is missing", "write a number from 1 to 65535")
        return nil
      }
      guard let number = number(node, "\(path).\(end)", in: 1...65535) else { return nil }
      numbers.append(number)
    }
    guard let proto else { return nil }
    if numbers.count == 2, numbers[0] > numbers[1] {
      fail(inner.location, "\(path).end", "\(numbers[1]) is below start \(numbers[0])", "write at least \(numbers[0])")
      return nil
    }
    let port =
      numbers.count == 1 || numbers[0] == numbers[1]
      ? "number: \(numbers[0])" : "range: {start: \(numbers[0]), end: \(numbers[1])}"
    return "{\(proto): {destinationPort: {\(port)}}}"
  }

  /// A selector of labels as YAML.
  private static func text(_ selector: Selector) -> String {
    let parts = selector.requirements.map { requirement in
      let word =
        switch requirement.operator {
        case .isIn: "In"
        case .notIn: "NotIn"
        case .exists: "Exists"
        case .doesNotExist: "DoesNotExist"
        }
      let values = requirement.values.map(\.quoted).joined(separator: ", ")
      return "{key: \(requirement.key.quoted), operator: \(word)\(values.isEmpty ? "" : ", values: [\(values)]")}"
    }
    return parts.isEmpty ? "{}" : "{matchExpressions: [\(parts.joined(separator: ", "))]}"
  }
}

extension Array {
  /// Pieces of at most so many items, in order.
  fileprivate func chunked(_ size: Int) -> [[Element]] {
    stride(from: 0, to: count, by: size).map { Array(self[$0..<Swift.min($0 + size, count)]) }
  }
}
