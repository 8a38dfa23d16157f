// Does a start change no verdict, whatever of the agent's files and pins is damaged, and wherever it is killed?
import BPF
import CDatapath
import Enforcement
import FoundationEssentials
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

/// A number of the environment.
private func number(_ name: String, _ usual: Int) -> Int {
  unsafe getenv(name).flatMap { unsafe Int(String(cString: $0)) } ?? usual
}

@Suite(
  "Damaged starts", .serialized,
  .requires(.root, .cgroups, .bpf, .pins, .networkNamespaces, .product))
struct DamagedStartTests {
  /// What happens between two agents.
  enum Damage: String, CaseIterable {
    case nothing, gone, empty, garbage, truncated, otherVersion, otherInstance, fifo, directory, unreadable, state
    case names, active, maps, programs, abi

    /// All but another version: replacing programs may cost a datagram that is on its way.
    static let adopted = allCases.filter { $0 != .abi }
  }

  private let policy = """
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: db}
    spec:
      subject: app=db
      incoming: [{action: allow, peers: [{selector: app=api}], ports: [tcp/6379, udp/5353]}]
    ---
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: clients}
    spec:
      subject: app in (api,evil)
      outgoing: [{action: allow, peers: [{selector: app=db}], ports: [tcp/6379, udp/5353]}]

    """
    + ["db", "api", "evil"].map { AgentBench.workload($0, "app: \($0)", match: "cgroups: [\"/*/enforced/\($0)\"]") }
    .joined() + AgentBench.workload("fill", "app: fill", match: "cgroups: [\"/*/enforced/fill/*\"]")

