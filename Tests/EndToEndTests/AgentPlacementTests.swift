// Do programs that policy wants elsewhere get there before they can do anything, and back again?
import Glibc
import Kernel
import Policy
import SystemPackage
import TestSupport
import Testing

/// How often a first connection is tried; more by the environment, such as 10000.
private let rounds = unsafe getenv("SALLYPORT_EXEC_ROUNDS").flatMap { Int(unsafe String(cString: $0)) } ?? 60

@Suite(
  "Agent placement",
  .requires(.root, .cgroups, .bpf, .pins, .networkNamespaces, .product, .program("busybox"), .executionGuard))
struct AgentPlacementTests {
  private static let parent = AgentBench.workload(
    "parent", "app: parent", match: "cgroups: [\"/*/enforced/parent\"]")

  private static func client(_ program: String, _ labels: String = "app: client", _ more: String = "mode: enforce")
    -> String
  {
    AgentBench.workload(
      "client", labels, match: "executables: [\"\(program)\"]", "placement: own-cgroup", more)
  }

  @Test(
    "[5] What connects as its first act after exec does it as who it is then, every time, and not as its parent",
    arguments: ["parent", "client"])
  func firstAct(free: String) throws {
    try withAgent { bench in
      AgentBench.defaults + AgentBench.free("app=\(free)") + Self.parent + Self.client(try bench.program("client"))
    } body: { bench in
      let parent = try bench.sandbox.makeCgroup("enforced/parent")
      try bench.workloads("the parent is a workload") { $0.count == 1 }
      let server = try bench.network.run { try TestSocket.listening("127.0.0.1", 9000) }
      let counting = try Background { progress in
        var accepted = 0
        while true {
          if let connection = try? server.accept(within: 50) {
            accepted += 1
            _ = consume connection
          } else if !progress.next() {
            return accepted
          }
        }
      }
      // The parent itself is another matter: so the difference is made by the exec alone.
      #expect(try bench.connects(in: parent) == (free == "parent"))
      let script = """
        i=0; made=0
        while [ $i -lt \(rounds) ]; do
          "$0" nc -w 20 127.0.0.1 9000 < /dev/null > /dev/null 2>&1 && made=$((made+1))
          i=$((i+1))
        done
        echo $made
        """
      let said = try Stream()
      let child = try bench.sandbox.start(
        ["/bin/busybox", "sh", "-c", script, "\(bench.directory)/busybox-client"], cgroup: parent,
        namespace: bench.network, output: said.other.raw)
      let made = said.handOver().readAll()
      #expect(try child.wait() == 0)
      let accepted = try counting.finish()
      let status = try bench.status()
      // The guard says how many it had to let go after its limit, on a machine that is overloaded: none else is wrong.
      let expired = status.letGo
      let succeeded = try #require(Int(made.dropLast()))
      let wrong = free == "client" ? rounds - succeeded : succeeded
      #expect(wrong <= expired, "\(status) \(bench.log)")
      #expect(accepted == (free == "client" ? succeeded : succeeded + 1), "\(status)")
      if expired > 0 { print("first act: \(wrong) of \(expired) let go too early were judged as their parent") }
      #expect(status.executions?.hasPrefix("1 executables guarded") == true, "\(status)")
      #expect(status.failures == 0, "\(bench.log)")
      // What was made for them goes with them.
      try eventually("cgroups of programs that ended are removed") { try parent.childNames().isEmpty }
      try bench.workloads("only the parent is left") { $0.map { bench.short($0.path) } == ["/parent"] }
    }
  }

