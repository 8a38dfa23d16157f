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

  /// Groups whose objects hold no network policy: manifests of whole applications may be read as they are.
  private static let harmlessGroups: Set<String> = [
    "v1", "apps/v1", "batch/v1", "autoscaling/v2", "rbac.authorization.k8s.io/v1", "storage.k8s.io/v1", "policy/v1",
    "discovery.k8s.io/v1", "coordination.k8s.io/v1", "scheduling.k8s.io/v1",
  ]

  /// Reads a document if its `apiVersion` is one of Kubernetes; false = it is not.
  mutating func read(_ node: DocumentNode, with reader: inout DocumentReader) -> Bool {
    guard let version = node.plainText("apiVersion") else { return false }
    guard version != PolicyParser.apiVersion, let kind = node.plainText("kind") else { return false }
    if kind.hasSuffix("List"), readList(node, version, kind, &reader) { return true }
    if let known = Kind(rawValue: kind) {
      guard version == known.apiVersion else {
        reader.fail(
          node.location, "apiVersion", "\(kind) of \(version.shown) is not read", remedy(known))
        return true
      }
      read(known, node, &reader)
      return true
    }
    if ["AdminNetworkPolicy", "BaselineAdminNetworkPolicy"].contains(kind) {
      reader.fail(
        node.location, "kind", "\(kind) is not read",
        "write it as a ClusterNetworkPolicy of \(Kind.clusterNetworkPolicy.apiVersion)")
      return true
    }
    let isOurs = version == "networking.k8s.io/v1" || version.hasPrefix("policy.networking.k8s.io/")
    guard isOurs || Self.harmlessGroups.contains(version) else { return false }
    let near = Spelling.nearest(to: kind, in: Kind.allCases.filter { $0.apiVersion == version }.map(\.rawValue))
    if let near {
      reader.fail(node.location, "kind", "\(kind.shown) of \(version) is not known", "did you mean \(near)?")
    } else {
      reader.warn(node.location, "kind", "\(kind.shown) of \(version) holds no policy and is left out", "")
    }
    return true
  }

  private func remedy(_ kind: Kind) -> String {
    "write `apiVersion: \(kind.apiVersion)` if the document says nothing that only another version has"
  }

  /// Reads the items of `List`, `PodList` and the like.
  private mutating func readList(
    _ node: DocumentNode, _ version: String, _ kind: String, _ reader: inout DocumentReader
  ) -> Bool {
    let itemKind = String(kind.dropLast(4))
    guard itemKind.isEmpty ? version == "v1" : Kind(rawValue: itemKind)?.apiVersion == version else { return false }
    guard let fields = reader.manifest(node, "", known: ["apiVersion", "kind", "metadata", "items"]) else {
      return true
    }
    guard let list = fields["items"] else { return true }
    for (index, item) in (reader.list(list, "items", like: "{kind: Pod}") ?? []).enumerated() {
      // Items of a typed list need not repeat what the list says.
      if item.plainText("kind") == nil, let known = Kind(rawValue: itemKind) {
        read(known, item, &reader)
      } else if !read(item, with: &reader) {
        reader.fail(item.location, "items[\(index)]", "is no Kubernetes object that is read", "put it in a document")
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
      if isNew { manifests.pods.append(read) }
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
