// What Kubernetes documents say, in their own terms: read and checked, not yet translated.

/// The namespaces that a selector of pods is about.
enum NamespaceScope: Hashable {
  /// The namespace of this name.
  case own(String)
  /// All whose labels match.
  case matching(Selector)
}

/// Pods by namespace and label.
struct PodSet: Hashable {
  let namespaces: NamespaceScope
  /// Over the pods' own labels, with the keys that the manifests have.
  let pods: Selector
  /// Whether pods in the network of their node are meant: not by a ClusterNetworkPolicy.
  let includesHostNetwork: Bool
}

/// Addresses of one block but for some blocks in it.
struct AddressBlock: Hashable {
  let prefix: IPPrefix
  let except: [IPPrefix]

  func contains(_ address: IPAddress) -> Bool {
    prefix.contains(address) && !except.contains { $0.contains(address) }
  }

  /// `10.0.0.0/8` or `10.0.0.0/8 but 10.1.0.0/16`.
  var text: String {
    except.isEmpty ? "\(prefix)" : "\(prefix) but \(except.map(\.description).joined(separator: " "))"
  }
}

/// Whom a rule is about.
enum PeerManifest {
  case pods(PodSet)
  case block(AddressBlock)
  /// Nodes by their labels.
  case nodes(Selector)
  /// What this version cannot tell apart from others: it matches nothing.
  case nothing
}

/// Which traffic a rule is about.
enum PortManifest: Hashable {
  case range(IPProtocol, PortRange)
  /// The container port of this name at the destination; nil = of whatever protocol.
  case named(String, IPProtocol?)
}

/// One rule of a policy.
struct RuleManifest {
  /// Its own name, or its field such as `ingress[0]`.
  var name: String
  var action: RuleAction
  /// Nil = everybody.
  var peers: [PeerManifest]?
  /// Nil = all traffic.
  var ports: [PortManifest]?
  var source: SourceLocation
}

/// A NetworkPolicy or ClusterNetworkPolicy.
struct PolicyManifest {
  /// `NetworkPolicy/NAMESPACE/NAME` or `ClusterNetworkPolicy/NAME`.
  var name: String
  var tier: Tier
  var subject: PodSet
  var ingress: [RuleManifest] = []
  var egress: [RuleManifest] = []
  /// Whether what it selects refuses what no policy of the tier allows.
  var isolatesIngress = false
  var isolatesEgress = false
  var source: SourceLocation

  func rules(_ direction: Direction) -> [RuleManifest] { direction == .incoming ? ingress : egress }
  func isolates(_ direction: Direction) -> Bool { direction == .incoming ? isolatesIngress : isolatesEgress }
}

/// A Namespace.
struct NamespaceManifest {
  var name: String
  /// With `kubernetes.io/metadata.name`.
  var labels: LabelSet
  var source: SourceLocation

  static let nameKey = "kubernetes.io/metadata.name"
}

/// A Node: its addresses and labels.
struct NodeManifest {
  var name: String
  var labels: LabelSet
  var addresses: [IPAddress]
  var source: SourceLocation
}

/// A Pod.
struct PodManifest {
  var namespace: String
  var name: String
  /// Its own labels, with the keys that the manifest has.
  var labels: LabelSet
  var addresses: [IPAddress] = []
  var ports: [Pod.Port] = []
  var isHostNetworked = false
  /// Whether its phase is Succeeded or Failed: nothing of it runs, and its address is free.
  var hasFinished = false
  /// Where it runs if no container runtime says so: the annotations `sallyport/cgroup` and `sallyport/unit`.
  var cgroup: String?
  var unit: String?
  var source: SourceLocation
}

/// All Kubernetes documents of a policy.
struct Manifests {
  var policies: [PolicyManifest] = []
  var namespaces: [NamespaceManifest] = []
  var nodes: [NodeManifest] = []
  var pods: [PodManifest] = []
  /// The namespaces of pods that have run to their end: there is such a namespace, and no such pod.
  var finishedIn: Set<String> = []

  var isEmpty: Bool {
    policies.isEmpty && namespaces.isEmpty && nodes.isEmpty && pods.isEmpty && finishedIn.isEmpty
  }
}