  @Test("Rules that change give processes in their cgroups the new labels; rules that go let them go back")
  func revised() throws {
    try withAgent { bench in
      AgentBench.defaults + Self.parent + Self.client(try bench.program("client"))
    } body: { bench in
      let program = "\(bench.directory)/busybox-client"
      let parent = try bench.sandbox.makeCgroup("enforced/parent")
      let child = try bench.sandbox.start([program, "sleep", "600"], cgroup: parent, namespace: bench.network)
      let place = "/parent/sallyport-client-\(child.handle.id)"
      func labels() throws -> [String: String]? {
        try bench.workloads().first { bench.short($0.path) == place }?.labels
      }
      try eventually("it has a cgroup of its own: \(bench.log)") { try labels() == ["app": "client"] }
      #expect(bench.short(try CgroupHierarchy.membership(of: child.handle.id).path.string) == place)

      try bench.apply(AgentBench.defaults + Self.parent + Self.client(program, "app: client, tier: two"))
      #expect(try labels() == ["app": "client", "tier": "two"])
      #expect(bench.short(try CgroupHierarchy.membership(of: child.handle.id).path.string) == place)

      try bench.apply(AgentBench.defaults + Self.parent)
      #expect(bench.short(try CgroupHierarchy.membership(of: child.handle.id).path.string) == "/parent")
      try eventually("its cgroup is removed: \(bench.log)") { try parent.childNames().isEmpty }
      try bench.workloads("only the parent is a workload") { $0.map { bench.short($0.path) } == ["/parent"] }

      // It runs already when the rule comes back.
      try bench.apply(AgentBench.defaults + Self.parent + Self.client(program))
      #expect(bench.short(try CgroupHierarchy.membership(of: child.handle.id).path.string) == place)
      #expect(try labels() == ["app": "client"])
      #expect(try bench.status().failures == 0, "\(bench.log)")
    }
  }

