// Who speaks first: native rules, the tiers of Kubernetes and its isolation, each against each.

import Policy
import Testing

@Suite struct KubernetesTierTests {
  private static let pods = """
    apiVersion: v1
    kind: Namespace
    metadata: {name: shop}
    ---
    apiVersion: v1
    kind: Pod
    metadata: {name: web, namespace: shop, labels: {app: web}}
    status: {podIP: 10.0.0.1}
    ---
    apiVersion: v1
    kind: Pod
    metadata: {name: db, namespace: shop, labels: {app: db}}
    status: {podIP: 10.0.0.2}

    """

  private static func native(_ action: String, mode: String = "enforce", peer: String = "k8s.label/app=web") -> String {
    """
    ---
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: native-\(action)}
    spec:
      subject: k8s.label/app=db
      incoming: [{action: \(action), peers: [{selector: "\(peer)"}], ports: any, mode: \(mode)}]

    """
  }

  private static func isolation(_ ingress: String = "[]") -> String {
    """
    ---
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: p, namespace: shop}
    spec: {podSelector: {matchLabels: {app: db}}, ingress: \(ingress)}

    """
  }

  private static func tier(_ tier: String, _ action: String) -> String {
    """
    ---
    apiVersion: policy.networking.k8s.io/v1alpha2
    kind: ClusterNetworkPolicy
    metadata: {name: \(tier.lowercased())}
    spec: {tier: \(tier), priority: 1, subject: {namespaces: {}}, ingress: [{action: \(action), from: [{namespaces: {}}]}]}

    """
  }

  private static func defaults(_ spec: String) -> String {
    "---\napiVersion: sallyport/v1\nkind: Defaults\nmetadata: {name: d}\nspec: \(spec)\n"
  }

  /// Documents, who asks, and who decides what.
  static let cases: [(String, String, String)] = [
    ("", "shop/web", "allow default"),
    (defaults("{pods: {incoming: reject}}"), "shop/web", "reject default"),
    (defaults("{incoming: reject, outgoing: reject}"), "shop/web", "allow default"),
    (native("reject") + tier("Admin", "Accept") + isolation("[{}]"), "shop/web", "reject native-reject"),
    (native("allow") + tier("Admin", "Deny"), "shop/web", "reject ClusterNetworkPolicy/admin"),
    (tier("Admin", "Accept") + isolation(), "shop/web", "allow ClusterNetworkPolicy/admin"),
    (tier("Admin", "Pass") + isolation(), "shop/web", "reject NetworkPolicy/shop/p"),
    (tier("Admin", "Pass") + isolation("[{}]") + tier("Baseline", "Deny"), "shop/web", "allow NetworkPolicy/shop/p"),
    (native("allow") + isolation(), "shop/web", "allow native-allow"),
    (isolation() + tier("Baseline", "Accept"), "shop/web", "reject NetworkPolicy/shop/p"),
    (native("allow") + tier("Baseline", "Deny"), "shop/web", "allow native-allow"),
    (tier("Baseline", "Deny"), "shop/web", "reject ClusterNetworkPolicy/baseline"),
    (tier("Admin", "Pass") + tier("Baseline", "Deny"), "shop/web", "reject ClusterNetworkPolicy/baseline"),
    (tier("Baseline", "Pass"), "shop/web", "allow default"),
    (tier("Admin", "Deny"), "10.9.0.1", "allow default"),
    (isolation(), "host", "allow NetworkPolicy/shop/p"),
    (native("reject", peer: "sallyport.identity=host") + isolation(), "host", "reject native-reject"),
    (native("reject", mode: "observe") + isolation("[{}]"), "shop/web", "allow NetworkPolicy/shop/p"),
    (isolation("[{from: [{ipBlock: {cidr: 10.9.0.0/16}}]}]"), "10.9.0.1", "allow NetworkPolicy/shop/p"),
    (isolation("[{from: [{ipBlock: {cidr: 10.9.0.0/16}}]}]"), "10.8.0.1", "reject NetworkPolicy/shop/p"),
    // What is only in CIDRs of rules is still the world.
    (
      native("reject", peer: "sallyport.identity=world") + isolation("[{from: [{ipBlock: {cidr: 10.9.0.0/16}}]}]"),
      "10.9.0.1", "reject native-reject"
    ),
  ]

