// Is what others take from a running agent seen, said and repaired, and is nobody kept waiting?
import BPF
import FoundationEssentials
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@testable import Enforcement

@Suite(
  "What an agent loses", .serialized,
  .requires(.root, .cgroups, .bpf, .pins, .networkNamespaces, .product))
struct AgentLossTests {
  private let policy =
    AgentBench.defaults + AgentBench.workload("web", "app: web", match: "cgroups: [\"/*/enforced/web\"]")

  private func pins(_ bench: AgentBench) -> PinnedState {
    PinnedState(bpffs: "/sys/fs/bpf", state: StateDirectory(bench.state), kind: .cgroup)
  }

  /// What `status` prints, whatever it ends with.
  private func status(_ bench: AgentBench) throws -> CommandResult {
    try bench.run(["status", "--state", bench.state])
  }

  private func withWeb(_ body: (AgentBench, CgroupDirectory) throws -> Void) throws {
    try withAgent { _ in
      policy
    } options: { _ in
      ["--sources", "", "--datapath", "cgroup"]
    } body: { bench in
      try body(bench, try bench.sandbox.makeCgroup("enforced/web"))
    }
  }

  /// Whether a process in a cgroup reaches a server of the host.
  private func connects(_ bench: AgentBench, in cgroup: CgroupDirectory) throws -> Bool {
    let server = try bench.network.run { try TestSocket.listening("127.0.0.1", 9000) }
    defer { withExtendedLifetime(server) {} }
    let process = try ErrandProcess.start(in: cgroup)
    try process.enter(bench.network)
    let made = try process.socket(family: AF_INET, type: Int32(SOCK_STREAM.rawValue), protocol: 0)
    let socket = TestSocket(adopting: made.raw)
    do throws(Errno) { try process.connect(made.handle, ProberServer.address(9000)) } catch {
      guard error == .nowInProgress else { return false }
    }
    return (try? socket.finishConnect(within: 2000)) != nil
  }

  @Test("pins that are removed come back, and what is detached is attached again: the log and status say so")
  func removed() throws {
    try withWeb { bench, web in
      try eventually("web is refused") { try !connects(bench, in: web) }
      try bench.sandbox.command(["rm", "-rf", pins(bench).published])
      #expect(try !connects(bench, in: web))
      try eventually("the pins are back: \(bench.log)") { try pins(bench).missingAttachments().isEmpty }
      try eventually("status says it") { try status(bench).output.contains("pins restored") }
      #expect(bench.log.contains("pins were removed by others and are in place again"))
      for hook in Hook.all { try PinnedLink.open(pins(bench).link(hook.program)).detach() }
      try eventually("the programs are back: \(bench.log)") { try !connects(bench, in: web) }
      try eventually("status says that too") { try status(bench).output.contains("reattached") }
      #expect(try status(bench).status == 0)
    }
  }

  @Test("when the BPF file system goes, enforcement stays with the agent, and status asks the kernel and ends with 1")
  func unmounted() throws {
    try withSandbox { sandbox in
      let bench = try AgentBench(sandbox)
      let web = try sandbox.makeCgroup("enforced/web")
      let location = try #require(bench.enforced.hierarchy.location(of: bench.enforced.path))
      let file = try bench.write("policy.yaml", policy)
      // A mount namespace of its own, with a BPF file system over another one: the machine's is not touched.
      let script = """
        mount -t tmpfs none /sys/fs/bpf && mount -t bpf bpf /sys/fs/bpf && exec "$0" run --cgroup "$1" --policy "$2" \
        --state "$3" --sources '' --no-coverage --datapath cgroup --ready-fd 1 2>>"$4"
        """
      let ready = try Stream()
      let agent = try ChildProcess.start(
        try #require(Sandbox.find("unshare")),
        [
          "-m", "--propagation", "private", "sh", "-c", script, Product.sallyport, location.string, file, bench.state,
          "\(bench.directory)/log",
        ],
        cgroup: bench.outside, output: ready.other.raw)
      defer { try? agent.handle.send(signal: SIGKILL) }
      try #require(ready.handOver().read() == "\n", "\(bench.log)")
      #expect(try !connects(bench, in: web))
      try sandbox.command(["nsenter", "-t", "\(agent.handle.id)", "-m", "umount", "-l", "/sys/fs/bpf"])
      try eventually("the agent says it: \(bench.log)") { bench.log.contains("enforcement ends with this agent") }
      #expect(try !connects(bench, in: web))
      var seen = try status(bench)
      #expect(seen.status == 1 && seen.output.contains("PINS LOST"), "\(seen.text)")
      #expect(seen.output.contains("enforcing        yes"), "\(seen.text)")
      // It is there again: so are the pins.
      try sandbox.command(["nsenter", "-t", "\(agent.handle.id)", "-m", "mount", "-t", "bpf", "bpf", "/sys/fs/bpf"])
      try eventually("the pins are back: \(bench.log)") { bench.log.contains("are in place again") }
      try sandbox.command(["nsenter", "-t", "\(agent.handle.id)", "-m", "umount", "-l", "/sys/fs/bpf"])
      try agent.handle.send(signal: SIGKILL)
      _ = try agent.wait()
      // Nothing holds the programs now, and no file makes status say otherwise.
      try eventually("status says no") { try status(bench).status == 3 }
      seen = try status(bench)
      #expect(seen.output.contains("enforcing        no"), "\(seen.text)")
    }
  }

