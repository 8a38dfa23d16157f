// Does the kernel tell what happens to cgroups and processes, all of it and only of the watched subtree?
import BPF
import Glibc
import Kernel
import Synchronization
import SystemPackage
import TestSupport
import Testing
import Workloads

/// Collects events, and waits until they say what is asked for.
final class ToldEvents: Sendable {
  private let events = Mutex<[WorkloadEvent]>([])
  private let forgotten = Atomic<UInt64>(0)
  private let stream: AsyncStream<Void>
  private let continuation: AsyncStream<Void>.Continuation

  init() { (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1)) }

  var all: [WorkloadEvent] { events.withLock { $0 } }
  var hasUnknown: Bool { all.contains(.unknown) }

  @Sendable func take(_ batch: [WorkloadEvent]) {
    events.withLock { $0 += batch }
    continuation.yield()
  }

  /// Returns when everything that was written until now has been told.
  func settle(_ events: KernelEvents) async throws {
    let written = try events.counts().written
    await wait { UInt64($0.count { $0 != .unknown }) + forgotten.load(ordering: .relaxed) >= written }
  }

  /// Forgets what came so far.
  func clear() {
    events.withLock { events in
      forgotten.add(UInt64(events.count { $0 != .unknown }), ordering: .relaxed)
      events = []
    }
  }

  /// Returns when it holds; the test's time limit is the only other end.
  func wait(until isSo: ([WorkloadEvent]) -> Bool) async {
    if isSo(all) { return }
    for await _ in stream where isSo(all) { return }
  }
}

