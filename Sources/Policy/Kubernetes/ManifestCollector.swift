// Which Kubernetes documents are read, in which versions, and what happens to all others.

/// Gathers Kubernetes documents, also out of lists.
struct ManifestCollector {
  private(set) var manifests = Manifests()
  private var places: [String: SourceLocation] = [:]

  private enum Kind: String, CaseIterable {
    case networkPolicy = "NetworkPolicy"
    case clusterNetworkPolicy = "ClusterNetworkPolicy"
    case namespace = "Namespace"
    case pod = "Pod"
    case node = "Node"

    var apiVersion: String {
      switch self {
      case .networkPolicy: "networking.k8s.io/v1"
      case .clusterNetworkPolicy: "policy.networking.k8s.io/v1alpha2"
      case .namespace, .pod, .node: "v1"
      }
    }

    var isNamespaced: Bool { self == .networkPolicy || self == .pod }
  }

  private var leftOut = LeftOut()

  /// Kinds of our own that no other API has.
  private static let nativeKinds: Set<String> = ["NetworkRuleSet", "ExternalNetwork", "Defaults"]

  /// Reads a document if its `apiVersion` is one of Kubernetes; false = it is not.
  mutating func read(_ node: DocumentNode, with reader: inout DocumentReader) -> Bool {
    guard let version = node.plainText("apiVersion") else { return false }
    guard version != PolicyParser.apiVersion, let kind = node.plainText("kind") else { return false }
    let foreign = ForeignKind(version: version, kind: kind)
    if case .unknown = foreign { return false }
    if Self.nativeKinds.contains(kind) || (kind == "Workload" && !version.contains(".")) {
      reader.fail(
        node.location, "apiVersion", "\(kind) is a kind of \(PolicyParser.apiVersion), not of \(version.shown)",
        "write `apiVersion: \(PolicyParser.apiVersion)`")
      return true
    }
    if kind.hasSuffix("List"), readList(node, version, kind, &reader) { return true }
    if case .policy(let product) = foreign {
      reader.fail(
        node.location, "kind", "\(kind) of \(version) is a policy of \(product), which is not read",
        "write it as a NetworkPolicy or NetworkRuleSet, or move it out of the policy directory")
      return true
    }
    if let known = Kind(rawValue: kind) {
      if version == known.apiVersion {
        read(known, node, &reader)
        return true
      }
      // Others may have a Node or Pod of their own.
      let isPolicy = known == .networkPolicy || known == .clusterNetworkPolicy
      guard isPolicy || !version.contains(".") || version.hasSuffix(".k8s.io/v1") else {
        leftOut.add(kind, node.location)
        return true
      }
      reader.fail(node.location, "apiVersion", "\(kind) of \(version.shown) is not read", remedy(known))
      return true
    }
    if ["AdminNetworkPolicy", "BaselineAdminNetworkPolicy"].contains(kind) {
      reader.fail(
        node.location, "kind", "\(kind) is not read",
        "convert it to a ClusterNetworkPolicy with `sallyport policy convert --to kubernetes`")
      return true
    }
    let group = Kind.allCases.filter { $0.apiVersion == version }.map(\.rawValue)
    if let near = Spelling.nearest(to: kind, in: group) {
      reader.fail(node.location, "kind", "\(kind.shown) of \(version) is not known", "did you mean \(near)?")
    } else {
      leftOut.add(kind, node.location)
    }
    return true
  }

  /// Says in one line what was left out.
  func summarise(_ reader: inout DocumentReader) { leftOut.summarise(&reader) }

  private func remedy(_ kind: Kind) -> String {
    "write `apiVersion: \(kind.apiVersion)` if the document says nothing that only another version has"
  }

