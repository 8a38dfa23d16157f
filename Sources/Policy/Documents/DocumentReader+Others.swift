// Documents of kind ExternalNetwork and Defaults.

extension DocumentReader {
  /// Reads `spec` of an external network; what cannot be read has an error.
  mutating func network(
    _ name: String, _ labels: LabelSet, _ spec: DocumentNode, at source: SourceLocation
  ) -> ExternalNetwork {
    var out = ExternalNetwork(name: name, labels: labels, prefixes: [], source: source)
    guard let fields = fields(spec, "spec", known: ["cidrs"]) else { return out }
    let example = "10.0.0.0/8, \"!10.1.0.0/16\""
    guard let node = fields["cidrs"] else {
      fail(spec.location, "spec.cidrs", "is missing", "write `cidrs: [\(example)]`")
      return out
    }
    let items = list(node, "spec.cidrs", like: example) ?? []
    if items.isEmpty { warn(node.location, "spec.cidrs", "an empty list contains no address", "add a CIDR") }
    var excluded: [(IPPrefix, DocumentNode, String)] = []
    for (index, item) in items.enumerated() {
      let path = "spec.cidrs[\(index)]"
      guard let text = text(item, path, like: "10.0.0.0/8") else { continue }
      let isExclusion = text.hasPrefix("!")
      do throws(AddressError) {
        let prefix = try IPPrefix(parsing: isExclusion ? String(text.dropFirst()) : text)
        if isExclusion { excluded.append((prefix, item, path)) } else { out.prefixes.append(prefix) }
      } catch {
        fail(item.location, path, "\(error.text.shown) \(error.problem)", error.remedy)
      }
    }
    out.excluded = excluded.map(\.0)
    for (prefix, item, path) in excluded {
      let meets = out.prefixes.contains { $0.contains(prefix) || prefix.contains($0) }
      if !meets {
        warn(item.location, path, "excludes nothing: no CIDR of the network meets \(prefix)", "remove or correct it")
      }
    }
    for prefix in out.prefixes where out.excluded.contains(where: { $0.contains(prefix) }) {
      warn(node.location, "spec.cidrs", "\(prefix) lies in an exclusion and adds nothing", "remove one of the two")
    }
    return out
  }

  /// Reads `spec` of the defaults, and whether it says anything about pods; what cannot be read has an error.
  mutating func defaults(_ spec: DocumentNode, at source: SourceLocation) -> (Defaults, namesPods: Bool) {
    var out = Defaults(source: source)
    let known = ["incoming", "outgoing", "host", "pods"]
    guard let fields = fields(spec, "spec", known: known) else { return (out, false) }
    if let node = fields["incoming"] { out.workloads.incoming = action(node, "spec.incoming") }
    if let node = fields["outgoing"] { out.workloads.outgoing = action(node, "spec.outgoing") }
    if let node = fields["host"] { read(node, "spec.host", into: &out.host) }
    // A direction that is left out is as in Kubernetes.
    out.pods = .init(incoming: .allow, outgoing: .allow)
    if let node = fields["pods"] { read(node, "spec.pods", into: &out.pods) }
    return (out, fields["pods"] != nil)
  }

  private mutating func read(_ node: DocumentNode, _ field: String, into actions: inout Defaults.Actions) {
    guard let fields = fields(node, field, known: ["incoming", "outgoing"]) else { return }
    if let node = fields["incoming"] { actions.incoming = action(node, "\(field).incoming") }
    if let node = fields["outgoing"] { actions.outgoing = action(node, "\(field).outgoing") }
  }

  private mutating func action(_ node: DocumentNode, _ field: String) -> Action {
    choice(node, field, [("allow", .allow), ("reject", .reject)]) ?? .reject
  }
}
