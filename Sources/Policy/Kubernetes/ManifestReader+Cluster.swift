// Documents of kind Namespace, Pod and Node: who there is, so far as policy asks.

extension DocumentReader {
  /// Takes a Namespace; its name is also a label, as the API server sees to.
  mutating func namespace(_ metadata: ObjectMetadata, at source: SourceLocation) -> NamespaceManifest {
    let name = Label(uncheckedKey: NamespaceManifest.nameKey, value: metadata.name)
    if let said = metadata.labels[NamespaceManifest.nameKey], said != metadata.name {
      fail(
        source, "metadata.labels.\(NamespaceManifest.nameKey)", "is \(said.shown), and the name is \(metadata.name)",
        "remove the label: it is always the name")
    }
    return NamespaceManifest(
      name: metadata.name, labels: metadata.labels.merging(LabelSet(sorted: [name])), source: source)
  }

  /// Reads a Node: its labels and `status.addresses`.
  mutating func node(
    _ metadata: ObjectMetadata, _ status: DocumentNode?, at source: SourceLocation
  ) -> NodeManifest {
    var out = NodeManifest(name: metadata.name, labels: metadata.labels, addresses: [], source: source)
    guard let status, let list = status.member("addresses") else { return out }
    for (index, item) in (self.list(list, "status.addresses", like: "{type: InternalIP, address: 10.0.0.1}") ?? [])
      .enumerated()
    {
      guard let type = item.member("type"), case .text(let word, _) = type.content, word.hasSuffix("IP"),
        let node = item.member("address"),
        let found = address(node, "status.addresses[\(index)].address")
      else { continue }
      out.addresses.append(found)
    }
    return out
  }

  /// Reads a Pod: network, named ports, addresses; the rest says nothing to policy.
  mutating func pod(
    _ metadata: ObjectMetadata, _ spec: DocumentNode?, _ status: DocumentNode?, at source: SourceLocation
  ) -> PodManifest {
    var out = PodManifest(
      namespace: metadata.namespace, name: metadata.name, labels: metadata.labels,
      cgroup: metadata.annotations["sallyport/cgroup"], unit: metadata.annotations["sallyport/unit"], source: source)
    if let cgroup = out.cgroup, !cgroup.hasPrefix("/") {
      fail(
        source, "metadata.annotations.sallyport/cgroup", "\(cgroup.shown) is not an absolute path", "begin it with /")
    }
    if let spec {
      if let node = spec.member("hostNetwork") {
        out.isHostNetworked = truth(node, "spec.hostNetwork") ?? false
      }
      out.ports = ports(of: spec, "initContainers") { $0.member("restartPolicy")?.isText("Always") ?? false }
      // A port of a container comes before that of a sidecar that is written as an init container.
      out.ports = ports(of: spec, "containers") { _ in true } + out.ports
    }
    if let status {
      out.addresses = podAddresses(status)
      // Its address may be another pod's by now.
      out.hasFinished = status.plainText("phase").map { ["Succeeded", "Failed"].contains($0) } ?? false
    }
    return out
  }

  private mutating func ports(
    of spec: DocumentNode, _ kind: String, where isMeant: (DocumentNode) -> Bool
  ) -> [Pod.Port] {
    guard let node = spec.member(kind) else { return [] }
    var out: [Pod.Port] = []
    for (index, container) in (list(node, "spec.\(kind)", like: "{name: web, image: nginx}") ?? []).enumerated()
    where isMeant(container) {
      guard let node = container.member("ports") else { continue }
      let field = "spec.\(kind)[\(index)].ports"
      var names: Set<String> = []
      for (position, item) in (list(node, field, like: "{name: http, containerPort: 80}") ?? []).enumerated() {
        guard let port = containerPort(item, "\(field)[\(position)]") else { continue }
        guard names.insert(port.name).inserted else {
          fail(
            item.location, "\(field)[\(position)].name", "\(port.name) is already a port of this container", "rename it"
          )
          continue
        }
        out.append(port)
      }
    }
    return out
  }

  /// Nil for a port without a name, which policies cannot ask for.
  private mutating func containerPort(_ node: DocumentNode, _ field: String) -> Pod.Port? {
    let words: [(String, IPProtocol)] = [("TCP", .tcp), ("UDP", .udp), ("SCTP", .sctp)]
    let proto = node.member("protocol").map { choice($0, "\(field).protocol", words) } ?? .tcp
    guard let numberNode = node.member("containerPort") else {
      fail(node.location, "\(field).containerPort", "is missing", "write `containerPort: 80`")
      return nil
    }
    guard let number = number(numberNode, "\(field).containerPort", in: 1...65535), let proto,
      let nameNode = node.member("name"), let name = portName(nameNode, "\(field).name")
    else { return nil }
    return Pod.Port(name: name, protocol: proto, number: UInt16(number))
  }

  private mutating func podAddresses(_ status: DocumentNode) -> [IPAddress] {
    var out: [IPAddress] = []
    if let node = status.member("podIPs") {
      for (index, item) in (list(node, "status.podIPs", like: "{ip: 10.0.0.1}") ?? []).enumerated() {
        guard let node = item.member("ip") else { continue }
        if let found = address(node, "status.podIPs[\(index)].ip") { out.append(found) }
      }
    }
    if let node = status.member("podIP"), let found = address(node, "status.podIP"), !out.contains(found) {
      out.insert(found, at: 0)
    }
    return out
  }

  private mutating func address(_ node: DocumentNode, _ field: String) -> IPAddress? {
    guard let text = text(node, field, like: "10.0.0.1") else { return nil }
    do throws(AddressError) {
      return try IPAddress(parsing: text)
    } catch {
      fail(node.location, field, "\(error.text.shown) \(error.problem)", error.remedy)
      return nil
    }
  }
}

extension DocumentNode {
  /// The value of a key, if the node is a mapping and it is there.
  fileprivate func member(_ key: String) -> DocumentNode? {
    guard case .mapping(let entries) = content else { return nil }
    return entries.first { $0.key == key && !$0.value.isNothing }?.value
  }

}
