// Does an agent on the netfilter datapath enforce, follow namespaces, mend its rules, and leave nothing behind?
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite(
  "An agent with iptables rules",
  .requires(
    .root, .cgroups, .bpf, .pins, .networkNamespaces, .product, .program("iptables-nft", package: "iptables")))
struct NetfilterAgentTests {
  private static let policy =
    AgentBench.defaults + AgentBench.free("app in (friend)")
    + AgentBench.workload("web", "app: web", match: "cgroups: [\"/*/enforced/web*\"]")
    + AgentBench.workload("friend", "app: friend", match: "cgroups: [\"/*/enforced/friend*\"]")

  /// Rules are never written in the namespace that the tests run in.
  private static let options = ["--sources", "", "--datapath", "netfilter", "--spare-own-namespace"]

  /// A process that lives in a cgroup and a namespace until it is ended: the agent finds the namespace by it.
  private static func inhabit(
    _ bench: AgentBench, _ cgroup: CgroupDirectory, _ namespace: NetworkNamespace
  ) throws -> ChildProcess {
    try bench.sandbox.start(["sleep", "600"], cgroup: cgroup, namespace: namespace)
  }

  private static func rules(_ bench: AgentBench, _ namespace: NetworkNamespace) throws -> String {
    var text = ""
    for name in ["iptables-nft-save", "ip6tables-nft-save"] {
      let path = try #require(Sandbox.find(name))
      text += try CapturedProcess.run(path, [], namespace: namespace).output
    }
    return text
  }

  @Test("it refuses and allows by policy, says what it stands on, and its end leaves no rule and no pin")
  func life() throws {
    let before = try PacketFilterTables.read(in: .current())
    try withAgent { _ in
      Self.policy
    } options: { _ in
      Self.options
    } body: { bench in
      let server = try bench.network.run { try TestSocket.listening("127.0.0.1", 9000) }
      let web = try bench.sandbox.makeCgroup("enforced/web")
      let friend = try bench.sandbox.makeCgroup("enforced/friend")
      let living = try Self.inhabit(bench, web, bench.network)
      defer { try? living.handle.send(signal: SIGKILL) }
      try bench.workloads("both are workloads") { $0.count == 2 }
      try eventually("rules are there") { try Self.rules(bench, bench.network).contains("sp_nf_output") }
      #expect(try !bench.connects(in: web))
      #expect(try bench.connects(in: friend))
      _ = try server.accept()
      let status = try bench.ask("status").output
      #expect(status.contains("netfilter: as configured"), "\(status)")
      try bench.ask("detach")
      #expect(try !Self.rules(bench, bench.network).contains("SP-"))
      #expect(try bench.connects(in: web))
      _ = try bench.startAgent(Self.policy, Self.options)
    }
    #expect(try PacketFilterTables.read(in: .current()) == before)
  }

  @Test("a namespace that a workload comes to later has rules before its next program runs for long")
  func namespaces() throws {
    try withAgent { _ in
      Self.policy
    } options: { _ in
      Self.options
    } body: { bench in
      let web = try bench.sandbox.makeCgroup("enforced/web")
      try bench.workloads("web is a workload") { $0.count == 1 }
      let later = try bench.sandbox.makeNamespace()
      let living = try Self.inhabit(bench, web, later)
      defer { try? living.handle.send(signal: SIGKILL) }
      try eventually("rules are in the namespace") { try Self.rules(bench, later).contains("sp_nf_input") }
      #expect(try bench.status().failures == 0)
    }
  }

  @Test("what others flush is back at once, and status says so", arguments: ["nft flush ruleset", "iptables-nft -F"])
  func repair(command: String) throws {
    try withAgent { _ in
      Self.policy
    } options: { _ in
      Self.options
    } body: { bench in
      let web = try bench.sandbox.makeCgroup("enforced/web")
      let living = try Self.inhabit(bench, web, bench.network)
      defer { try? living.handle.send(signal: SIGKILL) }
      try eventually("rules are there") { try Self.rules(bench, bench.network).contains("sp_nf_output") }
      let whole = try Self.rules(bench, bench.network).split(separator: "\n").filter { $0.hasPrefix("-A") }
      try bench.sandbox.command(command.split(separator: " ").map(String.init), namespace: bench.network)
      try eventually("rules are back") {
        try Self.rules(bench, bench.network).split(separator: "\n").filter { $0.hasPrefix("-A") } == whole
      }
      // For as long as the rules were gone it would end with 3.
      try eventually("status tells") {
        try bench.run(["status", "--state", bench.state]).output.contains("rules restored")
      }
    }
  }

  @Test("moving from the cgroup datapath to this one, and back, lets nothing through meanwhile")
  func moving() throws {
    try withSandbox { sandbox in
      let bench = try AgentBench(sandbox)
      defer { try? bench.removePins() }
      var agent = try bench.startAgent(Self.policy, ["--sources", "", "--datapath", "cgroup"])
      let server = try bench.network.run { try TestSocket.listening("127.0.0.1", 9000) }
      let web = try bench.sandbox.makeCgroup("enforced/web")
      try bench.workloads("web is a workload") { $0.count == 1 }
      let network = bench.network
      // Known by who lives in it: a namespace whose first process has just come is policed a moment later.
      let living = try Self.inhabit(bench, web, network)
      defer { try? living.handle.send(signal: SIGKILL) }
      let attempts = try Background { progress in
        var passed = 0
        while progress.next() {
          let child = try sandbox.start(
            [Product.sallyport, "probe", "127.0.0.1", "9000"], cgroup: web, namespace: network)
          if try child.wait() == 0 { passed += 1 }
        }
        return passed
      }
      for datapath in ["netfilter", "cgroup"] {
        try agent.handle.send(signal: SIGTERM)
        #expect(try agent.wait() == 0)
        agent = try bench.startAgent(
          Self.policy, ["--sources", "", "--spare-own-namespace", "--datapath", datapath])
        let status = try bench.ask("status").output
        #expect(status.contains("\(datapath): as configured"), "\(status)")
        #expect(try Self.rules(bench, bench.network).contains("SP-") == (datapath == "netfilter"))
      }
      let tried = attempts.progress.count
      #expect(try attempts.finish() == 0)
      #expect(tried > 5)
      #expect(!server.isReadable)
      try bench.ask("detach")
      _ = try agent.wait()
    }
  }
}
