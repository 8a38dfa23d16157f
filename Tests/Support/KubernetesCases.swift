// Cases of every feature of the Kubernetes policies, with the answers written down by hand: three namespaces x, y, z with
// the pods a, b, c each, as the public conformance suites describe theirs.

/// One question of a case.
package struct KubernetesProbe: Sendable {
  /// Who opens the connection.
  package var from: (namespace: String, pod: String)
  /// Who is asked.
  package var to: (namespace: String, pod: String)
  /// `TCP` or `UDP`.
  package var proto: String
  /// In host byte order.
  package var port: Int

  var source: String { "\(from.namespace)/\(from.pod)" }
  var destination: String { "\(to.namespace)/\(to.pod)" }
  /// Whether both ends are in one namespace.
  var isNeighbourly: Bool { from.namespace == to.namespace }
}

/// Policies, and who may talk to whom under them.
package struct KubernetesCase: Sendable, CustomStringConvertible {
  /// What it shows.
  package let name: String
  /// The policies.
  package let yaml: String
  /// Whether a connection between two different pods may be made.
  package let allows: @Sendable (KubernetesProbe) -> Bool

  /// The name.
  package var description: String { name }

  init(_ name: String, _ yaml: String, _ allows: @escaping @Sendable (KubernetesProbe) -> Bool) {
    self.name = name
    self.yaml = yaml
    self.allows = allows
  }

  /// The cluster of all cases.
  ///
  /// Every pod listens on 80 and 81, TCP and UDP; the port 80 is called `http`, but on z/c `http` is 81. The labels of
  /// a namespace are `ns: NAME`, those of a pod `pod: NAME`.
  package static func cluster(_ families: KubernetesCluster.Families) -> KubernetesCluster {
    var cluster = KubernetesCluster(families: families)
    for (row, namespace) in ["x", "y", "z"].enumerated() {
      cluster.namespaces[namespace] = ["ns": namespace]
      for (column, pod) in ["a", "b", "c"].enumerated() {
        let number = namespace == "z" && pod == "c" ? 81 : 80
        cluster.pods.append(
          KubernetesCluster.Pod(
            namespace: namespace, name: pod, labels: ["pod": pod],
            ports: ["TCP", "UDP"].map { KubernetesCluster.Port(name: "http", proto: $0, number: number) },
            address: 0x0a4d_0000 | UInt32(row) << 8 | UInt32(row * 3 + column + 1)))
      }
    }
    return cluster
  }

  /// All questions between different pods.
  package static var probes: [KubernetesProbe] {
    var probes: [KubernetesProbe] = []
    let pods = ["x", "y", "z"].flatMap { namespace in ["a", "b", "c"].map { (namespace, $0) } }
    for from in pods {
      for to in pods where from != to {
        for proto in ["TCP", "UDP"] {
          for port in [80, 81] { probes.append(KubernetesProbe(from: from, to: to, proto: proto, port: port)) }
        }
      }
    }
    return probes
  }

  /// A NetworkPolicy in namespace x.
  private static func network(_ name: String, namespace: String = "x", _ spec: String) -> String {
    """
    ---
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: \(name), namespace: "\(namespace)"}
    spec: \(spec)

    """
  }

  private static func network(_ spec: String, namespace: String = "x") -> String {
    network("p", namespace: namespace, spec)
  }

  private static func cluster(_ name: String, _ tier: String, _ priority: Int, _ rest: String) -> String {
    """
    ---
    apiVersion: policy.networking.k8s.io/v1alpha2
    kind: ClusterNetworkPolicy
    metadata: {name: \(name)}
    spec: {tier: \(tier), priority: \(priority), \(rest)}

    """
  }

  private static let onA = "podSelector: {matchLabels: {pod: a}}"
  private static let all = "subject: {namespaces: {}}"
  private static func inNamespace(_ name: String) -> String { "{matchLabels: {ns: \"\(name)\"}}" }

  /// NetworkPolicy v1.
  package static let networkPolicies: [KubernetesCase] = [
    KubernetesCase("no policy allows everything", "") { _ in true },
    KubernetesCase("deny all ingress", network("{podSelector: {}}")) { $0.to.namespace != "x" },
    KubernetesCase("deny all egress", network("{podSelector: {}, policyTypes: [Egress]}")) { $0.from.namespace != "x" },
    KubernetesCase(
      "deny all, both ways", network("{podSelector: {}, policyTypes: [Ingress, Egress]}")
    ) { $0.to.namespace != "x" && $0.from.namespace != "x" },
    KubernetesCase("an empty rule allows all ingress", network("{podSelector: {}, ingress: [{}]}")) { _ in true },
    KubernetesCase(
      "an empty list of rules allows none", network("{podSelector: {}, ingress: []}")
    ) { $0.to.namespace != "x" },
    KubernetesCase(
      "empty lists of peers and ports mean all", network("{podSelector: {}, ingress: [{from: [], ports: []}]}")
    ) { _ in true },
    KubernetesCase(
      "an empty list of egress rules implies no egress type", network("{podSelector: {}, egress: []}")
    ) { $0.to.namespace != "x" },
    KubernetesCase(
      "egress rules imply the egress type besides ingress",
      network("{podSelector: {}, egress: [{to: [{podSelector: {}}]}]}")
    ) { $0.from.namespace == "x" ? false : $0.to.namespace != "x" },
    KubernetesCase(
      "policyTypes leaves rules out", network("{podSelector: {}, policyTypes: [Egress], ingress: [{}]}")
    ) { $0.from.namespace != "x" },
    KubernetesCase(
      "pods of the same namespace", network("{\(onA), ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}")
    ) { $0.destination != "x/a" || $0.source == "x/b" },
    KubernetesCase(
      "namespaces", network("{\(onA), ingress: [{from: [{namespaceSelector: \(inNamespace("y"))}]}]}")
    ) { $0.destination != "x/a" || $0.from.namespace == "y" },
    KubernetesCase(
      "namespaces by the label of their name",
      network(
        "{\(onA), ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: z}}}]}]}")
    ) { $0.destination != "x/a" || $0.from.namespace == "z" },
    KubernetesCase(
      "namespace and pod selector together",
      network(
        "{\(onA), ingress: [{from: [{namespaceSelector: \(inNamespace("y")), podSelector: {matchLabels: {pod: b}}}]}]}")
    ) { $0.destination != "x/a" || $0.source == "y/b" },
    KubernetesCase(
      "namespace or pod selector, as two peers",
      network(
        "{\(onA), ingress: [{from: [{namespaceSelector: \(inNamespace("y"))}, {podSelector: {matchLabels: {pod: b}}}]}]}"
      )
    ) { $0.destination != "x/a" || $0.from.namespace == "y" || $0.source == "x/b" },
    KubernetesCase(
      "all namespaces are not all addresses", network("{\(onA), ingress: [{from: [{namespaceSelector: {}}]}]}")
    ) { _ in true },
    KubernetesCase(
      "matchExpressions In",
      network(
        "{\(onA), ingress: [{from: [{podSelector: {matchExpressions: [{key: pod, operator: In, values: [b]}]}}]}]}")
    ) { $0.destination != "x/a" || $0.source == "x/b" },
    KubernetesCase(
      "matchExpressions NotIn over namespaces",
      network(
        "{\(onA), ingress: [{from: [{namespaceSelector: {matchExpressions: "
          + "[{key: ns, operator: NotIn, values: [x, \"y\"]}]}}]}]}")
    ) { $0.destination != "x/a" || $0.from.namespace == "z" },
    KubernetesCase(
      "matchExpressions Exists and DoesNotExist",
      network(
        "{\(onA), ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: Exists}]}, "
          + "podSelector: {matchExpressions: [{key: none, operator: DoesNotExist}]}}]}]}")
    ) { _ in true },
    KubernetesCase(
      "a port by number", network("{\(onA), ingress: [{ports: [{port: 81}]}]}")
    ) { $0.destination != "x/a" || $0.proto == "TCP" && $0.port == 81 },
    KubernetesCase(
      "a protocol without a port", network("{\(onA), ingress: [{ports: [{protocol: UDP}]}]}")
    ) { $0.destination != "x/a" || $0.proto == "UDP" },
    KubernetesCase(
      "a port by name is that of the destination",
      network("{podSelector: {}, ingress: [{ports: [{port: http}]}]}", namespace: "z")
    ) { $0.to.namespace != "z" || $0.proto == "TCP" && $0.port == ($0.to.pod == "c" ? 81 : 80) },
    KubernetesCase(
      "a port by name in egress",
      network(
        "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http, "
          + "protocol: UDP}]}]}")
    ) { $0.from.namespace != "x" || $0.proto == "UDP" && $0.port == ($0.destination == "z/c" ? 81 : 80) },
    KubernetesCase(
      "a range of ports", network("{\(onA), ingress: [{ports: [{port: 70, endPort: 80}]}]}")
    ) { $0.destination != "x/a" || $0.proto == "TCP" && $0.port == 80 },
    KubernetesCase(
      "ports of one rule and peers of it together",
      network("{\(onA), ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]}")
    ) { $0.destination != "x/a" || $0.from.namespace == "x" && $0.proto == "TCP" && $0.port == 80 },
    KubernetesCase(
      "rules of one policy add up",
      network("{\(onA), ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}, {ports: [{port: 81}]}]}")
    ) { $0.destination != "x/a" || $0.proto == "TCP" && ($0.port == 81 || $0.from.namespace == "x") },
    KubernetesCase(
      "policies add up",
      network("one", "{\(onA), ingress: [{from: [{podSelector: {}}]}]}")
        + network("two", "{podSelector: {}, ingress: [{from: [{namespaceSelector: \(inNamespace("y"))}]}]}")
    ) { $0.to.namespace != "x" || $0.from.namespace == "y" || $0.destination == "x/a" && $0.from.namespace == "x" },
    KubernetesCase(
      "both ends must allow",
      network("in", "{\(onA), ingress: [{from: [{namespaceSelector: \(inNamespace("y"))}]}]}")
        + network("out", namespace: "y", "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 80}]}]}")
    ) { probe in
      if probe.from.namespace == "y", probe.proto != "TCP" || probe.port != 80 { return false }
      return probe.destination != "x/a" || probe.from.namespace == "y"
    },
    KubernetesCase(
      "an ipBlock holds pods by their addresses",
      network(
        "{\(onA), ingress: [{from: [{ipBlock: {cidr: 10.77.1.0/24}}, {ipBlock: {cidr: \"fd77::a4d:100/120\"}}]}]}")
    ) { $0.destination != "x/a" || $0.from.namespace == "y" },
    KubernetesCase(
      "except takes out of an ipBlock",
      network(
        "{\(onA), ingress: [{from: [{ipBlock: {cidr: 10.77.0.0/16, except: [10.77.1.0/24]}}, "
          + "{ipBlock: {cidr: \"fd77::/64\", except: [\"fd77::a4d:100/120\"]}}]}]}")
    ) { $0.destination != "x/a" || $0.from.namespace != "y" },
    KubernetesCase(
      "what one block excepts another one may hold",
      network(
        "{\(onA), ingress: [{from: [{ipBlock: {cidr: 10.77.0.0/16, except: [10.77.1.0/24]}}, {ipBlock: {cidr: "
          + "10.77.1.5/32}}, {ipBlock: {cidr: \"fd77::/64\", except: [\"fd77::a4d:100/120\"]}}, "
          + "{ipBlock: {cidr: \"fd77::a4d:105/128\"}}]}]}")
    ) { $0.destination != "x/a" || $0.from.namespace != "y" || $0.source == "y/b" },
    KubernetesCase(
      "an ipBlock of egress",
      network(
        "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.77.2.0/24}}, "
          + "{ipBlock: {cidr: \"fd77::a4d:200/120\"}}]}]}")
    ) { $0.from.namespace != "x" || $0.to.namespace == "z" },
  ]

  /// ClusterNetworkPolicy v1alpha2, also around NetworkPolicy.
  package static let clusterPolicies: [KubernetesCase] = [
    KubernetesCase(
      "Admin Deny",
      cluster("p", "Admin", 1, "\(all), ingress: [{action: Deny, from: [{namespaces: \(inNamespace("x"))}]}]")
    ) { $0.from.namespace != "x" },
    KubernetesCase(
      "Admin subjects by pods",
      cluster(
        "p", "Admin", 1,
        "subject: {pods: {namespaceSelector: \(inNamespace("y")), podSelector: {matchLabels: {pod: a}}}}, "
          + "egress: [{action: Deny, to: [{pods: {podSelector: {matchLabels: {pod: c}}}}]}]")
    ) { $0.source != "y/a" || $0.to.pod != "c" },
    KubernetesCase(
      "the first rule of a policy that matches decides",
      cluster(
        "p", "Admin", 1,
        "\(all), ingress: [{action: Accept, from: [{pods: {podSelector: {matchLabels: {pod: a}}}}]}, "
          + "{action: Deny, from: [{namespaces: {}}]}]")
    ) { $0.from.pod == "a" },
    KubernetesCase(
      "a smaller priority is asked first",
      cluster("later", "Admin", 2, "\(all), ingress: [{action: Deny, from: [{namespaces: {}}]}]")
        + cluster(
          "sooner", "Admin", 1, "\(all), ingress: [{action: Accept, from: [{namespaces: \(inNamespace("y"))}]}]")
    ) { $0.from.namespace == "y" },
    KubernetesCase(
      "Admin Accept overrules isolation",
      network("{podSelector: {}}")
        + cluster("p", "Admin", 1, "\(all), ingress: [{action: Accept, from: [{namespaces: \(inNamespace("y"))}]}]")
    ) { $0.to.namespace != "x" || $0.from.namespace == "y" },
    KubernetesCase(
      "Admin Deny overrules a NetworkPolicy",
      network("{podSelector: {}, ingress: [{}]}")
        + cluster("p", "Admin", 1, "\(all), ingress: [{action: Deny, from: [{namespaces: \(inNamespace("y"))}]}]")
    ) { $0.from.namespace != "y" },
    KubernetesCase(
      "Pass leaves the word to NetworkPolicies",
      network("{\(onA), ingress: [{ports: [{port: 80}]}]}")
        + cluster(
          "p", "Admin", 1,
          "\(all), ingress: [{action: Pass, from: [{namespaces: \(inNamespace("y"))}]}, {action: Deny, from: [{namespaces: "
            + "{}}]}]")
    ) { $0.from.namespace == "y" && ($0.destination != "x/a" || $0.proto == "TCP" && $0.port == 80) },
    KubernetesCase(
      "Pass skips later policies of its tier, and not Baseline",
      cluster("one", "Admin", 1, "\(all), ingress: [{action: Pass, from: [{namespaces: \(inNamespace("y"))}]}]")
        + cluster("two", "Admin", 2, "\(all), ingress: [{action: Accept, from: [{namespaces: {}}]}]")
        + cluster("base", "Baseline", 1, "\(all), ingress: [{action: Deny, from: [{namespaces: {}}]}]")
    ) { $0.from.namespace != "y" },
    KubernetesCase(
      "Baseline Deny holds for what no NetworkPolicy selects",
      network("{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}")
        + cluster("base", "Baseline", 1, "\(all), ingress: [{action: Deny, from: [{namespaces: {}}]}]")
    ) { $0.to.namespace == "x" && $0.from.namespace == "x" },
    KubernetesCase(
      "isolation ends the way before Baseline Accept",
      network("{podSelector: {}}")
        + cluster("base", "Baseline", 1, "\(all), ingress: [{action: Accept, from: [{namespaces: {}}]}]")
    ) { $0.to.namespace != "x" },
    KubernetesCase(
      "Baseline Pass is the default",
      cluster(
        "base", "Baseline", 1,
        "\(all), ingress: [{action: Pass, from: [{namespaces: \(inNamespace("z"))}]}, {action: Deny, from: [{namespaces: "
          + "{}}]}]")
    ) { $0.from.namespace == "z" },
    KubernetesCase(
      "protocols and ranges of a cluster policy",
      cluster(
        "p", "Admin", 1,
        "\(all), ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 81}}}, "
          + "{udp: {destinationPort: {range: {start: 79, end: 80}}}}]}]")
    ) { $0.proto == "TCP" ? $0.port != 81 : $0.port != 80 },
    KubernetesCase(
      "a named port of a cluster policy keeps its place among the rules",
      cluster(
        "p", "Admin", 1,
        "\(all), ingress: [{action: Accept, from: [{namespaces: \(inNamespace("x"))}]}, {action: Deny, from: [{namespaces: "
          + "{}}], protocols: [{destinationNamedPort: http}]}, {action: Accept, from: [{namespaces: {}}]}]")
    ) { $0.from.namespace == "x" || $0.port != ($0.destination == "z/c" ? 81 : 80) },
    KubernetesCase(
      "a named port in egress",
      cluster(
        "p", "Admin", 1,
        "\(all), egress: [{action: Deny, to: [{namespaces: \(inNamespace("z"))}], protocols: [{destinationNamedPort: http}]}]"
      )
    ) { $0.to.namespace != "z" || $0.port != ($0.to.pod == "c" ? 81 : 80) },
    KubernetesCase(
      "networks hold pods as well",
      cluster(
        "p", "Admin", 1,
        "\(all), egress: [{action: Deny, to: [{networks: [10.77.1.0/24, \"fd77::a4d:100/120\"]}]}]")
    ) { $0.to.namespace != "y" },
    KubernetesCase(
      "Pass for pods before a Deny of networks",
      cluster(
        "p", "Admin", 1,
        "\(all), egress: [{action: Pass, to: [{namespaces: \(inNamespace("y"))}]}, {action: Deny, to: [{networks: "
          + "[0.0.0.0/0, \"::/0\"]}]}]")
    ) { $0.to.namespace == "y" },
  ]
}
