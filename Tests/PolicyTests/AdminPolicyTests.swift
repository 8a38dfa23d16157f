// Do AdminNetworkPolicy and BaselineAdminNetworkPolicy say the same as ClusterNetworkPolicy, or nothing at all?

import Policy
import Testing

@Suite struct AdminPolicyTests {
  private static func convert(_ text: String) -> AdminPolicyConversion {
    AdminPolicyConversion(files: [("f", Array(text.utf8))])
  }

  private static func admin(_ spec: String, kind: String = "AdminNetworkPolicy") -> String {
    "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: \(kind)\nmetadata: {name: guard}\nspec:\n\(spec)\n"
  }

  private static let everything = """
      priority: 7
      subject:
        pods:
          namespaceSelector: {matchLabels: {team: a}}
          podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [x, z]}]}
      ingress:
        - name: from-monitoring
          action: Allow
          from: [{namespaces: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
          ports:
            - portNumber: {protocol: TCP, port: 9090}
            - portRange: {protocol: UDP, start: 5000, end: 5010}
            - namedPort: metrics
        - {action: Pass, from: [{pods: {podSelector: {}}}]}
      egress:
        - {action: Deny, to: [{nodes: {matchLabels: {zone: a}}}, {networks: [10.0.0.0/8, "fd00::/8"]}]}
    """

  @Test("everything that both kinds know is converted, and reads back")
  func everything() throws {
    let made = Self.convert(Self.admin(Self.everything))
    #expect(made.problems.isEmpty && made.documents.count == 1, "\(made.problems)")
    #expect(throws: Never.self) { try parse(try #require(made.documents.first)) }
    #expect(
      made.documents == [
        """
        apiVersion: policy.networking.k8s.io/v1alpha2
        kind: ClusterNetworkPolicy
        metadata: {name: "guard"}
        spec:
          tier: Admin
          priority: 7
          subject: {pods: {namespaceSelector: {matchExpressions: [{key: "team", operator: In, values: ["a"]}]}, \
        podSelector: {matchExpressions: [{key: "app", operator: NotIn, values: ["x", "z"]}]}}}
          ingress:
            - {name: "from-monitoring", action: Accept, from: [{namespaces: {matchExpressions: \
        [{key: "kubernetes.io/metadata.name", operator: In, values: ["monitoring"]}]}}], protocols: \
        [{tcp: {destinationPort: {number: 9090}}}, {udp: {destinationPort: {range: {start: 5000, end: 5010}}}}, \
        {destinationNamedPort: "metrics"}]}
            - {action: Pass, from: [{pods: {namespaceSelector: {}, podSelector: {}}}]}
          egress:
            - {action: Deny, to: [{nodes: {matchExpressions: [{key: "zone", operator: In, values: ["a"]}]}}, \
        {networks: ["10.0.0.0/8", "fd00::/8"]}]}
        """
      ])
  }

  @Test("the Baseline policy comes last in its tier, and has no Pass")
  func baseline() throws {
    let spec = "  subject: {namespaces: {}}\n  ingress: [{action: Deny, from: [{namespaces: {}}]}]"
    let made = Self.convert(Self.admin(spec, kind: "BaselineAdminNetworkPolicy"))
    let policy = try parse(try #require(made.documents.first)).policy
    #expect(policy.ruleSets.map(\.tier) == [.baseline(priority: 1000)])
    #expect(policy.ruleSets[0].incoming.map(\.action) == [.reject])
    let passing = Self.convert(
      Self.admin(spec.replacing("Deny", with: "Pass"), kind: "BaselineAdminNetworkPolicy"))
    #expect(passing.documents.isEmpty)
    #expect(passing.problems.map(\.field) == ["spec.ingress[0].action"])
  }

  @Test("lists that are too long for the new kind become rules in a row")
  func longLists() throws {
    let networks = (0..<60).map { "10.\($0).0.0/16" }.joined(separator: ", ")
    let ports = (1...30).map { "{portNumber: {port: \($0)}}" }.joined(separator: ", ")
    let spec =
      "  priority: 1\n  subject: {namespaces: {}}\n"
      + "  egress: [{action: Deny, to: [{networks: [\(networks)]}], ports: [\(ports)]}]"
    let made = Self.convert(Self.admin(spec))
    let policy = try parse(try #require(made.documents.first, "\(made.problems)")).policy
    let rules = policy.ruleSets[0].outgoing
    #expect(Set(rules.flatMap(\.peers)).count == 60 && Set(rules.flatMap(\.ports)).count == 30)
    #expect(rules.allSatisfy { $0.action == .reject })
    let many = (0..<30).map { "{name: r\($0), action: \($0 % 2 == 0 ? "Allow" : "Deny"), to: [{namespaces: {}}]}" }
    let long = Self.convert(
      Self.admin("  priority: 1\n  subject: {namespaces: {}}\n  egress: [\(many.joined(separator: ", "))]"))
    #expect(long.documents.isEmpty && long.problems.map(\.field) == ["spec.egress"])
  }

  static let refused: [(String, String)] = [
    (
      "  priority: 1\n  subject: {namespaces: {sameLabels: [team]}}",
      "f:6: spec.subject.namespaces.sameLabels: compares the labels of two namespaces, which ClusterNetworkPolicy cannot"
    ),
    ("  priority: 1001\n  subject: {namespaces: {}}", "f:5: spec.priority: must be a whole number from 0 to 1000"),
    ("  subject: {namespaces: {}}", "f:5: spec.priority: is missing"),
    ("  priority: 1", "f:5: spec.subject: is missing"),
    (
      "  priority: 1\n  subject: {namespaces: {}}\n  egress: [{action: Reject, to: [{namespaces: {}}]}]",
      "f:7: spec.egress[0].action: \"Reject\" is not an action; write `Deny`"
    ),
    (
      "  priority: 1\n  subject: {namespaces: {}}\n  egress: [{action: Deny, to: [{domainNames: [example.com]}]}]",
      "f:7: spec.egress[0].to[0].domainNames: is for Allow rules only"
    ),
    (
      "  priority: 1\n  subject: {namespaces: {}}\n"
        + "  ingress: [{action: Deny, from: [{namespaces: {}}], ports: [{portNumber: {port: 0443}}]}]",
      "f:7: spec.ingress[0].ports[0].portNumber.port: 0443 is not a decimal number"
    ),
    (
      "  priority: 1\n  subject: {namespaces: {}}\n  ingress: [{action: Deny, from: [{tenants: {}}]}]",
      "f:7: spec.ingress[0].from[0].tenants: there is no such field"
    ),
  ]

  @Test("what cannot be said is named by line and field, and nothing is printed", arguments: refused)
  func refusals(_ spec: String, _ expected: String) {
    let made = Self.convert(Self.admin(spec))
    #expect(made.documents.isEmpty)
    #expect(made.problems.contains { $0.description.hasPrefix(expected) }, "\(made.problems)")
  }

  @Test("items of lists are converted too, and other kinds are counted")
  func lists() {
    let item = Self.admin("  priority: 1\n  subject: {namespaces: {}}").split(separator: "\n").enumerated()
      .map { ($0 == 0 ? "- " : "  ") + $1 }.joined(separator: "\n")
    let made = Self.convert("apiVersion: v1\nkind: List\nitems:\n\(item)\n- {apiVersion: v1, kind: Service}\n")
    #expect(made.documents.count == 1 && made.others == 1, "\(made.problems)")
  }
}
