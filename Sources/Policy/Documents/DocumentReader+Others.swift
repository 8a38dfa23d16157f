// Documents of kind ExternalNetwork and Defaults.

extension DocumentReader {
  /// Reads `spec` of an external network; what cannot be read has an error.
  mutating func network(
    _ name: String, _ labels: LabelSet, _ spec: DocumentNode, at source: SourceLocation
  ) -> ExternalNetwork {
    var out = ExternalNetwork(name: name, labels: labels, prefixes: [], source: source)
    let count = errors.count
    guard let fields = fields(spec, "spec", known: ["cidrs"], like: .networkSpec) else { return out }
    let example = String(Template.cidrs.text.dropFirst().dropLast())
    guard let node = fields["cidrs"] else {
      // What was written in its place has its error.
      if errors.count == count {
        fail(spec.location, "spec.cidrs", "is missing", "write `cidrs: [\(example)]`")
      }
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
    let networks = PrefixSet(out.prefixes)
    let exclusions = PrefixSet(out.excluded)
    for (prefix, item, path) in excluded {
      let meets = networks.meets(prefix)
      if !meets {
        warn(
          item.location, path, "\(prefix) is not inside any CIDR of this network, so the exclusion has no effect",
          "remove or correct it")
      }
    }
    for prefix in out.prefixes where exclusions.covers(prefix) {
      warn(node.location, "spec.cidrs", "\(prefix) lies in an exclusion and adds nothing", "remove one of the two")
    }
    return out
  }

  /// Reads `spec` of the defaults, and whether it says anything about pods; what cannot be read has an error.
  mutating func defaults(_ spec: DocumentNode, at source: SourceLocation) -> (Defaults, namesPods: Bool) {
    var out = Defaults(source: source)
    let known = ["incoming", "outgoing", "host", "pods"]
    guard let fields = fields(spec, "spec", known: known, like: .defaultsSpec) else { return (out, false) }
    if let node = fields["incoming"] { out.workloads.incoming = action(node, "spec.incoming") }
    if let node = fields["outgoing"] { out.workloads.outgoing = action(node, "spec.outgoing") }
    if let node = fields["host"] { read(node, "spec.host", into: &out.host) }
    // A direction that is left out is as in Kubernetes.
    out.pods = .init(incoming: .allow, outgoing: .allow)
    if let node = fields["pods"] { read(node, "spec.pods", into: &out.pods) }
    return (out, fields["pods"] != nil)
  }

  private mutating func read(_ node: DocumentNode, _ field: String, into actions: inout Defaults.Actions) {
    guard let fields = fields(node, field, known: ["incoming", "outgoing"], like: .defaultActions) else { return }
    if let node = fields["incoming"] { actions.incoming = action(node, "\(field).incoming") }
    if let node = fields["outgoing"] { actions.outgoing = action(node, "\(field).outgoing") }
  }

  private mutating func action(_ node: DocumentNode, _ field: String) -> Action {
    choice(node, field, [("allow", .allow), ("reject", .reject)]) ?? .reject
  }
}

/// Blocks by first address: which of them meet another is found without looking at all of them.
struct PrefixSet {
  private let prefixes: Set<IPPrefix>
  private let sorted: [IPPrefix]
  private let lengths: [Int]

  init(_ all: [IPPrefix]) {
    prefixes = Set(all)
    sorted = prefixes.sorted()
    lengths = Set(prefixes.map(\.length)).sorted()
  }

  /// Whether one of the blocks contains this one.
  func covers(_ prefix: IPPrefix) -> Bool {
    lengths.contains { length in
      guard length <= prefix.length else { return false }
      let wider = IPPrefix(masking: prefix.address, length: length)
      return prefixes.contains(wider) && wider.contains(prefix)
    }
  }

  /// Whether one of the blocks contains this one, or lies in it.
  func meets(_ prefix: IPPrefix) -> Bool {
    if covers(prefix) { return true }
    // What lies in it comes right after it.
    var (low, high) = (0, sorted.count)
    while low < high {
      let middle = (low + high) / 2
      if sorted[middle] < prefix { low = middle + 1 } else { high = middle }
    }
    while low < sorted.count, prefix.contains(sorted[low].address) || sorted[low].address == prefix.address {
      if prefix.contains(sorted[low]) { return true }
      low += 1
    }
    return false
  }
}
