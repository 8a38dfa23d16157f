// The labels by which policies know pods, whoever found them: a manifest, or a container runtime.

/// Reserved labels of pods.
package enum PodLabel {
  /// The name of the namespace; what has it is a pod to policy.
  package static let namespace = "k8s.namespace"
  /// `true` on pods in the network of their node.
  package static let hostNetwork = "k8s.hostNetwork"

  /// The key that a pod's own label has here: `app` is `k8s.label/app`, `a.b/c` is `k8s.label.a.b/c`.
  package static func own(_ key: String) -> String { key.contains("/") ? "k8s.label.\(key)" : "k8s.label/\(key)" }

  /// The key whose value is the number of a named container port.
  package static func port(_ proto: IPProtocol, _ name: String) -> String { "k8s.port.\(proto)/\(name)" }

  /// The key that a pod has whose addresses lie in some blocks that a rule names.
  static func blocks(_ token: String) -> String { "k8s.cidr/\(token)" }

  /// Whether a key is that of a named port or of CIDRs.
  static func isTranslated(_ key: String) -> Bool { key.hasPrefix("k8s.port.") || key.hasPrefix("k8s.cidr/") }

  /// Labels that differ from one pod to the next of the same workload.
  ///
  /// With them every pod would be an identity of its own, so they count only if a policy selects by them. The list is
  /// Cilium's default, which its users live with.
  package static let incidental: Set<String> = [
    "pod-template-hash", "pod-template-generation", "controller-revision-hash", "apps.kubernetes.io/pod-index",
    "statefulset.kubernetes.io/pod-name", "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/controller-uid",
    "controller-uid",
  ]
}

/// A pod of a manifest.
package struct Pod: Sendable, Hashable {
  /// One named port of one of its containers.
  package struct Port: Sendable, Hashable, Comparable {
    /// 1 to 15 lower-case letters, digits and dashes.
    package let name: String
    /// TCP, UDP or SCTP.
    package let `protocol`: IPProtocol
    /// In host byte order.
    package let number: UInt16

    /// Orders by name, protocol and number.
    package static func < (left: Port, right: Port) -> Bool {
      (left.name, left.protocol, left.number) < (right.name, right.protocol, right.number)
    }
  }

  /// The name of its namespace.
  package let namespace: String
  /// Its own name.
  package let name: String
  /// Everything that policies see of it, under the keys of `PodLabel`.
  package let labels: LabelSet
  /// `status.podIPs`, or `podIP`.
  package let addresses: [IPAddress]
  /// The named ports of its containers; of equal names for one protocol the first counts.
  package let ports: [Port]
  /// Where it was written.
  package let source: SourceLocation

  /// `NAMESPACE/NAME`.
  package var title: String { "\(namespace)/\(name)" }
}