@Suite(.requires(.root, .bpf, .cgroups), .timeLimit(.minutes(2))) struct KernelEventsTests {
  /// Runs `body` with a feed of the sandbox's cgroup whose first word was taken off.
  static func withEvents(
    processes: Bool = false, ringBytes: Int = 1 << 20, _ body: (Sandbox, KernelEvents, ToldEvents) async throws -> Void
  ) async throws {
    try await withSandbox { sandbox in
      let told = ToldEvents()
      let events = try KernelEvents.start(
        root: sandbox.cgroup, processes: processes, ringBytes: ringBytes, handler: told.take)
      defer { events.stop() }
      #expect(told.all == [.unknown])
      told.clear()
      try await body(sandbox, events, told)
    }
  }

  @Test("A cgroup made, entered, emptied and removed is told, in this order")
  func cgroups() async throws {
    try await Self.withEvents { sandbox, events, told in
      let cgroup = try sandbox.makeCgroup("a")
      let child = try sandbox.start(["sleep", "60"])
      try child.handle.move(to: cgroup)
      try child.handle.send(signal: 9)
      _ = try child.wait()
      try cgroup.remove()
      await told.wait { $0.contains(.removed(cgroup.id)) }
      #expect(
        told.all.filter { $0 != .released(cgroup.id) } == [
          .made(cgroup.id), .entered(cgroup.id, child.handle.id), .emptied(cgroup.id), .emptied(sandbox.cgroup.id),
          .removed(cgroup.id),
        ])
      let counts = try events.counts()
      #expect((5...6).contains(counts.written) && counts.lost == 0)
    }
  }

  @Test("A removed cgroup is released once its last socket is closed, whoever holds that, and not before")
  func release() async throws {
    try await Self.withEvents { sandbox, _, told in
      let (busy, idle) = (try sandbox.makeCgroup("busy"), try sandbox.makeCgroup("idle"))
      let process = try ErrandProcess.start(in: busy)
      let made = try process.socket(family: AF_INET, type: Int32(SOCK_DGRAM.rawValue), protocol: 0)
      process.stop()
      try busy.remove()
      try idle.remove()
      await told.wait { $0.contains(.released(idle.id)) }
      try await Task.sleep(for: .milliseconds(200))
      #expect(told.all.contains(.removed(busy.id)) && !told.all.contains(.released(busy.id)))
      close(made.raw)
      await told.wait { $0.contains(.released(busy.id)) }
    }
  }

  @Test("A process that is made in a cgroup enters it, runs a program and exits")
  func processes() async throws {
    try await Self.withEvents(processes: true) { sandbox, _, told in
      let cgroup = try sandbox.makeCgroup("a")
      let before = Clock.monotonicNanoseconds()
      let child = try sandbox.start(["true"], cgroup: cgroup)
      let id = child.handle.id
      _ = try child.wait()
      await told.wait { $0.contains { if case .exited = $0 { true } else { false } } }
      let after = Clock.monotonicNanoseconds()
      #expect(told.all.first == .made(cgroup.id))
      #expect(told.all.contains(.entered(cgroup.id, id)))
      let starts = told.all.compactMap { if case .executed(let start) = $0 { start } else { nil } }
      let ends = told.all.compactMap { if case .exited(let at, let end) = $0 { (at, end) } else { nil } }
      #expect(starts.map(\.process) == [id])
      #expect(starts.map(\.cgroup) == [cgroup.id])
      #expect(starts.map(\.path) == [Sandbox.find("true")?.string])
      #expect(ends.map(\.0) == [cgroup.id])
      #expect(ends.map(\.1.process) == [id])
      let times = [before] + starts.map(\.time) + ends.map(\.1.time) + [after]
      #expect(times == times.sorted())
    }
  }

  @Test("Executions are told only while they are followed, and following begins with a look at everything")
  func following() async throws {
    try await Self.withEvents { sandbox, events, told in
      let cgroup = try sandbox.makeCgroup("a")
      try sandbox.command(["true"], cgroup: cgroup)
      try events.follow(processes: true)
      try events.follow(processes: true)
      await told.wait { $0.contains(.unknown) }
      let quiet = told.all
      #expect(!quiet.contains { if case .executed = $0 { true } else { false } })
      #expect(quiet.filter { $0 == .unknown }.count == 1)
      try sandbox.command(["true"], cgroup: cgroup)
      await told.wait { $0.contains { if case .exited = $0 { true } else { false } } }
      try events.follow(processes: false)
      told.clear()
      try sandbox.command(["true"], cgroup: cgroup)
      let last = try sandbox.makeCgroup("last")
      await told.wait { $0.contains(.made(last.id)) }
      #expect(!told.all.contains { if case .executed = $0 { true } else { false } })
    }
  }

  @Test("A script is told by its interpreter, a relative path and one that is too long by none")
  func paths() async throws {
    try await Self.withEvents(processes: true) { sandbox, _, told in
      let long = "/" + String(repeating: "./", count: 100) + "bin/true"
      let short = "/" + String(repeating: "./", count: 90) + "bin/true"
      let words = [
        ["sh", "-c", "cd /bin && exec ./true"], ["sh", "-c", "exec \(long)"], ["sh", "-c", "exec \(short)"],
        ["ldd", "/bin/true"],
      ]
      let nowhere = try OwnedDescriptor.open("/dev/null", flags: O_WRONLY)
      for words in words {
        _ = try sandbox.start(words, cgroup: sandbox.cgroup, output: nowhere.raw).wait()
      }
      let last = try sandbox.makeCgroup("last")
      await told.wait { $0.contains(.made(last.id)) }
      let paths = told.all.compactMap { if case .executed(let start) = $0 { start.path ?? "none" } else { nil } }
      let shell = Sandbox.find("sh")?.string ?? ""
      #expect(paths.prefix(6) == [shell, "none", shell, "none", shell, short])
      #expect(short.utf8.count == 189)
      // A shell script: what runs is the shell that its first line names.
      #expect(paths.dropFirst(6).first == "/bin/bash")
    }
  }

  @Test("Nothing is told of cgroups beside or above the watched one")
  func outside() async throws {
    try await withSandbox { sandbox in
      let watched = try sandbox.makeCgroup("watched/below")
      let told = ToldEvents()
      let events = try KernelEvents.start(
        root: sandbox.cgroup.child("watched"), processes: true, handler: told.take)
      defer { events.stop() }
      told.clear()
      try sandbox.command(["true"], cgroup: sandbox.makeCgroup("watched2/x"))
      try sandbox.command(["true"], cgroup: sandbox.cgroup)
      let last = try watched.create("last")
      await told.wait { $0.contains(.made(last.id)) }
      #expect(told.all == [.made(last.id)])
    }
  }

  @Test("Moves in a v1 hierarchy are not told, even to who watches all of v2", .requires(.hybridCgroups))
  func hybrid() async throws {
    try await withSandbox { sandbox in
      let told = ToldEvents()
      let events = try KernelEvents.start(root: CgroupHierarchy.find().root(), handler: told.take)
      defer { events.stop() }
      let child = try sandbox.start(["sleep", "60"])
      let hierarchy = try #require(V1Hierarchy.find())
      let id = try V1Hierarchy.visit(hierarchy, child.handle.id, name: "sallyport-test-\(child.handle.id)")
      try child.handle.move(to: sandbox.cgroup)
      await told.wait { $0.contains(.entered(sandbox.cgroup.id, child.handle.id)) }
      let others = told.all.filter { event in
        switch event {
        case .entered(let cgroup, let process): process == child.handle.id && cgroup != sandbox.cgroup.id
        case .made(let cgroup), .removed(let cgroup): cgroup == id
        default: false
        }
      }
      #expect(others == [])
      try sandbox.cgroup.kill()
      _ = try child.wait()
    }
  }

  @Test("Moves and removals in a v1 hierarchy are told to who asks, with the path", .requires(.hybridCgroups))
  func tellsV1() async throws {
    try await withSandbox { sandbox in
      let told = ToldEvents()
      let events = try KernelEvents.start(root: sandbox.cgroup, tellsV1: true, handler: told.take)
      defer { events.stop() }
      let child = try sandbox.start(["sleep", "60"], cgroup: try sandbox.makeCgroup("a"))
      let (id, name) = (child.handle.id, "sallyport-test-\(child.handle.id)")
      _ = try V1Hierarchy.visit(try #require(V1Hierarchy.find()), id, name: name)
      await told.wait { $0.contains(.removedV1("/\(name)")) }
      // In, and out again.
      #expect(told.all.filter { $0 == .enteredV1(id) }.count == 2)
      try sandbox.cgroup.kill()
      _ = try child.wait()
    }
  }

  @Test("A process that has ended is nowhere, whatever the kernel says of it", .requires(.hybridCgroups))
  func zombie() throws {
    try withSandbox { sandbox in
      let child = try sandbox.start(["sleep", "60"], cgroup: sandbox.cgroup)
      let places = try #require(try CgroupPlaces.of(child.handle.id))
      #expect(places.newer.path == sandbox.cgroup.path)
      try child.handle.send(signal: SIGKILL)
      while !child.handle.hasExited { usleep(1000) }
      #expect(try CgroupPlaces.of(child.handle.id) == nil)
      _ = try child.wait()
    }
  }

  @Test("The names of cgroups do not matter: blanks, quotes, 255 bytes, no UTF-8; line ends the kernel refuses")
  func names() async throws {
    try await Self.withEvents { sandbox, _, told in
      let names: [[UInt8]] = [
        Array("with blank".utf8), Array("..x".utf8), Array(repeating: 97, count: 255),
        [0xff, 0xfe, 0x80], Array("\"'\\".utf8),
      ]
      #expect(throws: KernelError.self) { try sandbox.cgroup.create("line\nend") }
      var expected: [WorkloadEvent] = []
      for name in names {
        let cgroup = try sandbox.cgroup.create(try #require(FilePath(bytes: name).lastComponent))
        try cgroup.remove()
        expected += [.made(cgroup.id), .removed(cgroup.id)]
      }
      // Their release is told too, some time later.
      await told.wait { $0.filter { !$0.isRelease }.count == expected.count }
      #expect(told.all.filter { !$0.isRelease } == expected)
    }
  }

  @Test("A cgroup that is told can be opened by its number at once")
  func opened() async throws {
    try await withSandbox { sandbox in
      let missing = Mutex(0)
      let told = ToldEvents()
      let events = try KernelEvents.start(root: sandbox.cgroup) { batch in
        for case .made(let id) in batch where (try? sandbox.cgroup.hierarchy.directory(id: id)) == nil {
          missing.withLock { $0 += 1 }
        }
        told.take(batch)
      }
      defer { events.stop() }
      for number in 0..<500 { _ = try sandbox.makeCgroup("c\(number)") }
      await told.wait { $0.count >= 501 }
      #expect(missing.withLock { $0 } == 0)
    }
  }
}

extension WorkloadEvent {
  var isRelease: Bool { if case .released = self { true } else { false } }
}