  /// Reads the items of `List`, `PodList` and the like that do not say what they are; others came by themselves.
  private mutating func readList(
    _ node: DocumentNode, _ version: String, _ kind: String, _ reader: inout DocumentReader
  ) -> Bool {
    guard case .mapping(let entries) = node.content, let list = entries.first(where: { $0.key == "items" })?.value
    else {
      return kind == "List"
    }
    let itemKind = String(kind.dropLast(4))
    for (index, item) in (reader.list(list, "items", like: "{kind: Pod}") ?? []).enumerated() {
      if item.plainText("kind") == nil, let known = Kind(rawValue: itemKind), known.apiVersion == version {
        // Items of a typed list need not repeat what the list says.
        read(known, item, &reader)
      } else if item.plainText("kind") == nil, !itemKind.isEmpty {
        leftOut.add(itemKind, item.location)
      } else {
        reader.fail(
          item.location, "items[\(index)]", "does not say its apiVersion and kind", "write both, as kubectl prints them"
        )
      }
    }
    return true
  }

  private mutating func read(_ kind: Kind, _ node: DocumentNode, _ reader: inout DocumentReader) {
    let source = node.location
    let known = ["apiVersion", "kind", "metadata", "spec", "status"]
    guard let fields = reader.manifest(node, "", known: known) else { return }
    let metadata = reader.objectMetadata(
      fields["metadata"], of: node, isNamespaced: kind.isNamespaced, nameIsLabel: kind == .namespace)
    // Without a name the rest is still read for its errors.
    let shown = metadata ?? ObjectMetadata(name: "", namespace: "", labels: .empty, annotations: [:])
    let isNew = metadata.map { note(kind, $0, source, &reader) } ?? false
    switch kind {
    case .networkPolicy:
      if metadata?.namesNamespace == false { leftOut.addWithoutNamespace(source) }
      let read = reader.networkPolicy(shown, fields["spec"], at: source)
      if isNew { manifests.policies.append(read) }
    case .clusterNetworkPolicy:
      guard let spec = fields["spec"] else {
        reader.fail(source, "spec", "is missing", "write what the policy says")
        return
      }
      let read = reader.clusterNetworkPolicy(shown, spec, at: source)
      if isNew { manifests.policies.append(read) }
    case .namespace:
      let read = reader.namespace(shown, at: source)
      if isNew { manifests.namespaces.append(read) }
    case .pod:
      let read = reader.pod(shown, fields["spec"], fields["status"], at: source)
      if isNew, read.hasFinished {
        manifests.finishedIn.insert(read.namespace)
      } else if isNew {
        manifests.pods.append(read)
      }
    case .node:
      let read = reader.node(shown, fields["status"], at: source)
      if isNew { manifests.nodes.append(read) }
    }
  }

  /// Adds what another file holds; objects of one name are errors.
  mutating func add(_ other: ManifestCollector, _ reader: inout DocumentReader) {
    manifests.policies += other.manifests.policies
    manifests.namespaces += other.manifests.namespaces
    manifests.nodes += other.manifests.nodes
    manifests.pods += other.manifests.pods
    manifests.finishedIn.formUnion(other.manifests.finishedIn)
    leftOut.add(other.leftOut)
    for (key, place) in other.places {
      if let before = places[key] {
        fail(key, place, before, &reader)
      } else {
        places[key] = place
      }
    }
  }

  private func fail(
    _ key: String, _ place: SourceLocation, _ before: SourceLocation, _ reader: inout DocumentReader
  ) {
    reader.fail(place, "metadata.name", "\(key) is already defined at \(before)", "rename or remove one of them")
  }

  /// Notes the name of an object; false, with an error, if there is one of that name.
  private mutating func note(
    _ kind: Kind, _ metadata: ObjectMetadata, _ source: SourceLocation, _ reader: inout DocumentReader
  ) -> Bool {
    let title = metadata.namespace.isEmpty ? metadata.name : "\(metadata.namespace)/\(metadata.name)"
    let key = "\(kind.rawValue) \(title)"
    if let before = places[key] {
      fail(key, source, before, &reader)
      return false
    }
    places[key] = source
    return true
  }
}

extension DocumentNode {
  /// The text of a field, if the node is a mapping that has it.
  func plainText(_ key: String) -> String? {
    guard case .mapping(let entries) = content, let value = entries.first(where: { $0.key == key })?.value,
      case .text(let text, _) = value.content
    else { return nil }
    return text
  }
}
