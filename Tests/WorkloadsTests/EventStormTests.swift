// Is every event of a storm told, or else a loss, and does nobody have to ask?
import Glibc
import Kernel
import Synchronization
import SystemPackage
import TestSupport
import Testing
import Workloads

@Suite(.requires(.root, .bpf, .cgroups), .timeLimit(.minutes(3))) struct EventStormTests {
  /// Makes and removes so many cgroups by the shortest way, and returns their numbers.
  static func makeAndRemove(_ count: Int, in cgroup: CgroupDirectory) throws -> [CgroupID] {
    let location = try #require(cgroup.hierarchy.location(of: cgroup.path)).string
    return try (0..<count).map { number in
      let path = "\(location)/storm-\(number)"
      var status = stat()
      guard unsafe mkdir(path, 0o755) == 0, unsafe stat(path, &status) == 0, unsafe rmdir(path) == 0 else {
        throw KernelError("make and remove", path, Errno(rawValue: errno))
      }
      return CgroupID(rawValue: UInt64(status.st_ino))
    }
  }

  @Test("Of 10,000 cgroups made and removed every one is told, or a loss", arguments: [4 << 20, 1 << 14])
  func cgroups(ringBytes: Int) async throws {
    try await KernelEventsTests.withEvents(ringBytes: ringBytes) { sandbox, events, told in
      let ids = try Self.makeAndRemove(10_000, in: sandbox.cgroup)
      let last = try sandbox.makeCgroup("last")
      // The kernel releases a removed cgroup on a work queue, some time later.
      var counts = try events.counts()
      while counts.written + counts.lost < 30_001 {
        try await Task.sleep(for: .milliseconds(10))
        counts = try events.counts()
      }
      try await told.settle(events)
      #expect(told.hasUnknown == (counts.lost > 0))
      #expect(counts.written + counts.lost == 30_001)
      guard counts.lost == 0 else { return }
      let seen = told.all
      #expect(seen.filter { !$0.isRelease } == ids.flatMap { [.made($0), .removed($0)] } + [.made(last.id)])
      #expect(Set(seen.compactMap { if case .released(let id) = $0 { id } else { nil } }) == Set(ids))
    }
  }

  @Test("Of 10,000 short-lived processes every start and end is told, or a loss")
  func processes() async throws {
    try await KernelEventsTests.withEvents(processes: true, ringBytes: 4 << 20) { sandbox, events, told in
      let cgroup = try sandbox.makeCgroup("storm")
      let loop = "i=0; while [ $i -lt 5000 ]; do /bin/true; i=$((i + 1)); done"
      let shells = try (0..<2).map { _ in
        Child(try sandbox.start(["sh", "-c", loop], cgroup: cgroup))
      }
      for shell in shells { #expect(try shell.process.wait() == 0) }
      try await told.settle(events)
      let counts = try events.counts()
      #expect(told.hasUnknown == (counts.lost > 0))
      guard counts.lost == 0 else { return }
      var starts: [String?: Int] = [:]
      var ends = 0
      for event in told.all {
        if case .executed(let start) = event { starts[start.path, default: 0] += 1 }
        if case .exited = event { ends += 1 }
      }
      #expect(starts == ["/bin/true": 10_000, Sandbox.find("sh")?.string: 2])
      #expect(ends == 10_002)
    }
  }

  @Test(
    "What a full ring has no room for is counted, and told although nothing happens afterwards", .timeLimit(.minutes(5))
  )
  func tinyRing() async throws {
    try await withSandbox { sandbox in
      let told = ToldEvents()
      let gate = Mutex(())
      let isFirst = Atomic(true)
      let events = try KernelEvents.start(root: sandbox.cgroup, ringBytes: 4096) { batch in
        // The first word comes from this very thread.
        if isFirst.exchange(false, ordering: .relaxed) { return }
        gate.withLock { _ in }
        told.take(batch)
      }
      defer { events.stop() }
      try gate.withLock { _ in _ = try Self.makeAndRemove(100, in: sandbox.cgroup) }
      await told.wait { $0.contains(.unknown) }
      let counts = try events.counts()
      #expect(counts.lost > 0)
      #expect(counts.written + counts.lost == 200)
      // Afterwards all is well again, and the loss is not told twice.
      try await told.settle(events)
      told.clear()
      let cgroup = try sandbox.makeCgroup("after")
      await told.wait { $0.contains(.made(cgroup.id)) }
      #expect(told.all == [.made(cgroup.id)])
    }
  }
}

/// A process in a list.
private final class Child: Sendable {
  let process: ChildProcess
  init(_ process: consuming ChildProcess) { self.process = process }
}
