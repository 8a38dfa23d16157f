// Documents of kind NetworkPolicy, networking.k8s.io/v1.

extension DocumentReader {
  /// Reads a NetworkPolicy; what cannot be read has an error.
  mutating func networkPolicy(
    _ metadata: ObjectMetadata, _ spec: DocumentNode?, at source: SourceLocation
  ) -> PolicyManifest {
    let own = NamespaceScope.own(metadata.namespace)
    var out = PolicyManifest(
      name: "NetworkPolicy/\(metadata.namespace)/\(metadata.name)", tier: .namespaced,
      subject: PodSet(namespaces: own, pods: .everything, includesHostNetwork: true), source: source)
    let known = ["podSelector", "ingress", "egress", "policyTypes"]
    let fields = spec.flatMap { manifest($0, "spec", known: known) } ?? [:]
    if let node = fields["podSelector"], let selector = labelSelector(node, "spec.podSelector") {
      out.subject = PodSet(namespaces: own, pods: selector, includesHostNetwork: true)
    }
    if let node = fields["ingress"] { out.ingress = rules(node, "ingress", "from", metadata.namespace) }
    if let node = fields["egress"] { out.egress = rules(node, "egress", "to", metadata.namespace) }
    let types = fields["policyTypes"].map { policyTypes($0) } ?? []
    // As the API server fills it in: incoming always, outgoing only if there are rules for it.
    out.isolatesIngress = types.isEmpty || types.contains(.incoming)
    out.isolatesEgress = types.isEmpty ? !out.egress.isEmpty : types.contains(.outgoing)
    for (rules, isolates, field) in [
      (out.ingress, out.isolatesIngress, "ingress"), (out.egress, out.isolatesEgress, "egress"),
    ] where !rules.isEmpty && !isolates {
      warn(
        fields[field]?.location ?? source, "spec.\(field)", "the rules have no effect: policyTypes leaves them out",
        "add \(field == "ingress" ? "Ingress" : "Egress") to policyTypes, or remove them")
    }
    return out
  }

  private mutating func policyTypes(_ node: DocumentNode) -> Set<Direction> {
    guard let items = list(node, "spec.policyTypes", like: "Ingress, Egress") else { return [] }
    if items.count > 2 {
      fail(
        node.location, "spec.policyTypes", "has \(items.count) entries; at most 2 are allowed", "name each type once")
    }
    var types: Set<Direction> = []
    for (index, item) in items.enumerated() {
      let words = [("Ingress", Direction.incoming), ("Egress", Direction.outgoing)]
      if let type = choice(item, "spec.policyTypes[\(index)]", words) { types.insert(type) }
    }
    return types
  }

  private mutating func rules(
    _ node: DocumentNode, _ list: String, _ peers: String, _ namespace: String
  ) -> [RuleManifest] {
    let items = self.list(node, "spec.\(list)", like: "{\(peers): [{podSelector: {}}]}") ?? []
    return items.enumerated().map { index, item in
      let field = "spec.\(list)[\(index)]"
      var rule = RuleManifest(name: "\(list)[\(index)]", action: .allow, peers: [], ports: [], source: item.location)
      guard let fields = manifest(item, field, known: [peers, "ports"]) else { return rule }
      // An empty list is as good as none: everybody, everything.
      rule.peers = nil
      rule.ports = nil
      if let node = fields[peers] {
        let items = self.list(node, "\(field).\(peers)", like: "{podSelector: {}}") ?? []
        if !items.isEmpty { rule.peers = items.enumerated().map { peer($1, "\(field).\(peers)[\($0)]", namespace) } }
      }
      if let node = fields["ports"] {
        let items = self.list(node, "\(field).ports", like: "{protocol: TCP, port: 80}") ?? []
        if !items.isEmpty { rule.ports = items.enumerated().compactMap { port($1, "\(field).ports[\($0)]") } }
      }
      return rule
    }
  }

  private mutating func peer(_ node: DocumentNode, _ field: String, _ namespace: String) -> PeerManifest {
    let known = ["podSelector", "namespaceSelector", "ipBlock"]
    guard isUnderstood(node, field, known, "it matches nothing") else { return .nothing }
    guard let fields = manifest(node, field, known: known) else { return .nothing }
    let selector = fields["podSelector"].map { labelSelector($0, "\(field).podSelector") }
    let namespaces = fields["namespaceSelector"].map { labelSelector($0, "\(field).namespaceSelector") }
    if let node = fields["ipBlock"] {
      if fields.count > 1 {
        fail(node.location, field, "has ipBlock and another peer", "make two peers of them")
      }
      return block(node, "\(field).ipBlock").map(PeerManifest.block) ?? .nothing
    }
    guard !fields.isEmpty else {
      fail(node.location, field, "names no peer", "write podSelector, namespaceSelector or ipBlock")
      return .nothing
    }
    // A selector that could not be read has its error.
    if case .some(.none) = selector { return .nothing }
    if case .some(.none) = namespaces { return .nothing }
    return .pods(
      PodSet(
        namespaces: (namespaces ?? nil).map(NamespaceScope.matching) ?? .own(namespace),
        pods: (selector ?? nil) ?? .everything, includesHostNetwork: true))
  }

