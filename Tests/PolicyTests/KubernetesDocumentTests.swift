// Are documents read as clusters and tools print them, and does what they leave open stay refused?

import Policy
import Testing

@Suite struct KubernetesDocumentTests {
  private static let names = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n---\n"

  private static func pod(
    _ name: String, _ address: String, phase: String = "Running", namespace: String = "shop", spec: String = ""
  ) -> String {
    """
    apiVersion: v1
    kind: Pod
    metadata: {name: \(name), namespace: \(namespace), labels: {app: \(name)}, annotations: {sallyport/cgroup: /x/\(name)}}
    spec: {containers: [{name: c, image: i, ports: [{name: pg, containerPort: 5432}]}]\(spec)}
    status: {phase: \(phase), podIP: \(address), podIPs: [{ip: \(address)}]}
    ---

    """
  }

  private static func cluster(_ rule: String, subject: String = "{namespaces: {}}", priority: Int = 1) -> String {
    """
    apiVersion: policy.networking.k8s.io/v1alpha2
    kind: ClusterNetworkPolicy
    metadata: {name: p\(priority)}
    spec: {tier: Admin, priority: \(priority), subject: \(subject), egress: [\(rule)]}
    ---

    """
  }

  private static func decide(_ text: String, _ from: String, _ to: String) throws -> Action? {
    var offline = try OfflinePolicy(parse(text).policy)
    let (source, destination) = (try offline.end(from), try offline.end(to))
    return offline.decisions(from: source, to: destination, protocol: .tcp, port: 80).outgoing?.action
  }

  @Test("a pod that has run to its end has no address, no ports and no labels", arguments: ["Succeeded", "Failed"])
  func finished(_ phase: String) throws {
    let text = Self.names + Self.pod("db", "10.1.0.2") + Self.pod("job", "10.1.0.2", phase: phase)
    let policy = try parse(text).policy
    #expect(policy.pods.map(\.title) == ["shop/db"])
    #expect(policy.workloads.map(\.addresses) == [[try IPAddress(parsing: "10.1.0.2")]])
    for other in ["Running", "Pending", "Unknown"] {
      let both = Self.names + Self.pod("db", "10.1.0.2") + Self.pod("job", "10.1.0.2", phase: other)
      #expect(!errors(both).isEmpty, "two pods that run have two addresses")
    }
    // Its namespace is there, and pods that no policy selects may talk.
    #expect(try parse(Self.pod("job", "10.1.0.2", phase: phase)).policy.defaults.pods.incoming == .allow)
  }

  @Test("nodes are also the pods in their networks, for every action", arguments: ["Deny", "Accept", "Pass"])
  func nodes(_ action: String) throws {
    let node =
      "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {zone: a}}\n"
      + "status: {addresses: [{type: InternalIP, address: 192.0.2.1}, {type: Hostname, address: n1}]}\n---\n"
    let pods =
      Self.pod("web", "10.1.0.1") + Self.pod("agent", "192.0.2.1", spec: ", hostNetwork: true")
      + Self.pod("other", "192.0.2.2", spec: ", hostNetwork: true")
    let all = "{action: \(action == "Deny" ? "Accept" : "Deny"), to: [{namespaces: {}}, {networks: [0.0.0.0/0]}]}"
    let text =
      Self.names + node + pods
      + Self.cluster("{action: \(action), to: [{nodes: {matchLabels: {zone: a}}}]}", priority: 1)
      + Self.cluster(all, priority: 2)
    let meant: Action = action == "Deny" ? .reject : .allow
    let others: Action = action == "Deny" ? .allow : .reject
    for end in ["shop/agent", "192.0.2.1"] {
      #expect(try Self.decide(text, "shop/web", end) == meant, "\(action) \(end)")
    }
    for end in ["shop/other", "192.0.2.2"] {
      #expect(try Self.decide(text, "shop/web", end) == others, "\(action) \(end)")
    }
  }

  @Test("this host is the node that has its addresses")
  func ownNode() throws {
    let text =
      Self.names + Self.pod("web", "10.1.0.1") + "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {zone: a}}\n"
      + "status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}\n---\n"
      + Self.cluster("{action: Deny, to: [{nodes: {matchLabels: {zone: a}}}]}")
    for (own, expected) in [("192.0.2.1", Action.reject), ("192.0.2.9", .allow)] {
      var reader = PolicyReader()
      reader.localAddresses = [try IPAddress(parsing: own)]
      let policy = try reader.parse(files: [("f", Array(text.utf8))]).policy
      var offline = try OfflinePolicy(policy)
      let (web, host) = (try offline.end("shop/web"), try offline.end("host"))
      #expect(offline.decisions(from: web, to: host, protocol: .tcp, port: 80).outgoing?.action == expected)
    }
  }

