// What the Kubernetes API refuses is refused here, with file, line, field and what to do.

import Policy
import Testing

@Suite struct KubernetesValidationTests {
  private static func network(_ spec: String) -> String {
    """
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: p, namespace: shop}
    spec:
      \(spec)
    """
  }

  private static func cluster(_ spec: String) -> String {
    """
    apiVersion: policy.networking.k8s.io/v1alpha2
    kind: ClusterNetworkPolicy
    metadata: {name: p}
    spec: \(spec)
    """
  }

  private static func pod(_ rest: String) -> String { "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n\(rest)" }

  private static func port(_ port: String) -> String { network("ingress: [{ports: [\(port)]}]") }
  private static func peer(_ peer: String) -> String { network("ingress: [{from: [\(peer)]}]") }
  private static func rule(_ rule: String) -> String {
    cluster("{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [\(rule)]}")
  }

  /// A document and how its one error begins.
  static let faults: [(String, String)] = [
    // Ports.
    (port("{port: 0}"), "f:5: spec.ingress[0].ports[0].port: must be a whole number from 1 to 65535"),
    (port("{port: 65536}"), "f:5: spec.ingress[0].ports[0].port: must be a whole number from 1 to 65535"),
    (port("{port: \"80\"}"), "f:5: spec.ingress[0].ports[0].port: \"80\" is not a port name"),
    (port("{port: Web}"), "f:5: spec.ingress[0].ports[0].port: \"Web\" is not a port name"),
    (port("{port: a--b}"), "f:5: spec.ingress[0].ports[0].port: \"a--b\" is not a port name"),
    (port("{port: sixteen-letters-}"), "f:5: spec.ingress[0].ports[0].port: \"sixteen-letters-\" is not a port name"),
    (port("{port: 80, endPort: 79}"), "f:5: spec.ingress[0].ports[0].endPort: 79 is below port 80; write at least 80"),
    (port("{port: http, endPort: 90}"), "f:5: spec.ingress[0].ports[0].endPort: a named port has no end"),
    (port("{endPort: 90}"), "f:5: spec.ingress[0].ports[0].endPort: there is no port for it to end"),
    (port("{port: 80, endPort: 70000}"), "f:5: spec.ingress[0].ports[0].endPort: must be a whole number"),
    (
      port("{protocol: ICMP}"),
      "f:5: spec.ingress[0].ports[0].protocol: \"ICMP\" is not a protocol; write `TCP`, `UDP` or `SCTP`"
    ),
    (port("{prot: TCP}"), "f:5: spec.ingress[0].ports[0].prot: there is no such field"),
    // Peers.
    (peer("{}"), "f:5: spec.ingress[0].from[0]: names no peer"),
    (
      peer("{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}"),
      "f:5: spec.ingress[0].from[0]: has ipBlock and another peer; make two peers of them"
    ),
    (peer("{ipBlock: {}}"), "f:5: spec.ingress[0].from[0].ipBlock.cidr: is missing"),
    (
      peer("{ipBlock: {cidr: 10.0.0.0}}"),
      "f:5: spec.ingress[0].from[0].ipBlock.cidr: \"10.0.0.0\" has no prefix length"
    ),
    (
      peer("{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}"),
      "f:5: spec.ingress[0].from[0].ipBlock.except[0]: 11.0.0.0/16 is not a smaller block inside 10.0.0.0/8"
    ),
    (
      peer("{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}"),
      "f:5: spec.ingress[0].from[0].ipBlock.except[0]: 10.0.0.0/8 is not a smaller block inside 10.0.0.0/8"
    ),
    (
      peer("{ipBlock: {cidr: \"fd00::/8\", except: [10.0.0.0/16]}}"),
      "f:5: spec.ingress[0].from[0].ipBlock.except[0]: 10.0.0.0/16 is not a smaller block inside fd00::/8"
    ),
    // Selectors.
    (
      peer("{podSelector: {matchExpressions: [{key: app, operator: in, values: [a]}]}}"),
      "f:5: spec.ingress[0].from[0].podSelector.matchExpressions[0].operator: \"in\" is not an operator; write `In`"
    ),
    (
      peer("{podSelector: {matchExpressions: [{key: app, operator: In, values: []}]}}"),
      "f:5: spec.ingress[0].from[0].podSelector.matchExpressions[0].values: requirement on app needs at least one value"
    ),
    (
      peer("{podSelector: {matchExpressions: [{key: app, operator: Exists, values: [a]}]}}"),
      "f:5: spec.ingress[0].from[0].podSelector.matchExpressions[0].values: requirement on app takes no values"
    ),
    (
      peer("{podSelector: {matchExpressions: [{key: app}]}}"),
      "f:5: spec.ingress[0].from[0].podSelector.matchExpressions[0]: must have key and operator"
    ),
    (
      peer("{podSelector: {matchLabels: {app: yes}}}"),
      "f:5: spec.ingress[0].from[0].podSelector.matchLabels.app: yes is not text to YAML, and the Kubernetes API refuses"
    ),
    (
      peer("{podSelector: {matchLabels: {app: a b}}}"),
      "f:5: spec.ingress[0].from[0].podSelector.matchLabels.app: \"a b\" is not a label value"
    ),
    (
      peer("{podSelector: {matchLabels: {-app: a}}}"),
      "f:5: spec.ingress[0].from[0].podSelector.matchLabels.-app: label key \"-app\" must begin and end with"
    ),
    // The policy as a whole.
    (
      network("policyTypes: [Ingres]"),
      "f:5: spec.policyTypes[0]: \"Ingres\" is not a policy type; did you mean `Ingress`?"
    ),
    (
      network("policyTypes: [Ingress, Egress, Egress]"), "f:5: spec.policyTypes: has 3 entries; at most 2 are allowed"
    ),
    (network("podSelectors: {}"), "f:5: spec.podSelectors: there is no such field; did you mean `podSelector`?"),
    (network("ingress: [{fro: []}]"), "f:5: spec.ingress[0].fro: there is no such field; did you mean `from`?"),
    (
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: P}",
      "f:3: metadata.name: \"P\" is not a DNS"
    ),
    ("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {}", "f:3: metadata.name: is missing"),
    (
      "apiVersion: networking.k8s.io/v2\nkind: NetworkPolicy\nmetadata: {name: p}",
      "f:1: apiVersion: NetworkPolicy of \"networking.k8s.io/v2\" is not read; write `apiVersion: networking.k8s.io/v1`"
    ),
    (
      "apiVersion: policy.networking.k8s.io/v1beta1\nkind: ClusterNetworkPolicy\nmetadata: {name: p}",
      "f:1: apiVersion: ClusterNetworkPolicy of \"policy.networking.k8s.io/v1beta1\" is not read"
    ),
    (
      "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: p}",
      "f:1: kind: AdminNetworkPolicy is not read; convert it to a ClusterNetworkPolicy with `sallyport policy convert"
    ),
    (
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolcy\nmetadata: {name: p}",
      "f:1: kind: \"NetworkPolcy\" of networking.k8s.io/v1 is not known; did you mean NetworkPolicy?"
    ),
    // ClusterNetworkPolicy.
    (
      cluster("{tier: Admin, priority: 1001, subject: {namespaces: {}}}"),
      "f:4: spec.priority: must be a whole number from 0 to 1000"
    ),
    (
      cluster("{tier: Admin, priority: -1, subject: {namespaces: {}}}"),
      "f:4: spec.priority: must be a whole number from 0 to 1000"
    ),
    (
      cluster("{tier: admin, priority: 1, subject: {namespaces: {}}}"),
      "f:4: spec.tier: \"admin\" is not a tier; write `Admin`"
    ),
    (cluster("{priority: 1, subject: {namespaces: {}}}"), "f:4: spec.tier: is missing"),
    (
      cluster("{tier: Admin, priority: 1, subject: {}}"), "f:4: spec.subject: must have either namespaces or pods"
    ),
    (
      cluster("{tier: Admin, priority: 1, subject: {namespaces: {}, pods: {podSelector: {}}}}"),
      "f:4: spec.subject: must have either namespaces or pods"
    ),
    (
      cluster("{tier: Admin, priority: 1, subject: {pods: {namespaceSelector: {}}}}"),
      "f:4: spec.subject.pods.podSelector: is missing"
    ),
    (rule("{to: [{namespaces: {}}]}"), "f:4: spec.egress[0].action: is missing"),
    (
      rule("{action: Allow, to: [{namespaces: {}}]}"),
      "f:4: spec.egress[0].action: \"Allow\" is not an action; write `Accept`"
    ),
    (rule("{action: Deny}"), "f:4: spec.egress[0].to: is missing"),
    (rule("{action: Deny, to: []}"), "f:4: spec.egress[0].to: is empty"),
    (
      rule("{action: Deny, to: [\(Array(repeating: "{namespaces: {}}", count: 26).joined(separator: ", "))]}"),
      "f:4: spec.egress[0].to: has 26 items; at most 25 are allowed"
    ),
    (
      rule("{action: Deny, to: [{networks: [10.0.0.0/8, 10.0.0.0/8]}]}"),
      "f:4: spec.egress[0].to[0].networks: holds a network more than once"
    ),
    (
      rule("{action: Deny, to: [{networks: [10.0.0.0/8]}], protocols: [{destinationNamedPort: http}]}"),
      "f:4: spec.egress[0].to[0].networks: has no named ports, and the rule has a destinationNamedPort"
    ),
    (
      rule("{action: Deny, to: [{domainNames: [example.com]}]}"),
      "f:4: spec.egress[0].to[0].domainNames: is for Accept rules only"
    ),
    (
      rule("{action: Accept, to: [{domainNames: [\"a.*.com\"]}]}"),
      "f:4: spec.egress[0].to[0].domainNames[0]: \"a.*.com\" is not a domain name"
    ),
    (
      rule(
        "{action: Deny, to: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {range: {start: 9, end: 9}}}}]}"),
      "f:4: spec.egress[0].protocols[0].tcp.destinationPort.range.end: 9 is not above start 9"
    ),
    (
      rule("{action: Deny, to: [{namespaces: {}}], protocols: [{tcp: {}}]}"),
      "f:4: spec.egress[0].protocols[0].tcp: says nothing"
    ),
    (
      rule("{action: Deny, to: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {}}, udp: {}}]}"),
      "f:4: spec.egress[0].protocols[0]: must have one of tcp, udp, sctp, destinationNamedPort"
    ),
    (
      rule("{name: \(String(repeating: "x", count: 101)), action: Deny, to: [{namespaces: {}}]}"),
      "f:4: spec.egress[0].name: has more than 100 characters"
    ),
    // Pods and namespaces.
    (
      pod("spec: {containers: [{ports: [{name: http, containerPort: 0}]}]}"),
      "f:4: spec.containers[0].ports[0].containerPort: must be a whole number from 1 to 65535"
    ),
    (
      pod("spec: {containers: [{ports: [{name: a, containerPort: 1}, {name: a, containerPort: 2}]}]}"),
      "f:4: spec.containers[0].ports[1].name: a is already a port of this container"
    ),
    (pod("status: {podIP: 10.0.0}"), "f:4: status.podIP: \"10.0.0\" is not an IP address"),
    (
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: a.b}", "f:3: metadata.name: \"a.b\" is not a DNS label"
    ),
    (
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: b}",
      "f:3: metadata.namespace: objects of this kind have no namespace"
    ),
    (
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {kubernetes.io/metadata.name: b}}",
      "f:1: metadata.labels.kubernetes.io/metadata.name: is \"b\", and the name is a"
    ),
  ]

  @Test("what the Kubernetes API refuses is refused with file, line, field and remedy", arguments: faults)
  func refusal(document: String, expected: String) {
    let error = #expect(throws: PolicyErrors.self) { try parse(document) }
    let lines = error?.errors.map(\.description) ?? []
    #expect(lines.contains { $0.hasPrefix(expected) }, "\(lines)")
    #expect(error?.errors.allSatisfy { !$0.remedy.isEmpty } ?? false)
  }

  @Test("objects of one name are refused with both places")
  func sameNames() {
    let one = Self.network("podSelector: {}")
    let error = #expect(throws: PolicyErrors.self) { try parse("\(one)\n---\n\(one)") }
    #expect(
      error?.errors.map(\.description) == [
        "f:7: metadata.name: NetworkPolicy shop/p is already defined at f:1; rename or remove one of them"
      ])
  }

  @Test("an address belongs to one pod, but pods in the network of their node share theirs")
  func sharedAddresses() throws {
    func pods(_ spec: String) -> String {
      ["a", "b"].map {
        "---\napiVersion: v1\nkind: Pod\nmetadata: {name: \($0)}\nspec: {\(spec)}\nstatus: {podIP: 10.0.0.1}\n"
      }.joined()
    }
    let error = #expect(throws: PolicyErrors.self) { try parse(pods("")) }
    #expect(
      error?.errors.first?.description.hasPrefix("f:8: status.podIPs: 10.0.0.1 already belongs to pod default/a at f:2")
        ?? false)
    #expect(try parse(pods("hostNetwork: true")).policy.pods.count == 2)
  }

  @Test("a peer of a version to come matches nothing, and a rule that denies by it denies everything")
  func unknownPeers() throws {
    let accepting = try parse(
      Self.peer("{podSelector: {}, tenantSelector: {}}") + "\n---\n"
        + Self.rule("{action: Accept, to: [{tenants: {}}, {namespaces: {}}]}"))
    #expect(accepting.policy.ruleSets.map { $0.incoming.first?.peers ?? $0.outgoing.first?.peers } == [[], []])
    #expect(
      accepting.warnings.map(\.description) == [
        "f:5: spec.ingress[0].from[0].tenantSelector: this version knows no such peer, so it matches nothing; known here: "
          + "podSelector, namespaceSelector, ipBlock",
        "f:10: spec.egress[0].to[0].tenants: this version knows no such peer, so the rule matches nothing; known here: "
          + "namespaces, pods, nodes, networks, domainNames",
      ])
    for action in ["Deny", "Pass"] {
      let rule = try parse(Self.rule("{action: \(action), to: [{tenants: {}}]}")).policy.ruleSets.first?.outgoing.first
      #expect(rule?.action == .reject && rule?.peers == [.any] && rule?.ports == [.any])
    }
  }

  @Test("policies of equal priority are told, and asked in the order of their names")
  func equalPriorities() throws {
    func policy(_ name: String, _ action: String) -> String {
      """
      ---
      apiVersion: policy.networking.k8s.io/v1alpha2
      kind: ClusterNetworkPolicy
      metadata: {name: \(name)}
      spec: {tier: Admin, priority: 5, subject: {namespaces: {}}, ingress: [{action: \(action), from: [{namespaces: {}}]}]}

      """
    }
    let parsed = try parse(policy("a-b", "Accept") + policy("a", "Deny"))
    #expect(
      parsed.warnings.map(\.description) == [
        "f:2: spec.priority: is that of ClusterNetworkPolicy/a at f:7 too: the latter is asked first, by its name; give "
          + "each policy of a tier a priority of its own"
      ])
    let pod = Endpoint.workload(try LabelSet(parsing: "k8s.namespace=x"))
    let verdict = parsed.policy.verdict(
      for: Flow(direction: .incoming, subject: pod, peer: pod, protocol: .tcp, port: 80))
    #expect(verdict.action == .reject)
  }

  @Test("lists, JSON, metadata that only a server writes, and objects without policy are read")
  func asTheyAre() throws {
    let parsed = try parse(
      """
      {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": [
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
         "metadata": {"name": "p", "namespace": "shop", "uid": "1", "managedFields": [{"manager": "kubectl"}],
          "creationTimestamp": null, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
         "spec": {"podSelector": {}, "ingress": null}, "status": {}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": []}}
      ]}
      ---
      apiVersion: v1
      kind: NamespaceList
      items: [{metadata: {name: shop}}]
      """)
    #expect(parsed.policy.ruleSets.map(\.name) == ["NetworkPolicy/shop/p"])
    #expect(parsed.warnings.map(\.description) == ["f:6: 1 object holds no network policy and is left out: Service"])
  }

  @Test("50,000 policies are read and compiled, and aliases that grow are refused at once")
  func size() throws {
    let text = (0..<50_000).map {
      "---\n{apiVersion: networking.k8s.io/v1,kind: NetworkPolicy,metadata: {name: p\($0)},spec: {podSelector: {}}}\n"
    }.joined()
    let clock = ContinuousClock()
    var count = 0
    let took = try clock.measure { count = try parse(text).policy.ruleSets.count }
    #expect(count == 50_000 && took < .seconds(120), "\(took)")
    let bomb = "a: &a [x, x]\n" + (0..<40).map { "b\($0): &b\($0) [*a, *a, *b\(max(0, $0 - 1))]\n" }.joined()
    let error = #expect(throws: PolicyErrors.self) { try parse(bomb) }
    #expect(error?.errors.first?.message.contains("no anchor &b0 before") ?? false)
  }
}