  /// A bench with an agent that enforces, workloads that do nothing, and two probers.
  ///
  /// Each replacement of programs by those of another version may cost one answer of UDP that is on its way: the new ones
  /// do not know its conversation.
  private func probing(
    workloads: Int, replacements: Int = 0, _ body: (AgentBench, _ agent: inout AgentUnderTest) throws -> Void
  ) throws {
    try withSandbox { sandbox in
      let bench = try AgentBench(sandbox)
      defer { try? bench.removePins() }
      let places = try ["db", "api", "evil"].map { try sandbox.makeCgroup("enforced/\($0)") }
      let fill = try sandbox.makeCgroup("enforced/fill")
      for index in 0..<workloads { _ = try fill.create(try #require(FilePath.Component("f\(index)"))) }
      let server = try ProberServer(in: places[0], bench.network)
      var agent = try AgentUnderTest(bench, policy)
      let probers = [
        try TightProber(in: places[1], bench.network, isAllowed: true),
        try TightProber(in: places[2], bench.network, isAllowed: false),
      ]
      let result = Result { try body(bench, &agent) }
      let seen = try probers.map { try $0.finish() }
      try server.stop()
      try result.get()
      print("damaged starts: \(seen[0].verdicts) allowed and \(seen[1].verdicts) forbidden probes")
      let datagrams = seen[0].wrong.filter { $0.contains(" udp ") }
      #expect(
        datagrams.count <= replacements && datagrams.count == seen[0].wrong.count,
        "allowed and refused: \(seen[0].wrong.prefix(20)) \(bench.log)")
      #expect(seen[1].wrong.isEmpty, "forbidden and passed: \(seen[1].wrong.prefix(20)) \(bench.log)")
      #expect(seen.allSatisfy { $0.verdicts > 50 })
      try bench.ask("detach")
      #expect(try agent.wait() == 0)
    }
  }

  @Test("no verdict changes in starts over files and pins that are damaged")
  func damaged() throws {
    let rounds = number("SALLYPORT_DAMAGED_ROUNDS", 1)
    // On the netfilter datapath a start over removed maps replaced the programs, which cost an answer of UDP about once in
    // 130,000 conversations. It no longer does; not yet shown over as many (docs/COVERAGE.md).
    let lost = DatapathKind.underTest == .netfilter ? rounds : 0
    try probing(workloads: number("SALLYPORT_DAMAGED_WORKLOADS", 60), replacements: lost) { bench, agent in
      for round in 0..<rounds {
        for damage in Damage.adopted {
          try agent.kill()
          try inflict(damage, bench)
          do { try agent.start() } catch { Issue.record("\(damage) in round \(round): \(error)") }
        }
      }
      let status = try bench.ask("status").output
      #expect(status.contains("enforcing") && !status.contains("PINS LOST"), "\(status)")
      #expect(try bench.status().workloads == 3 + number("SALLYPORT_DAMAGED_WORKLOADS", 60))
    }
  }

  @Test("no verdict changes when agents are killed at any moment of such starts")
  func killed() throws {
    let deaths = number("SALLYPORT_DAMAGED_DEATHS", 12)
    try probing(workloads: number("SALLYPORT_DAMAGED_WORKLOADS", 60)) { bench, agent in
      try agent.kill()
      for death in 0..<deaths {
        try inflict([.gone, .names, .state, .garbage, .programs][death % 5], bench)
        try agent.startAndKill(after: UInt32.random(in: 10_000...900_000))
      }
      try agent.start()
      #expect(try bench.ask("status").output.contains("programs"))
    }
  }

  @Test("programs of another version are replaced without an instant, also when agents die in between")
  func replaced() throws {
    try probing(workloads: 10, replacements: 8) { bench, agent in
      for round in 0..<4 {
        try agent.kill()
        try inflict(.abi, bench)
        if round % 2 == 1 { try agent.startAndKill(after: UInt32.random(in: 10_000...900_000)) }
        try agent.start()
        #expect(!isThere(pins(bench) + "+former"))
      }
    }
  }

  private func pins(_ bench: AgentBench) -> String {
    let plain = "/sys/fs/bpf/sallyport/\(StateDirectory(bench.state).instance)"
    return DatapathKind.underTest == .netfilter ? plain + "+netfilter" : plain
  }

  private func inflict(_ damage: Damage, _ bench: AgentBench) throws {
    let snapshot = "\(bench.state)/snapshot.json"
    let text = (try? String(decoding: readRegularFile(snapshot, limit: 1 << 30), as: UTF8.self)) ?? "{}"
    func write(_ text: String) throws {
      // An agent that was killed early did not make it again.
      try makeDirectory(bench.state, mayExist: true)
      try replaceFile(FilePath(snapshot), with: Array(text.utf8))
    }
    let maps = "\(pins(bench))/maps"
    switch damage {
    case .nothing: break
    case .gone: try removeFile(snapshot)
    case .empty: try write("")
    case .garbage: try write("{{")
    case .truncated: try write(String(text.prefix(text.count / 2)))
    case .otherVersion: try write(text.replacing("\"version\":1", with: "\"version\":2"))
    case .otherInstance:
      // Another's numbers: they mean something else there.
      try write(
        text.replacing("\"pins\":\"", with: "\"pins\":\"/other").replacing("\"app\":\"evil\"", with: "\"app\":\"api\""))
    case .fifo:
      try removeFile(snapshot)
      try #require(unsafe mkfifo(snapshot, 0o600) == 0)
    case .directory:
      try removeFile(snapshot)
      try makeDirectory("\(snapshot)")
      try makeDirectory("\(snapshot)/not-empty")
    case .unreadable:
      try removeFile(snapshot)
      try #require(unsafe symlink(snapshot, snapshot) == 0)
    case .state: try bench.sandbox.command(["rm", "-rf", bench.state])
    case .names: try removeFile("\(maps)/sp_names")
    case .active: try removeFile("\(maps)/sp_active")
    case .maps: try bench.sandbox.command(["rm", "-rf", maps])
    case .programs: try bench.sandbox.command(["rm", "-rf", "\(pins(bench))/programs"])
    case .abi:
      // Programs that say they are of the version before: frozen data cannot be written, so a stand-in tells it.
      guard isThere("\(maps)/sp_config") else { return }
      try removePin(at: "\(maps)/sp_config")
      let other = try BPFMap<UInt32, InlineArray<3, UInt64>>.create(.array, name: "other", maxEntries: 1)
      try other.set([UInt64(SP_ABI_VERSION) - 1, 0, 0], for: 0)
      try other.pin(at: "\(maps)/sp_config")
    }
  }
}

/// An agent that is killed and started again.
struct AgentUnderTest: ~Copyable {
  private let bench: AgentBench
  private let policy: String
  private var child: ChildProcess
  private static let options =
    ["--sources", "", "--datapath", DatapathKind.underTest.rawValue]
    + (DatapathKind.underTest == .netfilter ? ["--spare-own-namespace"] : [])

  init(_ bench: AgentBench, _ policy: String) throws {
    self.bench = bench
    self.policy = policy
    child = try bench.startAgent(policy, Self.options)
  }

  mutating func kill() throws {
    try child.handle.send(signal: SIGKILL)
    _ = try child.wait()
  }

  mutating func start() throws { child = try bench.startAgent(policy, Self.options) }

  mutating func startAndKill(after microseconds: UInt32) throws {
    child = try bench.beginAgent(policy, Self.options)
    usleep(microseconds)
    try kill()
  }

  func wait() throws -> Int32 { try child.wait() }
}