  @Test(
    "Sockets that a process has when a rule comes to place it are kept, cut, or speak for who it is then",
    arguments: [
      ("keep", "parent", true), ("cut", "any", false), ("retag", "parent", false), ("retag", "any", true),
    ])
  func openSockets(treatment: String, free: String, lives: Bool) throws {
    try withAgent { bench in
      _ = try bench.program("client")
      return AgentBench.defaults + Self.parent + AgentBench.free(free == "any" ? "app" : "app=\(free)")
    } body: { bench in
      let program = "\(bench.directory)/busybox-client"
      let parent = try bench.sandbox.makeCgroup("enforced/parent")
      try bench.workloads("the parent is a workload") { $0.count == 1 }
      let server = try bench.network.run { try TestSocket.listening("127.0.0.1", 9000) }
      let stream = try Stream()
      let child = try bench.sandbox.start(
        [program, "nc", "127.0.0.1", "9000"], cgroup: parent, namespace: bench.network, input: stream.other.raw,
        output: stream.other.raw)
      let said = stream.handOver()
      let connection = try server.accept()
      try connection.send("first")
      #expect(said.read() == "first")

      let rules = AgentBench.defaults + Self.parent + AgentBench.free(free == "any" ? "app" : "app=\(free)")
      try bench.apply(rules + Self.client(program, "app: client", "openSockets: \(treatment)"))
      #expect(
        bench.short(try CgroupHierarchy.membership(of: child.handle.id).path.string)
          == "/parent/sallyport-client-\(child.handle.id)")
      let status = try bench.status()
      #expect(status.staleSockets == (treatment == "keep" ? 1 : 0))
      #expect(status.failures == 0, "\(bench.log)")
      if lives {
        try connection.send("second")
        #expect(said.read() == "second")
        said.write("third")
        #expect(try connection.receive() == "third")
      } else {
        // The program is told that its connection is over, and ends.
        #expect(said.readAll() == "")
        _ = try child.wait()
      }
    }
  }

  @Test(
    "[1] Sockets that a program was born with are treated once it has begun, though its exec was held",
    arguments: ["keep", "cut"])
  func inheritedSockets(treatment: String) throws {
    try withAgent { bench in
      let program = try bench.program("client")
      return AgentBench.defaults + Self.parent + AgentBench.free("any")
        + Self.client(program, "app: client", "openSockets: \(treatment)")
    } body: { bench in
      let program = "\(bench.directory)/busybox-client"
      let parent = try bench.sandbox.makeCgroup("enforced/parent")
      try bench.workloads("the parent is a workload") { $0.count == 1 }
      let server = try bench.network.run { try TestSocket.listening("127.0.0.1", 9000) }
      let stream = try bench.network.run {
        let stream = try TestSocket.tcp()
        try stream.connect("127.0.0.1", 9000)
        return stream
      }
      let connection = try server.accept()
      let child = try bench.sandbox.start(
        [program, "sleep", "600"], cgroup: parent, namespace: bench.network, input: stream.raw)
      if treatment == "keep" {
        try eventually("the socket is counted") { try bench.status().staleSockets == 1 }
        try stream.send("still")
        #expect(try connection.receive() == "still")
      } else {
        try eventually("the connection is cut") { (try? stream.send("x")) == nil }
        #expect(try bench.status().staleSockets == 0)
      }
      #expect(try bench.status().failures == 0, "\(bench.log)")
      try child.handle.send(signal: SIGKILL)
      _ = try child.wait()
    }
  }

  @Test("Rules match the user, the group and the digest of what runs, and of nothing else")
  func traits() throws {
    try withAgent { bench in
      let program = try bench.program("digest")
      let digest = try bench.digest(of: program)
      let place = "cgroups: [\"/*/enforced/place\"]"
      return AgentBench.defaults
        + AgentBench.workload("user", "user: nobody", match: "users: [nobody], \(place)", "placement: own-cgroup")
        + AgentBench.workload("group", "group: daemon", match: "groups: [daemon], \(place)", "placement: own-cgroup")
        + AgentBench.workload("digest", "digest: known", match: "sha256: [\(digest)]", "placement: own-cgroup")
        + AgentBench.workload("together", "all: nobody", match: "users: [\"65534\"], cgroups: [\"/*/enforced/in\"]")
    } body: { bench in
      let place = try bench.sandbox.makeCgroup("enforced/place")
      let sleep = ["sleep", "600"]
      func run(as user: String, _ group: String) -> [String] {
        ["setpriv", "--reuid=\(user)", "--regid=\(group)", "--clear-groups", "--", "/bin/busybox"] + sleep
      }
      let user = try bench.sandbox.start(run(as: "nobody", "root"), cgroup: place)
      let group = try bench.sandbox.start(run(as: "root", "daemon"), cgroup: place)
      let digest = try bench.sandbox.start(["\(bench.directory)/busybox-digest"] + sleep, cgroup: place)
      let other = try bench.sandbox.start(["\(try bench.program("other"))"] + sleep, cgroup: place)
      let expected = [
        "/place/sallyport-digest-\(digest.handle.id)": ["digest": "known"],
        "/place/sallyport-group-\(group.handle.id)": ["group": "daemon"],
        "/place/sallyport-user-\(user.handle.id)": ["user": "nobody"],
      ]
      try bench.workloads("each is where its rule wants it") { listed in
        let found = listed.map { (bench.short($0.path), $0.labels) }
        return Dictionary(found, uniquingKeysWith: { first, _ in first }) == expected
      }
      #expect(bench.short(try CgroupHierarchy.membership(of: other.handle.id).path.string) == "/place")

      // In place: the cgroup is labelled while everybody in it is that user.
      let shared = try bench.sandbox.makeCgroup("enforced/in")
      func isLabelled(_ listed: [ListedWorkload]) -> Bool {
        listed.contains { bench.short($0.path) == "/in" && $0.labels == ["all": "nobody"] }
      }
      _ = try bench.sandbox.start(run(as: "nobody", "root"), cgroup: shared)
      try bench.workloads("all of it is nobody's") { isLabelled($0) }
      let stranger = try bench.sandbox.start(["/bin/busybox"] + sleep, cgroup: shared)
      try bench.workloads("one of it is not nobody's") { !isLabelled($0) }
      try stranger.handle.send(signal: SIGKILL)
      try bench.workloads("all of it is nobody's again") { isLabelled($0) }
      let status = try bench.status()
      #expect(status.failures == 0, "\(bench.log)")
    }
  }
}

extension ListedStatus {
  /// How many programs began before they were placed.
  fileprivate var letGo: Int {
    Int((executions ?? "").split(separator: ", ").last?.split(separator: " ").first ?? "") ?? 0
  }
}

extension AgentBench {
  /// The SHA-256 of a file as sha256sum(1) prints it.
  func digest(of path: String) throws -> String {
    let said = try Stream()
    let child = try sandbox.start(["sha256sum", path], cgroup: outside, output: said.other.raw)
    let text = said.handOver().readAll()
    #expect(try child.wait() == 0)
    return String(text.prefix(64))
  }
}
