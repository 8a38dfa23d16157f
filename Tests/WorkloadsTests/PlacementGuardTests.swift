// Does the guard hold every exec of a named file until its process is placed, and none for ever?
import Enforcement
import Glibc
import Kernel
import Policy
import Synchronization
import SystemPackage
import TestSupport
import Testing
import Workloads

@Suite("The guard of execs", .requires(.root, .cgroups, .executionGuard))
struct PlacementGuardTests {
  /// How often the first act after an exec is watched; 10,000 in the long run: the kernel waits
  /// about 10 ms for an RCU grace period in a move that follows no other.
  private static var rounds: Int {
    unsafe getenv("SALLYPORT_EXEC_ROUNDS").flatMap { unsafe Int(String(cString: $0)) } ?? 200
  }

  private func withProbe(
    _ programs: [String: String] = ["probe": "cat"], _ body: (Sandbox, String) async throws -> Void
  ) async throws {
    try await withSandbox { sandbox in
      let directory = try ProbeDirectory()
      defer { directory.remove() }
      for (name, source) in programs { try directory.copy(source, to: name) }
      try await body(sandbox, directory.path)
    }
  }

  /// What a shell prints in a cgroup; the guard leaves children of this process alone, but not the shell's.
  private func output(_ script: String, in cgroup: CgroupDirectory) throws -> [Substring] {
    let pipe = try Pipe.make()
    let child = try ChildProcess.start("/bin/sh", ["-c", script], cgroup: cgroup, output: pipe.input.raw)
    let output = try readAll(pipe)
    #expect(try child.wait() == 0)
    return output.split(separator: "\n")
  }

