// The end of a workload is no change of policy: what its sockets still hold arrives, on both datapaths, at both ends.
import FoundationEssentials
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite(
  "Ended workloads", .serialized,
  .requires(
    .root, .cgroups, .bpf, .pins, .networkNamespaces, .product, .socketDestruction,
    .program("iptables-nft", package: "iptables")))
struct EndedWorkloadTests {
  private static let datapaths = [["--datapath", "cgroup"], ["--datapath", "netfilter", "--spare-own-namespace"]]

  private static func policy(allowing: Bool = true) -> String {
    AgentBench.defaults
      + Policed.allowing("app=web", to: "app=api", "tcp/9000, udp/9001")
      .replacing("action: allow", with: allowing ? "action: allow" : "action: reject")
      + AgentBench.workload("web", "app: web", match: "cgroups: [\"/*/enforced/web*\"]")
      + AgentBench.workload("api", "app: api", match: "cgroups: [\"/*/enforced/api*\"]")
      + AgentBench.workload("idle", "app: idle", match: "cgroups: [\"/*/enforced/idle\"]")
  }

  /// A labelled process that makes sockets for the test; they live on here when it ends.
  private final class Maker {
    let cgroup: CgroupDirectory
    let process: ErrandProcess

    init(_ bench: AgentBench, _ name: String) throws {
      cgroup = try bench.sandbox.makeCgroup("enforced/\(name)")
      try bench.workloads("\(name) is a workload") { [cgroup] in $0.contains { $0.cgroup == cgroup.id.rawValue } }
      process = try ErrandProcess.start(in: cgroup)
      try process.enter(bench.network)
    }

    func socket(_ type: __socket_type = SOCK_STREAM) throws -> (handle: ErrandProcess.Handle, socket: TestSocket) {
      let made = try process.socket(family: AF_INET, type: Int32(type.rawValue), protocol: 0)
      return (made.handle, TestSocket(adopting: made.raw))
    }

    /// A connection to port 9000 with as much on the way as the kernel takes, and no end of the client's left.
    func abandon(_ count: Int = 20) throws -> Int {
      let (handle, socket) = try socket()
      try? process.connect(handle, socketAddress(.ipv4, "127.0.0.1", 9000))
      try socket.finishConnect()
      var sent = 0
      for _ in 0..<count { sent += (try? socket.send(String(repeating: "d", count: 10_000))) ?? 0 }
      try process.close(handle)
      return sent
    }

    /// Ends the process, and the cgroup with it; returns when the agent has noticed.
    func end(_ bench: AgentBench) throws {
      process.stop()
      try cgroup.remove()
      try bench.workloads("\(cgroup.path) has ended") { [cgroup] in !$0.contains { $0.cgroup == cgroup.id.rawValue } }
    }
  }

  /// Everything up to the end of a connection.
  private static func drain(_ socket: TestSocket) throws -> Int {
    var count = 0
    while true {
      let bytes = try socket.receiveBytes()
      guard !bytes.isEmpty else { return count }
      count += bytes.count
    }
  }

  private static func refusals(_ bench: AgentBench) throws -> [String] {
    try readKernelFile(FilePath("\(bench.state)/flows.jsonl")).split(separator: "\n").map(String.init).filter {
      $0.contains("\"event\":\"refused\"")
    }
  }

  private func run(_ options: [String], _ body: (AgentBench) throws -> Void) throws {
    try withAgent { _ in
      Self.policy()
    } options: { _ in
      ["--sources", ""] + options
    } body: { bench in
      // By it the netfilter datapath finds the namespace.
      let idle = try bench.sandbox.makeCgroup("enforced/idle")
      let living = try bench.sandbox.start(["sleep", "600"], cgroup: idle, namespace: bench.network)
      defer { try? living.handle.send(signal: SIGKILL) }
      try bench.workloads("idle is a workload") { $0.count == 1 }
      try body(bench)
    }
  }

