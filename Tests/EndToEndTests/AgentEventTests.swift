// Does the agent see what happens to cgroups by itself, and enforce it?
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite(
  "Agent events", .requires(.root, .cgroups, .bpf, .pins, .networkNamespaces, .product, .program("busybox")))
struct AgentEventTests {
  private static let policy =
    AgentBench.defaults + AgentBench.workload("web", "app: web", match: "cgroups: [\"/*/enforced/web*\"]")

  @Test(
    "A cgroup is enforced soon after it was made, without anybody asking, and forgotten once it is gone",
    arguments: [false, true])
  func follows(inotify: Bool) throws {
    let options = ["--sources", ""] + (inotify ? ["--inotify"] : [])
    try withAgent { _ in
      Self.policy
    } options: { _ in
      options
    } body: { bench in
      #expect(try bench.workloads().isEmpty)
      let server = try bench.network.run { try TestSocket.listening("127.0.0.1", 9000) }
      for round in 1...3 {
        let web = try bench.sandbox.makeCgroup("enforced/web-\(round)")
        let other = try bench.sandbox.makeCgroup("enforced/other-\(round)")
        let listed = try bench.workloads("web-\(round) is a workload") { $0.contains { $0.cgroup == web.id.rawValue } }
        #expect(listed.map { bench.short($0.path) } == ["/web-\(round)"])
        #expect(listed.first?.labels == ["app": "web"])
        #expect(listed.first?.source == "rule web")
        #expect(try bench.connects(in: web) == false)
        #expect(try bench.connects(in: other))
        _ = try server.accept()
        try web.remove()
        try other.remove()
        try bench.workloads("web-\(round) is gone") { $0.isEmpty }
        try eventually("the kernel knows no workload") { try bench.status().workloads == 0 }
      }
      let status = try bench.status()
      #expect(status.events == (inotify ? "inotify: asked for" : "kernel tracepoints"))
      #expect(status.failures == 0)
      #expect(status.warnings.isEmpty)
      let text = try bench.ask("status").output
      #expect(text.contains(inotify ? "inotify: asked for" : "kernel tracepoints"), "\(text)")
    }
  }

  @Test("[8] The first connection of a child without labels is refused by policy, and allowed once it has labels")
  func unlabelledChild() throws {
    let policy =
      AgentBench.defaults + AgentBench.free("app")
      + AgentBench.workload(
        "pool", "app: pool", match: "cgroups: [\"/*/enforced/pool\"]", "children: reject-until-labelled")
    try withAgent { _ in
      policy
    } body: { bench in
      let pool = try bench.sandbox.makeCgroup("enforced/pool")
      try bench.workloads("the pool is a workload") { $0.count == 1 }
      let server = try bench.network.run { try TestSocket.listening("127.0.0.1", 9000) }
      #expect(try bench.connects(in: pool))
      _ = try server.accept()
      for round in 1...3 {
        let child = try bench.sandbox.makeCgroup("enforced/pool/child-\(round)")
        // From its first instant: nothing is waited for.
        #expect(try bench.connects(in: child) == false)
        #expect(!server.isReadable)
        try bench.ask("label", child.path.string, "app=child")
        #expect(try bench.connects(in: child))
        _ = try server.accept()
      }
      #expect(try bench.connects(in: pool))
      #expect(try bench.status().failures == 0)
    }
  }
}

extension AgentBench {
  /// Whether a program of a cgroup can connect to port 9000 of the test's network; nobody need accept it.
  func connects(in cgroup: CgroupDirectory) throws -> Bool {
    let child = try sandbox.start(
      ["sh", "-c", "exec \"$0\" probe 127.0.0.1 9000 > /dev/null 2>&1", Product.sallyport], cgroup: cgroup,
      namespace: network)
    return try child.wait() == 0
  }
}
