// Does the agent enforce a directory of Kubernetes documents on real sockets, follow its changes, and keep what was in
// force when a document is bad?
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite(
  "Kubernetes, by the agent", .serialized,
  .requires(.root, .cgroups, .bpf, .pins, .networkNamespaces, .product, .program("busybox")))
struct KubernetesAgentTests {
  private static let namespace = """
    apiVersion: v1
    kind: Namespace
    metadata: {name: shop, labels: {team: shop}}

    """

  /// A pod that is a cgroup of this host.
  private static func pod(_ name: String, _ ports: String = "[]") -> String {
    """
    ---
    apiVersion: v1
    kind: Pod
    metadata:
      {name: \(name)-0, namespace: shop, labels: {app: \(name)}, annotations: {sallyport/cgroup: "/*/enforced/\(name)"}}
    spec: {containers: [{name: main, ports: \(ports)}]}

    """
  }

  private static let networkPolicy = """
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: db, namespace: shop}
    spec:
      podSelector: {matchLabels: {app: db}}
      ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: pg}]}]
    """

  /// Turns around what the NetworkPolicy says: the job may talk to the other port, and web to none.
  private static func clusterPolicy(priority: Int) -> String {
    """
    apiVersion: policy.networking.k8s.io/v1alpha2
    kind: ClusterNetworkPolicy
    metadata: {name: guard}
    spec:
      tier: Admin
      priority: \(priority)
      subject: {pods: {namespaceSelector: {matchLabels: {team: shop}}, podSelector: {matchLabels: {app: db}}}}
      ingress:
        - {action: Accept, from: [{pods: {podSelector: {matchLabels: {app: job}}}}],
           protocols: [{tcp: {destinationPort: {number: 9001}}}]}
        - {action: Deny, from: [{pods: {podSelector: {matchLabels: {app: web}}}}]}
    """
  }

  /// Who reached what: `web:9000 job:9001`.
  private static func reached(_ bench: AgentBench, _ clients: [(name: String, cgroup: CgroupDirectory)]) throws
    -> String
  {
    var out: [String] = []
    for (name, cgroup) in clients {
      for port in ["9000", "9001"] {
        let child = try bench.sandbox.start(
          [
            "sh", "-c", "exec \"$0\" probe --timeout 500 127.0.0.1 \(port) > /dev/null 2>&1", Product.sallyport,
          ], cgroup: cgroup, namespace: bench.network)
        if try child.wait() == 0 { out.append("\(name):\(port)") }
      }
    }
    return out.joined(separator: " ")
  }

  @Test("documents of a directory are enforced, changed on reload, and a bad one leaves the state before in force")
  func directory() throws {
    try withSandbox { sandbox in
      let bench = try AgentBench(sandbox)
      defer { try? bench.removePins() }
      let policy = "\(bench.directory)/policy"
      try makeDirectory(policy)
      let pods = Self.pod("web") + Self.pod("job") + Self.pod("db", "[{name: pg, containerPort: 9000}]")
      try bench.write("policy/cluster.yaml", Self.namespace + pods)
      try bench.write("policy/db.yaml", Self.networkPolicy)
      let agent = try bench.startAgent(readingFrom: policy)

      let (web, job) = (try sandbox.makeCgroup("enforced/web"), try sandbox.makeCgroup("enforced/job"))
      let db = try sandbox.makeCgroup("enforced/db")
      let clients = [(name: "web", cgroup: web), (name: "job", cgroup: job)]
      for port in ["9000", "9001"] {
        _ = try sandbox.start(
          ["/bin/busybox", "nc", "-ll", "-p", port, "-e", "/bin/busybox", "cat"], cgroup: db,
          namespace: bench.network)
      }
      let listed = try bench.workloads("three pods, and the database listens") { all in
        all.count == 3 && all.contains { $0.listens.sorted() == ["tcp/9000", "tcp/9001"] }
      }
      #expect(
        listed.first { bench.short($0.path) == "/db" }?.labels
          == ["k8s.namespace": "shop", "k8s.label/app": "db", "k8s.port.tcp/pg": "9000"])
      #expect(listed.first { bench.short($0.path) == "/web" }?.source == "rule Pod/shop/web-0")
      #expect(try Self.reached(bench, clients) == "web:9000")

      // A connection that lives while the documents change.
      let stream = try Stream()
      let child = try sandbox.start(
        ["/bin/busybox", "nc", "127.0.0.1", "9000"], cgroup: web, namespace: bench.network, input: stream.other.raw,
        output: stream.other.raw)
      let said = stream.handOver()
      said.write("first\n")
      #expect(said.read() == "first\n")

      try bench.write("policy/guard.yaml", Self.clusterPolicy(priority: 7))
      try eventually("the new policy holds: \(bench.log)") { try Self.reached(bench, clients) == "job:9001" }
      #expect(said.readAll() == "", "what is no longer allowed ends")
      _ = try child.wait()

      try bench.write("policy/guard.yaml", Self.clusterPolicy(priority: 1001))
      let fault = "guard.yaml:6: spec.priority: must be a whole number from 0 to 1000"
      try eventually("the fault is named: \(bench.log)") { try bench.ask("status").output.contains(fault) }
      #expect(bench.log.contains(fault))
      #expect(try Self.reached(bench, clients) == "job:9001", "what was in force stays")
      let check = try bench.run(["policy", "check", policy])
      #expect(check.status != 0 && check.text.contains(fault), "\(check.text)")

      try sandbox.command(["rm", "\(policy)/guard.yaml"])
      try eventually("the NetworkPolicy alone holds again: \(bench.log)") {
        try Self.reached(bench, clients) == "web:9000"
      }
      #expect(try !bench.ask("status").output.contains("policy error"))
      try bench.ask("detach")
      #expect(try agent.wait() == 0, "\(bench.log)")
    }
  }
}