  @Test("a second agent on the same cgroup, above or below it is refused, and names the first")
  func second() throws {
    try withWeb { bench, web in
      let own = try status(bench)
      #expect(own.status == 0, "\(own.text)")
      for place in [bench.enforced, web, bench.sandbox.cgroup] {
        let location = try #require(place.hierarchy.location(of: place.path)).string
        let result = try bench.run([
          "run", "--cgroup", location, "--policy", "\(bench.directory)/policy.yaml", "--state",
          "\(bench.directory)/second", "--sources", "", "--no-coverage",
        ])
        #expect(result.status == 1 && result.errors.contains(bench.state), "\(result.text)")
        #expect(result.errors.contains("sallyport detach --state \(bench.state)"), "\(result.text)")
      }
      let same = try bench.run([
        "run", "--cgroup", try #require(bench.enforced.hierarchy.location(of: bench.enforced.path)).string, "--policy",
        "\(bench.directory)/policy.yaml", "--state", bench.state, "--sources", "", "--no-coverage",
      ])
      #expect(same.status == 1 && !same.errors.contains("use another state directory"), "\(same.text)")
      #expect(try status(bench).status == 0)
    }
  }

  @Test("status and exec end soon although the agent is stopped, and silent clients hold up nobody")
  func stopped() throws {
    try withWeb { bench, _ in
      let agent = try ProcessHandle.open(ProcessID(rawValue: try #require(bench.status().agentPid)))
      try agent.send(signal: SIGSTOP)
      defer { try? agent.send(signal: SIGCONT) }
      let clock = ContinuousClock()
      var began = clock.now
      let seen = try status(bench)
      #expect(seen.status == 0 && seen.output.contains("does not answer"), "\(seen.text)")
      #expect(clock.now - began < .seconds(20))
      began = clock.now
      let refused = try bench.run(["exec", "--label", "a=b", "--state", bench.state, "--", "true"])
      #expect(refused.status != 0 && refused.errors.contains("no answer within"), "\(refused.text)")
      #expect(clock.now - began < .seconds(20))
      try agent.send(signal: SIGCONT)
      var silent: [SilentClient] = []
      for _ in 0..<20 { silent.append(try SilentClient(FilePath("\(bench.state)/control.sock"))) }
      began = clock.now
      try bench.apply(policy)
      #expect(clock.now - began < .seconds(10), "\(silent.count) clients say nothing")
    }
  }

  private final class SilentClient {
    let socket: LocalSocket
    init(_ path: FilePath) throws { socket = try LocalSocket.connect(to: path) }
  }

  @Test("what killed agents left goes, a plain stop and start has nothing to warn of, and no policy is called none")
  func leftovers() throws {
    try withSandbox { sandbox in
      let bench = try AgentBench(sandbox)
      defer { try? bench.removePins() }
      _ = try sandbox.makeCgroup("enforced/web")
      let options = ["--sources", "", "--datapath", "cgroup"]
      var agent = try bench.startAgent(policy, options)
      try bench.ask("status")
      try agent.handle.send(signal: SIGTERM)
      #expect(try agent.wait() == 0)
      try bench.write("state/snapshot.json.new.4711", "{}")
      try makeDirectory(pins(bench).staging)
      try makeDirectory("\(pins(bench).staging)/maps")
      agent = try bench.startAgent(policy, options)
      #expect(!isThere("\(bench.state)/snapshot.json.new.4711"))
      #expect(!isThere(pins(bench).staging))
      #expect(!bench.log.contains("warning"), "\(bench.log)")
      #expect(!bench.log.contains("another policy"), "\(bench.log)")
      try bench.ask("detach")
      #expect(try agent.wait() == 0)
    }
  }
}