  private func readAll(_ pipe: consuming Pipe) throws -> String {
    // Our own end must go, or the end of the file never comes.
    let output = try pipe.output.duplicate()
    _ = consume pipe
    var text: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = unsafe read(output.raw, &chunk, chunk.count)
      guard count > 0 else { return String(decoding: text, as: UTF8.self) }
      text += chunk.prefix(count)
    }
  }

  private func placing(_ root: CgroupDirectory, _ path: String) throws -> (ExecutionGuard, Faults) {
    let placer = Placer(root: root)
    let tag = WorkloadTag(labels: try LabelSet(parsing: "app=probe"), name: "probe")
    let faults = Faults()
    let started = try ExecutionGuard.start(
      [Glob("\(path)/probe")], expired: { faults.add("expired: \($0)") },
      decide: { pending in
        do throws(KernelError) {
          _ = try pending.withProcess { process throws(KernelError) in try placer.place(process, tag: tag) }
        } catch {
          faults.add("\(error)")
        }
        pending.allow()
      })
    return (started, faults)
  }

  @Test("The first act after an exec is done in the cgroup of its own, every time [8]")
  func firstAct() async throws {
    try await withProbe { sandbox, path in
      let unit = try sandbox.makeCgroup("a.service")
      let (guarding, faults) = try placing(sandbox.cgroup, path)
      let start = Clock.monotonicNanoseconds()
      let lines = try output(
        "i=0; while [ $i -lt \(Self.rounds) ]; do \(path)/probe /proc/self/cgroup; i=$((i+1)); done", in: unit)
      let seconds = Double(Clock.monotonicNanoseconds() - start) / 1e9
      let own = lines.filter { $0.hasPrefix("0::") }
      #expect(own.count == Self.rounds)
      #expect(own.allSatisfy { $0.hasPrefix("0::\(unit.path)/sallyport-probe-") })
      #expect(Set(own).count == Self.rounds)
      #expect(faults.all == [])
      #expect(guarding.counters == ExecutionGuardCounters(held: Self.rounds, passed: 0, expired: 0))
      print("placed before the first instruction: \(Self.rounds) in \(seconds) s")
      guarding.stop()
    }
  }

  @Test("What a placed process starts is in its cgroup, also when it is the same program again")
  func children() async throws {
    try await withProbe(["probe": "sh", "cat": "cat"]) { sandbox, path in
      let unit = try sandbox.makeCgroup("a.service")
      let (guarding, faults) = try placing(sandbox.cgroup, path)
      let lines = try output(
        "\(path)/probe -c '\(path)/cat /proc/self/cgroup; \(path)/probe -c \"cat /proc/self/cgroup\"'; :", in: unit)
      let own = lines.filter { $0.hasPrefix("0::") }
      #expect(own.count == 2 && Set(own).count == 1 && own[0].hasPrefix("0::\(unit.path)/sallyport-probe-"))
      #expect(faults.all == [])
      guarding.stop()
    }
  }

  @Test("A burst of execs loses none, and holds no more at once than it may [8]")
  func burst() async throws {
    try await withProbe { sandbox, path in
      let unit = try sandbox.makeCgroup("a.service")
      let (guarding, faults) = try placing(sandbox.cgroup, path)
      let before = try directoryNames("/proc/self/fd").count
      let lines = try output(
        "i=0; while [ $i -lt 150 ]; do \(path)/probe /proc/self/cgroup & i=$((i+1)); done; wait", in: unit)
      let own = lines.filter { $0.hasPrefix("0::") }
      #expect(own.count == 150 && own.allSatisfy { $0.hasPrefix("0::\(unit.path)/sallyport-probe-") })
      #expect(faults.all == [] && guarding.counters.held == 150)
      // Others open files meanwhile; what is held for execs would be hundreds.
      #expect(try directoryNames("/proc/self/fd").count < before + 100)
      guarding.stop()
    }
  }

  @Test("An exec that nobody decides about is let go in time, and named")
  func expiry() async throws {
    try await withProbe { sandbox, path in
      let unit = try sandbox.makeCgroup("a")
      var limits = ExecutionGuard.Limits()
      limits.wait = .milliseconds(200)
      limits.held = 4
      let kept = Mutex<[PendingExecution]>([])
      let faults = Faults()
      let guarding = try ExecutionGuard.start(
        [Glob("\(path)/probe")], limits: limits, expired: { faults.add($0.executable ?? "?") },
        decide: { pending in kept.withLock { $0.append(pending) } })
      let start = Clock.monotonicNanoseconds()
      // More than may be held: the rest waits in the kernel and goes with them.
      let lines = try output(
        "for i in 1 2 3 4 5 6 7 8 9 10; do \(path)/probe /proc/self/cgroup & done; wait", in: unit)
      let seconds = Double(Clock.monotonicNanoseconds() - start) / 1e9
      #expect(lines.filter { $0.hasPrefix("0::") }.count == 10)
      #expect(seconds > 0.19 && seconds < 5)
      #expect(guarding.counters.expired == 10)
      #expect(faults.all.count == 4 && faults.all.allSatisfy { $0 == "\(path)/probe" })
      // A decision that comes too late does no harm.
      kept.withLock { $0.forEach { $0.allow() } }
      guarding.stop()
    }
  }

  @Test("A forgotten decision, and the end of the guard, let execs go on at once")
  func forgotten() async throws {
    try await withProbe { sandbox, path in
      let unit = try sandbox.makeCgroup("a")
      let forgetful = try ExecutionGuard.start([Glob("\(path)/probe")], decide: { _ in })
      #expect(try output("\(path)/probe /proc/self/cgroup; :", in: unit).contains("0::\(unit.path)"))
      #expect(forgetful.counters == ExecutionGuardCounters(held: 1))
      forgetful.stop()
      let kept = Mutex<[PendingExecution]>([])
      let (came, continuation) = AsyncStream.makeStream(of: Void.self)
      var limits = ExecutionGuard.Limits()
      limits.wait = .seconds(60)
      let guarding = try ExecutionGuard.start(
        [Glob("\(path)/probe")], limits: limits,
        decide: { pending in
          kept.withLock { $0.append(pending) }
          continuation.yield()
        })
      let child = try sandbox.start(["sh", "-c", "\(path)/probe /dev/null; :"], cgroup: unit)
      for await _ in came { break }
      let isWaiting = !child.handle.hasExited
      #expect(isWaiting)
      guarding.stop()
      #expect(try child.wait() == 0)
    }
  }

  @Test("When the agent is killed, what it holds goes on")
  func killedAgent() async throws {
    try await withProbe { sandbox, path in
      // This program again, for the test below alone: not an exit test, whose monitor waits for every child of this
      // process and so for ever where other tests leave some.
      let output = try Pipe.make()
      let holder = try ChildProcess.start(
        "/proc/self/exe", ["--testing-library", "swift-testing", "--filter", "PlacementGuardTests/holder"],
        environment: ["SALLYPORT_TEST_PROBE=\(path)/probe", "PATH=/usr/bin:/bin"] + Self.inherited,
        cgroup: sandbox.makeCgroup("agent"), output: output.input.raw)
      for _ in 0..<1000 where !isThere("\(path)/probe.held") { try await Task.sleep(for: .milliseconds(10)) }
      #expect(isThere("\(path)/probe.held") && !isThere("\(path)/probe.done"))
      try holder.handle.send(signal: SIGKILL)
      #expect(try holder.wait() == 128 + SIGKILL)
      for _ in 0..<500 where !isThere("\(path)/probe.done") { try await Task.sleep(for: .milliseconds(10)) }
      #expect(isThere("\(path)/probe.done"))
    }
  }

  /// What the loader needs to find Swift's libraries.
  private static var inherited: [String] {
    unsafe getenv("LD_LIBRARY_PATH").map { unsafe ["LD_LIBRARY_PATH=\(String(cString: $0))"] } ?? []
  }

  @Test("The agent that is killed in the test above; does nothing by itself")
  func holder() async throws {
    guard let probe = unsafe getenv("SALLYPORT_TEST_PROBE").map({ unsafe String(cString: $0) }) else { return }
    var limits = ExecutionGuard.Limits()
    limits.wait = .seconds(60)
    let kept = Mutex<[PendingExecution]>([])
    let guarding = try ExecutionGuard.start(
      [Glob(probe)], limits: limits,
      decide: { pending in
        kept.withLock { $0.append(pending) }
        try? replaceFile(FilePath("\(probe).held"), with: [])
      })
    let child = try ChildProcess.start("/bin/sh", ["-c", "\(probe) /dev/null; echo > \(probe).done; :"])
    _ = try child.wait()
    guarding.stop()
  }

  @Test("Only the named file is held: not its copies, not what another mount shows by that name [9]")
  func otherFiles() async throws {
    try await withProbe(["probe": "cat", "other": "cat"]) { sandbox, path in
      let unit = try sandbox.makeCgroup("a")
      let (guarding, _) = try placing(sandbox.cgroup, path)
      let plain = try output(
        "\(path)/other /proc/self/cgroup; ln \(path)/probe \(path)/link; \(path)/link /proc/self/cgroup; "
          + "unshare -m sh -c 'mount --bind \(path)/other \(path)/probe && \(path)/probe /proc/self/cgroup; :'; :",
        in: unit)
      #expect(plain.filter { $0 == "0::\(unit.path)" }.count == 3, "\(plain)")
      #expect(guarding.counters.held == 0)
      // The host's file in a private namespace is the host's file.
      let own = try output("unshare -m sh -c '\(path)/probe /proc/self/cgroup; :'; :", in: unit)
      #expect(own.contains { $0.hasPrefix("0::\(unit.path)/sallyport-probe-") })
      guarding.stop()
    }
  }

  @Test("The executable's digest is known before it begins")
  func digest() async throws {
    try await withProbe { sandbox, path in
      let (decided, continuation) = AsyncStream.makeStream(of: ProcessTraits.self)
      let guarding = try ExecutionGuard.start(
        [Glob("\(path)/probe")], digests: ExecutableDigests(), decide: { continuation.yield($0.traits) })
      let lines = try output("sha256sum \(path)/probe; \(path)/probe /dev/null; :", in: sandbox.makeCgroup("a"))
      let traits = try #require(await decided.first { _ in true })
      #expect(traits.digest == lines.first.map { String($0.prefix(64)) } && traits.uid == 0 && traits.user == "root")
      guarding.stop()
    }
  }

  @Test("Marks follow when files are replaced or come, and patterns that cannot be marked are named")
  func follow() async throws {
    try await withProbe { sandbox, path in
      let unit = try sandbox.makeCgroup("a")
      let (decided, continuation) = AsyncStream.makeStream(of: String.self)
      let guarding = try ExecutionGuard.start(
        [Glob("\(path)/pro*"), Glob("\(path)/sub/x?"), Glob("**/cat"), Glob("\(path)/sub/link")],
        decide: { continuation.yield($0.traits.executable ?? "?") })
      #expect(guarding.executables == ["\(path)/probe"])
      #expect(guarding.uncovered.count == 1 && guarding.uncovered[0].hasPrefix("**/cat: "))
      let task = Task { await guarding.follow { _ in } }
      var iterator = decided.makeAsyncIterator()
      try sandbox.command(["cp", "\(path)/probe", "\(path)/new"])
      try move("\(path)/new", to: "\(path)/probe")
      try sandbox.command(["mkdir", "\(path)/sub"])
      try sandbox.command(["cp", "\(path)/probe", "\(path)/sub/x1"])
      try sandbox.command(["ln", "-s", "/bin/cat", "\(path)/sub/link"])
      for _ in 0..<500 where !(guarding.executables.count == 2 && guarding.uncovered.count == 2) {
        try await Task.sleep(for: .milliseconds(10))
      }
      #expect(guarding.executables == ["\(path)/probe", "\(path)/sub/x1"])
      #expect(guarding.uncovered.contains { $0.hasPrefix("\(path)/sub/link: leads to ") })
      _ = try output("\(path)/probe /dev/null; \(path)/sub/x1 /dev/null; :", in: unit)
      #expect(await iterator.next() == "\(path)/probe")
      #expect(await iterator.next() == "\(path)/sub/x1")
      try guarding.guardOnly([])
      _ = try output("\(path)/probe /dev/null; :", in: unit)
      #expect(guarding.counters.held == 2)
      task.cancel()
      await task.value
      guarding.stop()
    }
  }
}

/// What went wrong, told from any thread.
final class Faults: Sendable {
  private let lines = Mutex<[String]>([])
  var all: [String] { lines.withLock { $0 } }
  func add(_ line: String) { lines.withLock { $0.append(line) } }
}
