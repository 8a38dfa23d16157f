// Documents of kind ExternalNetwork, Workload and Defaults.

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

  /// Reads `spec` of a workload; what cannot be read has an error.
  mutating func workload(_ name: String, _ spec: DocumentNode, at source: SourceLocation) -> WorkloadRule {
    var out = WorkloadRule(name: name, labels: .empty, source: source)
    guard let fields = fields(spec, "spec", known: ["labels", "match", "addresses", "mode"]) else { return out }
    if let node = fields["labels"] {
      let count = errors.count
      out.labels = labels(node, "spec.labels") ?? .empty
      if out.labels.labels.isEmpty, errors.count == count {
        fail(node.location, "spec.labels", "holds no label", "write it like {app: web}")
      }
    } else {
      fail(spec.location, "spec.labels", "is missing", "write `labels: {app: web}`")
    }
    if let node = fields["match"] { readMatch(node, into: &out) }
    if let node = fields["addresses"] { out.addresses = addresses(node, "spec.addresses") }
    if let node = fields["mode"] { out.mode = mode(node, "spec.mode") }
    if fields["match"] == nil, fields["addresses"] == nil {
      warn(spec.location, "spec", "has neither match nor addresses and so labels nothing", "add one of them")
    }
    return out
  }

  private mutating func readMatch(_ node: DocumentNode, into out: inout WorkloadRule) {
    let known = ["cgroups", "units", "executables", "users"]
    guard let fields = fields(node, "spec.match", known: known) else { return }
    if fields.isEmpty {
      warn(node.location, "spec.match", "an empty match labels nothing", "add cgroups, units, executables or users")
    }
    if let node = fields["cgroups"] {
      out.cgroups = patterns(node, "spec.match.cgroups", like: "/system.slice/web*").map(Glob.init)
    }
    if let node = fields["units"] {
      out.units = patterns(node, "spec.match.units", like: "nginx.service", isPath: false).map(Glob.init)
    }
    if let node = fields["executables"] {
      out.executables = patterns(node, "spec.match.executables", like: "/usr/bin/nginx").map(Glob.init)
    }
    if let node = fields["users"] {
      out.users = patterns(node, "spec.match.users", like: "www-data", isPath: false)
    }
  }

  private mutating func patterns(
    _ node: DocumentNode, _ field: String, like example: String, isPath: Bool = true
  ) -> [String] {
    let items = list(node, field, like: example) ?? []
    if case .list = node.content, items.isEmpty {
      warn(node.location, field, "an empty list matches nothing", "add a pattern or remove the field")
    }
    return items.enumerated().compactMap { index, item in
      let path = "\(field)[\(index)]"
      guard let text = text(item, path, like: example) else { return nil }
      guard !text.isEmpty, text.utf8.count <= 4096, !isPath || text.hasPrefix("/") || text.hasPrefix("**") else {
        let rule = isPath ? "must be an absolute path or begin with **" : "must not be empty"
        fail(item.location, path, "\(text.shown) \(rule), of at most 4096 bytes", "write it like \(example)")
        return nil
      }
      return text
    }
  }

  private mutating func addresses(_ node: DocumentNode, _ field: String) -> [IPAddress] {
    let items = list(node, field, like: "10.0.0.5, \"2001:db8::5\"") ?? []
    return items.enumerated().compactMap { index, item in
      let path = "\(field)[\(index)]"
      guard let text = text(item, path, like: "10.0.0.5") else { return nil }
      do throws(AddressError) {
        return try IPAddress(parsing: text)
      } catch {
        fail(item.location, path, "\(error.text.shown) \(error.problem)", error.remedy)
        return nil
      }
    }
  }

  /// Reads `spec` of the defaults; what cannot be read has an error.
  mutating func defaults(_ spec: DocumentNode, at source: SourceLocation) -> Defaults {
    var out = Defaults(source: source)
    guard let fields = fields(spec, "spec", known: ["incoming", "outgoing", "host"]) else { return out }
    if let node = fields["incoming"] { out.workloads.incoming = action(node, "spec.incoming") }
    if let node = fields["outgoing"] { out.workloads.outgoing = action(node, "spec.outgoing") }
    if let node = fields["host"], let fields = self.fields(node, "spec.host", known: ["incoming", "outgoing"]) {
      if let node = fields["incoming"] { out.host.incoming = action(node, "spec.host.incoming") }
      if let node = fields["outgoing"] { out.host.outgoing = action(node, "spec.host.outgoing") }
    }
    return out
  }

  private mutating func action(_ node: DocumentNode, _ field: String) -> Action {
    choice(node, field, [("allow", .allow), ("reject", .reject)]) ?? .reject
  }
}
