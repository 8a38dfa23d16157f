// `sallyport workloads` and `workloads explain`: what is in force, and who said so; also when a source does not answer.
import Enforcement
import FoundationEssentials
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing
import Workloads

@Suite("Agent lists", .requires(.root, .cgroups, .bpf, .pins, .networkNamespaces, .product, .program("busybox")))
struct AgentListTests {
  @Test("Workloads are listed with since when, processes and ports, and explained by process and by path")
  func explained() throws {
    let policy =
      AgentBench.defaults + AgentBench.workload("web", "app: web, tier: one", match: "cgroups: [\"/*/enforced/web\"]")
      + AgentBench.workload("late", "app: other", match: "cgroups: [\"/*/enforced/web\"]")
    let began = Clock.wallNanoseconds()
    try withAgent { _ in
      policy
    } body: { bench in
      let web = try bench.sandbox.makeCgroup("enforced/web")
      let inner = try bench.sandbox.makeCgroup("enforced/web/inner")
      let child = try bench.sandbox.start(
        ["/bin/busybox", "nc", "-ll", "-p", "9000", "-e", "/bin/busybox", "true"], cgroup: inner,
        namespace: bench.network)
      let pid = child.handle.id.rawValue
      let listed = try bench.workloads("it listens") { $0.first?.listens == ["tcp/9000"] }
      #expect(listed.count == 1)
      #expect(listed.first?.processes == [pid])
      #expect((listed.first?.since ?? 0) >= began)
      let table = try bench.ask("workloads").output
      #expect(table.contains("tcp/9000") && table.contains("rule "), "\(table)")
      #expect(table.split(separator: "\n").count == 2, "\(table)")

      try bench.ask("label", web.path.string, "tier=tagged")
      func explain(_ subject: String) throws -> WorkloadExplanation {
        let said = try bench.ask("workloads", "explain", subject, "--output", "json").output
        return try JSONDecoder().decode(WorkloadExplanation.self, from: Data(said.utf8))
      }
      for subject in [String(pid), inner.path.string] {
        let explanation = try explain(subject)
        #expect(explanation.cgroup == inner.path.string)
        #expect(explanation.workload?.path == web.path.string)
        #expect(explanation.process == (subject == String(pid) ? pid : nil))
        let origins = explanation.steps.first { $0.path == web.path.string }?.origins ?? []
        #expect(origins.contains { $0.label == "tier=tagged" && $0.source == "tag" && $0.overriddenBy == nil })
        #expect(origins.contains { $0.label == "tier=one" && $0.source == "rule web" && $0.overriddenBy == "tag" })
      }
      let text = try bench.ask("workloads", "explain", String(pid)).output
      #expect(text.contains("tier=one  from rule web, overridden by tag"), "\(text)")
      let stranger = try bench.run(["workloads", "explain", "/nowhere", "--state", bench.state])
      #expect(stranger.status != 0 && stranger.text.hasPrefix("sallyport: "))
    }
  }

  @Test(
    "An engine that hangs or answers garbage delays nobody's labels, and status names it",
    arguments: ["hang", "garbage"])
  func faultyEngine(fault: String) throws {
    let policy =
      AgentBench.defaults + AgentBench.workload("web", "app: web", match: "cgroups: [\"/*/enforced/web*\"]")
      + AgentBench.workload("pool", "app: pool", match: "cgroups: [\"/*/enforced\"]")
    let socket = "/tmp/sp-engine-\(getpid())-\(fault)"
    let engine = try FaultyEngine(at: socket) { _ in
      fault == "hang" ? .hang : .answer("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{garbage")
    }
    defer { engine.stop() }
    try withAgent { _ in
      policy
    } options: { bench in
      [
        "--sources", "docker", "--place", "docker-socket=\(socket)", "--place",
        "docker-root=\(bench.directory)/nothing",
      ]
    } body: { bench in
      func id(_ digit: Int) -> String { String(repeating: "0123456789abcde\(digit)", count: 4) }
      let first = try bench.sandbox.makeCgroup("enforced/docker/\(id(1))")
      try eventually("the engine is asked: \(bench.log)") { engine.requests.contains { $0.contains(id(1)) } }
      // Others are labelled while it is being asked.
      for index in 1...5 { _ = try bench.sandbox.makeCgroup("enforced/web-\(index)") }
      try bench.workloads("others have their labels") { $0.count { $0.labels == ["app": "web"] } == 5 }
      // Gone between the event and the answer.
      try first.remove()
      _ = try bench.sandbox.makeCgroup("enforced/docker/\(id(2))")
      try eventually("status names the engine: \(bench.log)") {
        try bench.status().sources.contains { $0.name == "docker" && $0.fault != nil && $0.failed > 0 }
      }
      let text = try bench.ask("status").output
      #expect(text.contains("source docker"), "\(text)")
      // What nobody knows is what it is in.
      #expect(try bench.workloads().contains { bench.short($0.path).hasPrefix("/docker") } == false)
      #expect(try bench.status().failures == 0, "\(bench.log)")
    }
  }
}
