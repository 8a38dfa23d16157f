// Documents of kind Workload.

extension DocumentReader {
  /// Reads `spec` of a workload; what cannot be read has an error.
  mutating func workload(_ name: String, _ spec: DocumentNode, at source: SourceLocation) -> WorkloadRule {
    var out = WorkloadRule(name: name, labels: .empty, source: source)
    guard let fields = fields(spec, "spec", known: Self.workloadFields, like: .workloadSpec) else { return out }
    if let node = fields["labels"] {
      let count = errors.count
      out.labels = labels(node, "spec.labels") ?? .empty
      if out.labels.labels.isEmpty, errors.count == count {
        fail(node.location, "spec.labels", "holds no label", "write it like \(Template.labels.text)")
      }
    } else {
      fail(spec.location, "spec.labels", "is missing", "write `labels: {app: web}`")
    }
    if let node = fields["match"] { out.match = readMatch(node) }
    if let node = fields["addresses"] { out.addresses = addresses(node, "spec.addresses") }
    if let node = fields["mode"] { out.mode = mode(node, "spec.mode") }
    if let node = fields["children"] {
      let words = [("inherit", false), ("reject-until-labelled", true)]
      out.rejectsUnlabelledChildren = choice(node, "spec.children", words) ?? true
    }
    if let node = fields["placement"] {
      out.placement = choice(node, "spec.placement", [("in-place", .inPlace), ("own-cgroup", .ownCgroup)]) ?? .inPlace
    }
    if let node = fields["openSockets"] {
      let words: [(String, WorkloadRule.OpenSockets)] = [("keep", .keep), ("retag", .retag), ("cut", .cut)]
      out.openSockets = choice(node, "spec.openSockets", words) ?? .keep
    }
    let placed = fields["placement"] ?? fields["openSockets"]
    if let placed, out.placement == .ownCgroup || out.openSockets != .keep, !out.match.asksForProcesses {
      fail(
        placed.location, fields["placement"] == nil ? "spec.openSockets" : "spec.placement",
        "is for processes, and match asks for none", "match executables, sha256, users or groups, or remove it")
    }
    if fields["match"] == nil, fields["addresses"] == nil {
      warn(spec.location, "spec", "has neither match nor addresses and so labels nothing", "add one of them")
    }
    return out
  }

  private static let workloadFields = [
    "labels", "match", "addresses", "mode", "children", "placement", "openSockets",
  ]

  private mutating func readMatch(_ node: DocumentNode) -> WorkloadRule.Match {
    var out = WorkloadRule.Match()
    let known = ["cgroups", "units", "labels", "executables", "sha256", "users", "groups"]
    let count = errors.count
    guard let fields = fields(node, "spec.match", known: known, like: .match) else { return out }
    if fields.isEmpty, errors.count == count {
      warn(
        node.location, "spec.match", "an empty match labels nothing",
        "add cgroups, units, labels, executables, sha256, users or groups")
    }
    if let node = fields["cgroups"] {
      out.cgroups = patterns(node, "spec.match.cgroups", like: "/system.slice/web*").map(Glob.init)
    }
    if let node = fields["units"] {
      out.units = patterns(node, "spec.match.units", like: "nginx.service", isPath: false).map(Glob.init)
      warnOfUnits(node)
    }
    if let node = fields["labels"] {
      out.labels = selector(node, "spec.match.labels")
      if out.labels?.isEverything == true {
        fail(node.location, "spec.match.labels", "asks for nothing", "write it like container.image=nginx")
      }
    }
    if let node = fields["executables"] {
      out.executables = patterns(node, "spec.match.executables", like: "/usr/bin/nginx").map(Glob.init)
    }
    if let node = fields["sha256"] { out.digests = digests(node, "spec.match.sha256") }
    if let node = fields["users"] {
      out.users = patterns(node, "spec.match.users", like: "www-data", isPath: false)
    }
    if let node = fields["groups"] {
      out.groups = patterns(node, "spec.match.groups", like: "www-data", isPath: false)
    }
    return out
  }

  /// Units have a type; a pattern that ends in none of them matches nothing.
  private mutating func warnOfUnits(_ node: DocumentNode) {
    guard case .list(let items) = node.content else { return }
    let types = [
      "service", "slice", "scope", "socket", "mount", "swap", "timer", "target", "path", "device", "automount",
    ]
    for (index, item) in items.enumerated() {
      guard case .text(let text, _) = item.content, let last = text.last, !"*?]".contains(last) else { continue }
      if types.contains(where: { text.hasSuffix(".\($0)") }) { continue }
      warn(
        item.location, "spec.match.units[\(index)]", "\(text.shown) matches no unit: names of units end in their type",
        "write \(text).service")
    }
  }

  private mutating func digests(_ node: DocumentNode, _ field: String) -> [String] {
    let found = patterns(node, field, like: "e3b0…", isPath: false)
    for text in found {
      let isHex = text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
      guard text.utf8.count == 64, isHex else {
        fail(node.location, field, "\(text.shown) is not a SHA-256", "write the 64 digits that sha256sum prints")
        return []
      }
    }
    return found
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
}