  @Test(
    "what a client wrote before its end arrives whole: accepted, waiting to be accepted, and to a server that ended")
  func unread() throws {
    for options in Self.datapaths {
      try run(options) { bench in
        let api = try Maker(bench, "api")
        var listener: TestSocket? = try api.socket().socket
        try listener?.bind("127.0.0.1", 9000)
        try listener?.startListening()
        let web = try Maker(bench, "web-1")
        var sent = [try web.abandon()]
        var accepted = try listener?.accept()
        sent.append(try web.abandon())
        try web.end(bench)
        #expect(try bench.status().ended == 1)
        // A change of other labels is one more reason to look at everything.
        let other = try Maker(bench, "web-2")
        try bench.ask("label", other.cgroup.path.string, "tier=two")
        #expect(try Self.drain(#require(accepted)) == sent[0])
        // The server ends too, with a connection that nobody has accepted yet and one that it reads from.
        sent.append(try other.abandon())
        accepted = try listener?.accept()
        try api.end(bench)
        try other.end(bench)
        #expect(try Self.drain(#require(accepted)) == sent[1])
        #expect(try Self.drain(#require(listener).accept()) == sent[2])
        #expect(try Self.refusals(bench) == [])
        #expect(try bench.status().revoked == 0)
        accepted = nil
        listener = nil
        try eventually("nothing refers to them any more") {
          try bench.status().ended == 0
        }
        #expect(try bench.status().failures == 0)
      }
    }
  }

  @Test("sockets that were passed on speak for the ended workload, also after a restart, until rules or sockets change")
  func passed() throws {
    for options in Self.datapaths {
      try run(options) { bench in
        let api = try Maker(bench, "api")
        let listener = try api.socket().socket
        try listener.bind("127.0.0.1", 9000)
        try listener.startListening()
        let receiver = try api.socket(SOCK_DGRAM).socket
        try receiver.bind("127.0.0.1", 9001)
        let web = try Maker(bench, "web-1")
        let sender = try web.socket(SOCK_DGRAM).socket
        // Who uses a socket must be allowed to as well.
        let holder = try Maker(bench, "web-3")
        let held = try holder.process.take(sender.descriptor)
        func send(_ text: String) throws {
          try holder.process.send(held, Array(text.utf8), to: socketAddress(.ipv4, "127.0.0.1", 9001))
        }
        try send("one")
        #expect(try receiver.receive() == "one")
        try web.end(bench)
        try send("two")
        #expect(try receiver.receive() == "two")
        let second = try Maker(bench, "web-2")
        let (handle, stream) = try second.socket()
        try? second.process.connect(handle, socketAddress(.ipv4, "127.0.0.1", 9000))
        try stream.finishConnect()
        let accepted = try listener.accept()
        _ = try stream.send("before")
        // Nobody is there to hear of these ends.
        try bench.ask("status")
        try restart(bench, ["--sources", ""] + options) {
          second.process.stop()
          try second.cgroup.remove()
          api.process.stop()
          try api.cgroup.remove()
        }
        #expect(try bench.status().ended == 3)
        #expect(try accepted.receive() == "before")
        _ = try stream.send("after")
        #expect(try accepted.receive() == "after")
        try send("three")
        #expect(try receiver.receive() == "three")
        #expect(try bench.status().revoked == 0)
        #expect(try Self.refusals(bench) == [])
        // Rules are another matter.
        try bench.apply(Self.policy(allowing: false))
        // The reset of one end may end the other before its turn.
        #expect((1...2).contains(try bench.status().revoked))
        #expect(throws: Errno.self) { try accepted.receive() }
        try? send("four")
        #expect((try? receiver.receive(within: 300)) == nil)
        let refusals = try Self.refusals(bench)
        #expect(
          !refusals.isEmpty && refusals.allSatisfy { $0.contains("\"app\":\"web\"") && $0.contains("\"app\":\"api\"") })
      }
    }
  }

  /// Stops the agent, does something, and starts it again.
  private func restart(_ bench: AgentBench, _ options: [String], _ meanwhile: () throws -> Void) throws {
    let pid = try #require(try bench.status().agentPid)
    try #require(kill(pid, SIGTERM) == 0)
    try eventually("the agent has stopped") {
      kill(pid, 0) != 0 || (try? readKernelFile(FilePath("/proc/\(pid)/stat")).contains(") Z ")) == true
    }
    try meanwhile()
    _ = try bench.startAgent(Self.policy(), options)
  }
}
