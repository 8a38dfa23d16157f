// Does a workload that only a source can name keep what it is while that source says nothing to a new agent?
import Enforcement
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite(
  "Kept workloads", .serialized,
  .requires(.root, .cgroups, .bpf, .pins, .networkNamespaces, .product))
struct KeptWorkloadTests {
  private static let ids = (api: String(repeating: "a1", count: 32), evil: String(repeating: "e2", count: 32))

  private let policy =
    """
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: db}
    spec:
      subject: app=db
      incoming: [{action: allow, peers: [{selector: container.label/app=api}], ports: [tcp/6379, udp/5353]}]
    ---
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: clients}
    spec:
      subject: "container.label/app in (api,evil)"
      outgoing: [{action: allow, peers: [{selector: app=db}], ports: [tcp/6379, udp/5353]}]

    """ + AgentBench.workload("db", "app: db", match: "cgroups: [\"/*/enforced/db\"]")

  private static func inspected(_ request: String) -> EngineBehaviour {
    guard let (id, app) = [(ids.api, "api"), (ids.evil, "evil")].first(where: { request.contains($0.0) }) else {
      return .hang
    }
    let body = #"{"Id":"\#(id)","Name":"/\#(app)","Config":{"Image":"i:1","Labels":{"app":"\#(app)"}}}"#
    return .answer("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
  }

  enum Silence: CaseIterable { case hangs, gone }

  @Test("whose engine hangs or is gone at a start without a snapshot", arguments: Silence.allCases)
  func kept(_ silence: Silence) throws {
    try withSandbox { sandbox in
      let bench = try AgentBench(sandbox)
      defer { try? bench.removePins() }
      let db = try sandbox.makeCgroup("enforced/db")
      let api = try sandbox.makeCgroup("enforced/docker-\(Self.ids.api).scope")
      let evil = try sandbox.makeCgroup("enforced/docker-\(Self.ids.evil).scope")
      let socket = "\(bench.directory)/docker.sock"
      try makeDirectory("\(bench.directory)/root")
      let engine = try FaultyEngine(at: socket, Self.inspected)
      defer { engine.stop() }
      let options = [
        "--sources", "docker", "--place", "docker-socket=\(socket)", "--place", "docker-root=\(bench.directory)/root",
        "--datapath", "cgroup",
      ]
      let server = try ProberServer(in: db, bench.network)
      var agent = try bench.startAgent(policy, options)
      try bench.workloads("the engine names two") { $0.count { $0.labels["container.label/app"] != nil } == 2 }
      let probers = [
        try TightProber(in: api, bench.network, isAllowed: true),
        try TightProber(in: evil, bench.network, isAllowed: false),
      ]
      for _ in 0..<2 {
        if silence == .hangs { engine.behave { _ in .hang } } else { engine.stop() }
        try agent.handle.send(signal: SIGKILL)
        _ = try agent.wait()
        try removeFile("\(bench.state)/snapshot.json")
        agent = try bench.startAgent(policy, options)
        let names = try bench.workloads().compactMap { $0.labels["container.label/app"] }.sorted()
        #expect(names == ["api", "evil"], "\(bench.log)")
      }
      let seen = try probers.map { try $0.finish() }
      try server.stop()
      #expect(seen[0].wrong.isEmpty && seen[1].wrong.isEmpty, "\(seen.map { $0.wrong.prefix(5) }) \(bench.log)")
      #expect(seen.allSatisfy { $0.verdicts > 50 })
      if silence == .hangs {
        // It answers otherwise: that is in force then.
        engine.behave { Self.inspected($0.replacing(Self.ids.evil, with: "")) }
        engine.hangUp()
      }
      try bench.ask("detach")
      #expect(try agent.wait() == 0)
    }
  }
}