  /// Whether a peer has only known fields; one that a newer version defines is not guessed at.
  mutating func isUnderstood(_ node: DocumentNode, _ field: String, _ known: [String], _ meaning: String) -> Bool {
    guard case .mapping(let entries) = node.content,
      let stranger = entries.first(where: { !known.contains($0.key) })
    else { return true }
    let near = Spelling.nearest(to: stranger.key, in: known)
    warn(
      stranger.location, DocumentReader.join(field, stranger.key),
      "this version knows no such peer, so \(meaning)",
      near.map { "did you mean `\($0)`?" } ?? "known here: \(known.joined(separator: ", "))")
    return false
  }

  private mutating func block(_ node: DocumentNode, _ field: String) -> AddressBlock? {
    guard let fields = manifest(node, field, known: ["cidr", "except"]) else { return nil }
    guard let node = fields["cidr"] else {
      fail(node.location, "\(field).cidr", "is missing", "write it like 10.0.0.0/8")
      return nil
    }
    guard let prefix = cidr(node, "\(field).cidr") else { return nil }
    var except: [IPPrefix] = []
    if let node = fields["except"] {
      for (index, item) in (list(node, "\(field).except", like: "10.1.0.0/16") ?? []).enumerated() {
        guard let inner = cidr(item, "\(field).except[\(index)]") else { continue }
        guard prefix.contains(inner), inner != prefix else {
          fail(
            item.location, "\(field).except[\(index)]", "\(inner) is not a smaller block inside \(prefix)",
            "name a block inside of the CIDR, or remove it")
          continue
        }
        except.append(inner)
      }
    }
    return AddressBlock(prefix: prefix, except: Set(except).sorted())
  }

  /// A CIDR; bits after the prefix, which Kubernetes lets pass, are cleared and told.
  mutating func cidr(_ node: DocumentNode, _ field: String) -> IPPrefix? {
    guard let text = string(node, field, like: "10.0.0.0/8") else { return nil }
    do throws(AddressError) {
      return try IPPrefix(parsing: text)
    } catch {
      if let masked = IPPrefix(maskingText: text) {
        warn(node.location, field, "\(text) has bits set after the prefix and means \(masked)", "write \(masked)")
        return masked
      }
      fail(node.location, field, "\(error.text.shown) \(error.problem)", error.remedy)
      return nil
    }
  }

  private mutating func port(_ node: DocumentNode, _ field: String) -> PortManifest? {
    guard let fields = manifest(node, field, known: ["protocol", "port", "endPort"]) else { return nil }
    let words: [(String, IPProtocol)] = [("TCP", .tcp), ("UDP", .udp), ("SCTP", .sctp)]
    let proto = fields["protocol"].map { choice($0, "\(field).protocol", words) } ?? .tcp
    let endNode = fields["endPort"]
    guard let node = fields["port"] else {
      if let endNode {
        fail(endNode.location, "\(field).endPort", "there is no port for it to end", "write port as well")
      }
      return proto.map { .range($0, PortRange(0, 65535)) }
    }
    guard case .text(let text, isPlain: true) = node.content, Int(text) != nil || YAMLType.isOddNumber(text) else {
      if let endNode {
        fail(endNode.location, "\(field).endPort", "a named port has no end", "give port a number, or remove endPort")
      }
      guard let name = portName(node, "\(field).port"), let proto else { return nil }
      return .named(name, proto)
    }
    guard let first = number(node, "\(field).port", in: 1...65535) else { return nil }
    var last = first
    if let endNode {
      guard let end = number(endNode, "\(field).endPort", in: 1...65535) else { return nil }
      guard end >= first else {
        fail(endNode.location, "\(field).endPort", "\(end) is below port \(first)", "write at least \(first)")
        return nil
      }
      last = end
    }
    return proto.map { .range($0, PortRange(UInt16(first), UInt16(last))) }
  }

  /// 1 to 15 lower-case letters, digits and single dashes, at least one letter, no dash first or last.
  mutating func portName(_ node: DocumentNode, _ field: String) -> String? {
    guard let name = string(node, field, like: "http") else { return nil }
    let bytes = Array(name.utf8)
    let allowed = bytes.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "-") }
    let dash = UInt8(ascii: "-")
    let doubled = zip(bytes, bytes.dropFirst()).contains { $0 == dash && $1 == dash }
    guard allowed, (1...15).contains(bytes.count), bytes.contains(where: { (97...122).contains($0) }),
      bytes.first != dash, bytes.last != dash, !doubled
    else {
      fail(
        node.location, field, "\(name.shown) is not a port name",
        "use 1 to 15 lower-case letters, digits and single `-`, with a letter; a number goes without quotes")
      return nil
    }
    return name
  }
}

extension IPPrefix {
  /// Reads a CIDR that may have bits set after the prefix; nil if it is none.
  fileprivate init?(maskingText text: String) {
    guard let slash = text.firstIndex(of: "/"), let address = try? IPAddress(parsing: String(text[..<slash])),
      let written = IPAddress.decimal(Array(text[text.index(after: slash)...].utf8)[...], digits: 3)
    else { return nil }
    let isDotted = !text[..<slash].contains(":")
    guard written <= (isDotted ? 32 : 128) else { return nil }
    self.init(masking: address, length: isDotted ? written + 96 : written)
  }
}
