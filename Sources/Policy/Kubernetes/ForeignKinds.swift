// Kinds that are not read: which of them are policies of other products, and which say nothing to policy.

/// What becomes of an object that is not read.
enum ForeignKind {
  /// It is a policy that somebody relies on: leaving it out in silence would be an open door.
  case policy(of: String)
  /// It holds no policy of the network.
  case harmless
  /// It is not an object of Kubernetes.
  case unknown

  /// Groups of the API server itself, whose versions have no dot.
  private static let plainGroups: Set<String> = [
    "v1", "apps", "batch", "autoscaling", "policy", "extensions", "events",
  ]

  /// By the end of the group: the product, and its kinds that are policies.
  private static let products: [(group: String, product: String, kinds: Set<String>)] = [
    ("cilium.io", "Cilium", ["CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"]),
    (
      "projectcalico.org", "Calico",
      [
        "NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy",
        "StagedKubernetesNetworkPolicy",
      ]
    ),
    ("istio.io", "Istio", ["AuthorizationPolicy"]),
    ("antrea.io", "Antrea", ["NetworkPolicy", "ClusterNetworkPolicy"]),
    ("antrea.tanzu.vmware.com", "Antrea", ["NetworkPolicy", "ClusterNetworkPolicy"]),
    ("linkerd.io", "Linkerd", ["AuthorizationPolicy", "ServerAuthorization"]),
    ("kuma.io", "Kuma", ["MeshTrafficPermission", "TrafficPermission"]),
    ("consul.hashicorp.com", "Consul", ["ServiceIntentions"]),
    ("kube-router.io", "kube-router", []),
    ("kubeovn.io", "Kube-OVN", ["SecurityGroup"]),
    ("k8s.ovn.org", "OVN-Kubernetes", ["EgressFirewall"]),
    ("network.openshift.io", "OpenShift", ["EgressNetworkPolicy"]),
    ("networking.gke.io", "GKE", ["FQDNNetworkPolicy"]),
    ("k8s.aws", "Amazon EKS", ["ApplicationNetworkPolicy", "ClusterNetworkPolicy", "SecurityGroupPolicy"]),
    ("k8s.cni.cncf.io", "multi-networkpolicy", ["MultiNetworkPolicy"]),
    ("neuvector.com", "NeuVector", ["NvSecurityRule", "NvClusterSecurityRule"]),
    ("kubearmor.com", "KubeArmor", ["KubeArmorPolicy", "KubeArmorClusterPolicy", "KubeArmorHostPolicy"]),
    ("vmware.com", "NSX", ["SecurityPolicy"]),
  ]

  /// Looks at `apiVersion` and `kind`.
  init(version: String, kind: String) {
    let parts = version.split(separator: "/", omittingEmptySubsequences: false)
    guard let first = parts.first, parts.count <= 2 else {
      self = .unknown
      return
    }
    if Self.plainGroups.contains(String(first)) {
      self = .harmless
      return
    }
    let isVersion = parts.count == 2 && parts[1].hasPrefix("v") && parts[1].dropFirst().first?.isNumber ?? false
    guard isVersion, first.contains(".") else {
      self = .unknown
      return
    }
    let group = String(first)
    let isKubernetes = group.hasSuffix(".k8s.io") && !group.hasSuffix(".x-k8s.io")
    for (end, product, kinds) in Self.products where group == end || group.hasSuffix(".\(end)") {
      self = kinds.contains(kind) || Self.looksLikePolicy(kind) ? .policy(of: product) : .harmless
      return
    }
    self = !isKubernetes && Self.looksLikePolicy(kind) ? .policy(of: group) : .harmless
  }

  /// Kinds of products that are not in the list.
  private static func looksLikePolicy(_ kind: String) -> Bool {
    ["NetworkPolicy", "AuthorizationPolicy", "FirewallPolicy", "FirewallRule", "EgressFirewall"].contains {
      kind.hasSuffix($0)
    }
  }
}
