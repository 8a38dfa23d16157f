// Real containers under a real agent: right labels, the first packet policed, apart though they share a network namespace.
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

/// An agent that enforces on the cgroup of the engines' containers.
private final class EngineAgent {
  private let engines: ContainerEngines
  private let agent: ContainerDaemon
  private var state: String { "\(engines.directory)/state" }

  /// Every labelled container is refused everything but what these rules allow; what has no labels yet, everything.
  static let policy = """
    apiVersion: sallyport/v1
    kind: Defaults
    metadata: {name: d}
    spec: {incoming: reject, outgoing: reject, host: {incoming: allow, outgoing: allow}}
    ---
    apiVersion: sallyport/v1
    kind: Workload
    metadata: {name: pool}
    spec: {labels: {pool: containers}, match: {cgroups: ["/*/engines/*"]}, children: reject-until-labelled}
    ---
    apiVersion: sallyport/v1
    kind: Workload
    metadata: {name: client}
    spec: {labels: {role: client}, match: {labels: "LABEL=client"}}
    ---
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: client}
    spec:
      subject: role=client
      outgoing: [{action: allow, peers: [{selector: LABEL=server}], ports: [tcp/8000]}]
    ---
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: server}
    spec:
      subject: LABEL=server
      incoming: [{action: allow, peers: [{selector: role=client}], ports: [tcp/8000]}]
    """

  /// Starts the agent; `label` is the key under which the engine's labels `app` are known.
  init(_ engines: ContainerEngines, sources: String, places: [String], label: String) throws {
    self.engines = engines
    try makeDirectory("\(engines.directory)/policy")
    let policy = Self.policy.replacing("LABEL", with: label)
    try replaceFile(FilePath("\(engines.directory)/policy/p.yaml"), with: Array(policy.utf8))
    let cgroup = try #require(engines.parent.hierarchy.location(of: engines.parent.path))
    agent = try engines.daemon(
      [
        Product.sallyport, "run", "--cgroup", cgroup.string, "--policy", "\(engines.directory)/policy", "--state",
        "\(engines.directory)/state", "--no-coverage", "--sources", sources,
      ] + places.flatMap { ["--place", $0] }, socket: "\(engines.directory)/state/control.sock")
  }

  func command(_ words: String...) throws -> String {
    try engines.run([Product.sallyport] + words + ["--state", state])
  }

  /// Waits until the list of workloads satisfies a condition, and returns it.
  func workloads(_ what: String, until condition: (String) -> Bool) throws -> String {
    let end = Clock.monotonicNanoseconds() + 10_000_000_000
    while true {
      // As `key=value`, however JSON is laid out.
      let text = try command("workloads", "--output", "json").replacing("\" : \"", with: "=")
      if condition(text) { return text }
      try #require(Clock.monotonicNanoseconds() < end, "\(what): \(text)")
      usleep(50_000)
    }
  }

  func detach() throws { _ = try command("detach") }
}

@Suite(
  "Containers", .serialized,
  .requires(
    .root, .cgroups, .bpf, .pins, .networkNamespaces, .product, .program("busybox"), .program("runc")))
struct ContainerAgentTests {
  /// Serves a word to everybody who gets through.
  static let serve = ["nc", "-ll", "-p", "8000", "-e", "/bin/busybox", "echo", "reached"]
  /// Connects as its first act, and says what came of it.
  static let connect = ["sh", "-c", "nc -w 2 127.0.0.1 8000 < /dev/null 2> /dev/null || echo refused"]

  @Test(
    "Podman containers that share a network namespace are policed apart, from the first packet on",
    .requires(.program("podman")))
  func podman() async throws {
    try await withEngines { engines in
      let podman = try engines.podman()
      let service = try podman.serve()
      let agent = try EngineAgent(
        engines, sources: "podman", places: ["podman-socket=\(podman.socket)", "podman-root=\(podman.root)"],
        label: "container.label/app")
      // The namespace that all of them are in is the engines' own: for them it is the host's.
      let shared = ["--network", "host"]
      let server = try podman.start("server", options: shared + ["--label", "app=server"], command: Self.serve)
      let client = try podman.start("client", options: shared + ["--label", "app=client"])
      let listed = try agent.workloads("both are labelled") {
        $0.contains("container.label/app=server") && $0.contains("role=client")
      }
      #expect(listed.contains("container.runtime=podman") && listed.contains("container.name=server"))
      #expect(try podman.call(["exec", client] + Self.connect) == "reached")

      // The same address, the same namespace, another container: refused, also as its first act.
      for _ in 0..<3 {
        let said = try podman.call(
          ["run", "--rm", "--cgroup-parent", podman.parent.path.string] + shared
            + ["--label", "app=other", ContainerEngines.image] + Self.connect)
        #expect(said == "refused")
      }
      // A tenant that calls itself what the operator calls others does not become it.
      let forger = try podman.start("forger", options: shared + ["--label", "role=client"])
      #expect(try podman.call(["exec", forger] + Self.connect) == "refused")
      #expect(try podman.call(["exec", client] + Self.connect) == "reached")

      try podman("rm", "-f", "-t", "0", client)
      try podman("rm", "-f", "-t", "0", server)
      _ = try agent.workloads("both are gone") { !$0.contains(client) && !$0.contains(server) }
      try agent.detach()
      try service.stop()
    }
  }

  @Test(
    "Pods on the host's network, with one address between them, are policed apart",
    .requires(.program("containerd"), .program("ctr")))
  func pods() async throws {
    try await withEngines { engines in
      let containerd = try engines.containerd()
      let agent = try EngineAgent(
        engines, sources: "cri-containerd",
        places: ["containerd-socket=\(containerd.socket)", "containerd-state=\(containerd.state)"],
        label: "k8s.label/app")
      func pod(_ app: String, _ digit: Int, _ command: [String]) async throws -> (pod: Pod, container: String) {
        let pod = try await containerd.startPod(
          app, uid: "8a3f1c1e-0000-4000-8000-00000000000\(digit)", namespace: "shop", labels: ["app": app],
          hostNetwork: true)
        return (pod, try await containerd.startContainer("main", in: pod, command: command))
      }
      let wait = ["sleep", "600"]
      let server = try await pod("server", 1, Self.serve)
      let client = try await pod("client", 2, wait)
      let other = try await pod("other", 3, wait)
      let listed = try agent.workloads("all are labelled") { text in
        ["server", "client", "other"].allSatisfy { text.contains("k8s.label/app=\($0)") }
      }
      #expect(listed.contains("k8s.namespace=shop") && listed.contains("k8s.container=main"))
      #expect(try containerd.execute(Self.connect, in: client.container) == "reached")
      #expect(try containerd.execute(Self.connect, in: other.container) == "refused")
      for each in [server, client, other] { try await containerd.remove(each.pod) }
      _ = try agent.workloads("all are gone") { !$0.contains("k8s.label/app") }
      try agent.detach()
    }
  }
}