  @Test("the first step that says anything decides, in the tables as by the rules", arguments: cases)
  func order(documents: String, from: String, expected: String) throws {
    let policy = try parse(Self.pods + documents).policy
    var offline = try OfflinePolicy(policy)
    let (source, destination) = (try offline.end(from), try offline.end("shop/db"))
    let decided = offline.decisions(from: source, to: destination, protocol: .tcp, port: 80).incoming
    let rule = decided.flatMap { $0.rule == 0 ? nil : offline.rules[Int($0.rule) - 1].ruleSet }
    #expect(decided.map { "\($0.action) \(rule ?? "default")" } == expected)
    let peer: Endpoint =
      switch from {
      case "host": .host()
      case "shop/web": .workload(try #require(policy.pods.first { $0.name == "web" }).labels)
      default: .external(policy.networks(containing: try IPAddress(parsing: from)))
      }
    let subject = Endpoint.workload(try #require(policy.pods.first { $0.name == "db" }).labels)
    let verdict = policy.verdict(
      for: Flow(direction: .incoming, subject: subject, peer: peer, protocol: .tcp, port: 80))
    let name = if case .rule(let winner) = verdict.decidedBy { winner.ruleSet } else { "default" }
    #expect("\(verdict.action) \(name)" == expected)
  }

  @Test("an observed native reject is told and changes nothing")
  func observed() throws {
    let policy = try parse(Self.pods + Self.native("reject", mode: "observe") + Self.isolation("[{}]")).policy
    let labels = Dictionary(uniqueKeysWithValues: policy.pods.map { ($0.name, $0.labels) })
    let verdict = policy.verdict(
      for: Flow(
        direction: .incoming, subject: .workload(try #require(labels["db"])),
        peer: .workload(try #require(labels["web"])), protocol: .tcp, port: 80))
    #expect(verdict.action == .allow && verdict.observed?.action == .reject)
  }

  @Test("what isolation refuses a native rule can allow, and an explanation says so; an Admin Deny it cannot")
  func explanations() throws {
    func flips(_ documents: String) throws -> [String] {
      let policy = try parse(Self.pods + documents).policy
      let labels = Dictionary(uniqueKeysWithValues: policy.pods.map { ($0.name, $0.labels) })
      return policy.explain(
        Flow(
          direction: .incoming, subject: .workload(try #require(labels["db"])),
          peer: .workload(try #require(labels["web"])), protocol: .tcp, port: 80)
      ).flips
    }
    #expect(try flips(Self.isolation()).contains { $0.contains("action: allow") })
    #expect(
      try flips(Self.tier("Admin", "Deny")).allSatisfy { $0.hasPrefix("remove or narrow ClusterNetworkPolicy/admin") })
  }

  @Test("a pod is the containers that a runtime calls so, or the cgroup that an annotation names, with its addresses")
  func workloads() throws {
    let policy = try parse(
      Self.pods
        + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: edge, annotations: {sallyport/cgroup: /edge}}\n"
        + "spec: {containers: [{ports: [{name: http, containerPort: 8080}]}]}\nstatus: {podIP: 10.0.0.3}\n"
    ).policy
    let rules = Dictionary(uniqueKeysWithValues: policy.workloads.map { ($0.name, $0) })
    #expect(rules["Pod/shop/web"]?.match.pods == ["shop/web"] && rules["Pod/shop/web"]?.addresses == [])
    #expect(rules["Pod/default/edge"]?.match.cgroups == [Glob("/edge")])
    #expect(rules["Pod/default/edge"]?.addresses.map(\.description) == ["10.0.0.3"])
    #expect(
      rules["Pod/default/edge"]?.labels.description == "k8s.namespace=default,k8s.port.tcp/http=8080")
  }

  @Test("one pod more is one row: no cell changes, and a label that no policy selects by makes no class")
  func onePodMore() throws {
    let policy = try parse(Self.pods + Self.isolation("[{from: [{podSelector: {matchLabels: {app: web}}}]}]")).policy
    let first = IdentityNumber.firstAllotted.rawValue
    var identities = Dictionary(
      uniqueKeysWithValues: policy.pods.enumerated().map {
        (IdentityNumber(rawValue: first + UInt32($0)), $1.labels)
      })
    let before = try Compiler.compile(policy: policy, identities: identities)
    let more = try LabelSet(parsing: "k8s.namespace=shop,k8s.label/app=web,k8s.label/version=2")
    let web = try #require(policy.pods.first { $0.name == "web" }).labels
    #expect(before.classes(for: more) != nil && before.classes(for: more) == before.classes(for: web))
    identities[IdentityNumber(rawValue: first + 2)] = more
    let after = try Compiler.compile(policy: policy, identities: identities)
    let cells = after.tables.cells.changes(from: before.tables.cells)
    #expect(cells.set.isEmpty && cells.gone.isEmpty)
    #expect(after.tables.classes.changes(from: before.tables.classes).count == 1)
    #expect(after.tables.portClasses == before.tables.portClasses)
  }
}