  @Test(
    "a Deny over labels that are absent holds for namespaces that no document tells of",
    arguments: [
      "{key: trusted, operator: DoesNotExist}", "{key: team, operator: NotIn, values: [a]}",
      "{key: team, operator: NotIn, values: [a]}, {key: kubernetes.io/metadata.name, operator: NotIn, values: [b]}",
    ])
  func untold(_ expressions: String) throws {
    let shop = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a, trusted: x}}\n---\n"
    let base = shop + Self.pod("web", "10.1.0.1")
    let selector = "{matchExpressions: [\(expressions)]}"
    let stranger = "k8s.namespace=nowhere,k8s.label/app=x"
    let peers = [
      "{action: DO, to: [{namespaces: \(selector)}]}",
      "{action: DO, to: [{pods: {namespaceSelector: \(selector), podSelector: {}}}]}",
    ]
    for peer in peers {
      let deny = base + Self.cluster(peer.replacing("DO", with: "Deny"))
      #expect(try Self.decide(deny, "shop/web", stranger) == .reject)
      #expect(try Self.decide(deny, "shop/web", "shop/web") == .allow)
      // What is not known is not let through, nor passed on.
      for action in ["Accept", "Pass"] {
        let open =
          base + Self.cluster(peer.replacing("DO", with: action))
          + Self.cluster(
            "{action: Deny, to: [{namespaces: {}}]}", priority: 2)
        #expect(try Self.decide(open, "shop/web", stranger) == .reject, "\(action)")
      }
    }
    // As the subject likewise.
    let own = base + Self.cluster("{action: Deny, to: [{namespaces: {}}]}", subject: "{namespaces: \(selector)}")
    #expect(try Self.decide(own, stranger, "shop/web") == .reject)
    let open = base + Self.cluster("{action: Accept, to: [{namespaces: {}}]}", subject: "{namespaces: \(selector)}")
    #expect(try parse(open).policy.ruleSets.filter { $0.name.hasSuffix("#untold") }.isEmpty)
    // One that asks for a label does not mean them.
    let asking = "{namespaces: {matchLabels: {team: a}}}"
    let known = base + Self.cluster("{action: Deny, to: [\(asking)]}")
    #expect(try Self.decide(known, "shop/web", stranger) == .allow)
  }

  @Test(
    "a number that tools read in different ways is refused",
    arguments: ["0443", "0x1bb", "0o673", "0b11", "1_000", "8e1", "+80", "80.0", "00"])
  func oddNumbers(_ text: String) {
    let policy =
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: a}\nspec: {ingress: "
    for field in ["port: \(text)", "port: 1, endPort: \(text)"] {
      let told = errors(policy + "[{ports: [{\(field)}]}]}")
      #expect(told.count == 1 && told[0].contains("\(text) is not a decimal number"), "\(told)")
    }
    let told = errors(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{ports: [{containerPort: \(text)}]}]}")
    #expect(told.count == 1, "\(told)")
    #expect(errors(policy + "[{ports: [{port: 443}]}]}").isEmpty)
  }

  @Test("truths in quotes, or in other words, are refused", arguments: ["\"true\"", "yes", "on", "1", "True"])
  func truths(_ text: String) {
    let told = errors("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {hostNetwork: \(text)}")
    #expect(told.count == 1 && told[0].contains("is not true or false"), "\(told)")
  }

  @Test("an empty namespace is as none, and a policy without one is told")
  func namespaces() throws {
    let text =
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p\nNS}\nspec: {podSelector: {}}\n"
    for namespace in ["", ", namespace: \"\"", ", namespace: "] {
      let parsed = try parse(text.replacing("\nNS", with: namespace))
      #expect(parsed.policy.ruleSets.map(\.name) == ["NetworkPolicy/default/p"])
      #expect(parsed.warnings.count == 1 && parsed.warnings[0].message.contains("`default` is taken"))
    }
  }

  @Test("anchors, aliases and merge keys are read")
  func anchors() throws {
    let text = """
      apiVersion: sallyport/v1
      kind: NetworkRuleSet
      metadata: {name: web}
      spec:
        subject: app=web
        incoming:
          - &base {name: a, action: allow, peers: &peers [{selector: app=lb}], ports: [tcp/80]}
          - {<<: *base, name: b, ports: [tcp/443]}
          - {name: c, action: reject, peers: *peers, ports: any}
      """
    let rules = try parse(text).policy.ruleSets[0].incoming
    #expect(rules.map(\.name) == ["a", "b", "c"])
    #expect(rules.map { $0.ports.map(\.description) } == [["tcp/80"], ["tcp/443"], ["any"]])
    #expect(rules.allSatisfy { $0.peers == rules[0].peers })
    #expect(rules.map(\.action) == [.allow, .allow, .reject])
  }

  @Test(
    "whole installations are read, with a line or two about the rest",
    arguments: [("argo-cd-shape.yaml", 10), ("kube-prometheus-shape.yaml", 8)])
  func installations(_ file: String, _ policies: Int) throws {
    let parsed = try parse(try Mistake.read("Tests/PolicyTests/Fixtures/\(file)"))
    #expect(parsed.policy.ruleSets.count == policies)
    #expect((1...3).contains(parsed.warnings.count), "\(parsed.warnings.map(\.description))")
    #expect(parsed.warnings.contains { $0.message.contains("CustomResourceDefinition") })
  }

  @Test("a stream of pods is read item by item, from YAML and JSON, kind last")
  func streams() throws {
    let item = { (index: Int) in
      """
      - apiVersion: v1
        kind: Pod
        metadata: {name: p\(index), namespace: shop, labels: {app: a\(index % 7)}}
        spec: {containers: [{name: c, env: [{name: A, value: "\(String(repeating: "x", count: 500))"}]}]}
        status: {phase: Running, podIP: 10.0.\(index / 250).\(index % 250 + 1)}

      """
    }
    let yaml =
      "apiVersion: v1\nitems:\n" + (0..<500).map(item).joined() + "kind: List\nmetadata: {resourceVersion: \"\"}\n"
    #expect(try parse(yaml).policy.pods.count == 500)
    let pods = (0..<500).map {
      "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"p\($0)\"}, \"status\": {}}"
    }
    let json = "{\"apiVersion\": \"v1\", \"items\": [\(pods.joined(separator: ", "))], \"kind\": \"List\"}"
    #expect(try parse(json).policy.pods.count == 500)
    // Broken in the middle, nothing of it counts.
    #expect(errors(yaml + "x: [\n").count == 1)
    // An item that is wrong is named by its own line.
    let bad =
      "apiVersion: v1\nkind: List\nitems:\n" + item(1)
      + item(2).replacing("Running, podIP: 10", with: "Running, podIP: x")
    #expect(errors(bad).first?.hasPrefix("f:13: status.podIP: ") == true, "\(errors(bad))")
  }

  @Test("native documents in a list are read, and those of a stranger refuse the whole")
  func nativeItems() throws {
    let native = "{apiVersion: sallyport/v1, kind: Defaults, metadata: {name: d}, spec: {incoming: allow}}"
    let text = "{apiVersion: v1, kind: List, items: [\(native)]}"
    #expect(try parse(text).policy.defaults.workloads.incoming == .allow)
    #expect(
      !errors("{apiVersion: sallyport/v1, kind: Defaults, metadata: {name: d}, spec: {}, items: [\(native)]}").isEmpty)
    #expect(errors("{apiVersion: v1, kind: List, items: [{a: b}]}").count == 1)
  }

  @Test(
    "policies of other products are refused by name, without further errors",
    arguments: [
      ("cilium.io/v2", "CiliumNetworkPolicy", "Cilium"), ("projectcalico.org/v3", "GlobalNetworkPolicy", "Calico"),
      ("crd.projectcalico.org/v1", "NetworkPolicy", "Calico"), ("security.istio.io/v1", "AuthorizationPolicy", "Istio"),
      ("crd.antrea.io/v1beta1", "ClusterNetworkPolicy", "Antrea"),
      ("k8s.ovn.org/v1", "EgressFirewall", "OVN-Kubernetes"),
      ("policy.linkerd.io/v1alpha1", "AuthorizationPolicy", "Linkerd"),
      ("new.example.com/v1", "TenantNetworkPolicy", "new.example.com"),
    ])
  func otherProducts(_ version: String, _ kind: String, _ product: String) {
    let told = errors("apiVersion: \(version)\nkind: \(kind)\nmetadata: {name: w}\nspec: {a: [b], c: 1}\n")
    #expect(told.count == 1 && told[0].contains("is a policy of \(product), which is not read; write it as"), "\(told)")
  }

  @Test("a file of Helm, Jinja or Kustomize is called what it is")
  func templates() throws {
    for text in ["metadata: {name: {{ .Values.name }}}", "{% if x %}\na: b\n{% endif %}", "a: b\n{{- end }}\n"] {
      let told = errors(text + "\n")
      #expect(told.count == 1 && told[0].contains("is a template ("), "\(told)")
    }
    let kustomization = Array("resources: [a.yaml]\nnamePrefix: x-\n".utf8)
    let parsed = try PolicyParser.parse(files: [("d/kustomization.yaml", kustomization)])
    #expect(parsed.warnings.map(\.message) == ["a file of Kustomize is not built here and is left out"])
    let chart = Array("apiVersion: v2\nname: web\nversion: 1.0.0\n".utf8)
    #expect(throws: PolicyErrors.self) { try PolicyParser.parse(files: [("d/Chart.yaml", chart)]) }
  }
}
