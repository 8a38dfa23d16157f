// Names of ports: told by manifests alone, and never a way around isolation.

import Policy
import Testing

@Suite struct KubernetesPortTests {
  private static func pod(_ name: String, _ ports: String) -> String {
    """
    ---
    apiVersion: v1
    kind: Pod
    metadata: {name: \(name), namespace: shop, labels: {app: \(name)}}
    spec: {containers: [{ports: [\(ports)]}]}

    """
  }

  private static func policy(_ rules: String) -> String {
    """
    ---
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: p, namespace: shop}
    spec: {podSelector: {}, ingress: \(rules)}

    """
  }

  private static let named = policy("[{ports: [{port: http}, {protocol: UDP, port: dns}]}, {ports: [{port: 22}]}]")

  @Test(
    "a pod whose ports are in no manifest is isolated, by rules and by tables",
    arguments: [
      ("", "22"), ("k8s.port.tcp/http=80,k8s.port.udp/dns=53", "22 80"), ("k8s.port.tcp/http=8080", "22 8080"),
      // Known apart, not together; and known nowhere.
      ("k8s.port.tcp/http=8080,k8s.port.udp/dns=53", ""), ("k8s.port.tcp/http=9999", "22"),
      ("k8s.port.tcp/http=80,k8s.port.udp/dns=9999", ""),
    ])
  func isolation(ports: String, open: String) throws {
    let both = "{name: http, containerPort: 80}, {name: dns, containerPort: 53, protocol: UDP}"
    let parsed = try parse(
      Self.pod("a", both) + Self.pod("b", "{name: http, containerPort: 8080}") + Self.named)
    #expect(parsed.warnings.isEmpty)
    let labels = try LabelSet(parsing: "k8s.namespace=shop,k8s.label/app=c" + (ports.isEmpty ? "" : ",\(ports)"))
    let number = IdentityNumber.firstAllotted
    let tables = try Compiler.compile(policy: parsed.policy, identities: [number: labels]).tables
    var (byRules, byTables): ([String], [String]) = ([], [])
    for port in [22, 53, 80, 8080, 9999] as [UInt16] {
      let flow = Flow(direction: .incoming, subject: .workload(labels), peer: .world, protocol: .tcp, port: port)
      if parsed.policy.verdict(for: flow).action == .allow { byRules.append("\(port)") }
      let verdict = tables.verdict(.incoming, subject: number, peer: .world, protocol: .tcp, port: port)
      if verdict.action == .allow { byTables.append("\(port)") }
    }
    #expect(byRules.joined(separator: " ") == open && byTables == byRules)
  }

  @Test("a cluster policy without the port that it denies by name denies what else it says")
  func clusterPolicy() throws {
    let policy = try parse(
      Self.pod("a", "{name: http, containerPort: 80}") + """
        ---
        apiVersion: policy.networking.k8s.io/v1alpha2
        kind: ClusterNetworkPolicy
        metadata: {name: p}
        spec:
          {tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}],
           protocols: [{destinationNamedPort: http}, {tcp: {destinationPort: {number: 22}}}]}]}
        """
    ).policy
    let subject = try LabelSet(parsing: "k8s.namespace=shop,k8s.port.tcp/http=9999")
    let peer = try LabelSet(parsing: "k8s.namespace=shop")
    for (port, action) in [(22, Action.reject), (80, .allow)] as [(UInt16, Action)] {
      let flow = Flow(
        direction: .incoming, subject: .workload(subject), peer: .workload(peer), protocol: .tcp, port: port)
      #expect(policy.verdict(for: flow).action == action)
    }
  }

  @Test("a port's name that no manifest tells is a warning with its place")
  func warning() throws {
    let parsed = try parse(Self.pod("a", "{name: dns, containerPort: 53}") + Self.named)
    #expect(
      parsed.warnings.map(\.description) == [
        "f:10: ingress[0] names the port http/tcp, and no Pod manifest has one of that name: it matches nothing; "
          + "add the manifests of the pods, or give the port's number",
        "f:10: ingress[0] names the port dns/udp, and no Pod manifest has one of that name: it matches nothing; "
          + "add the manifests of the pods, or give the port's number",
      ])
  }
}
