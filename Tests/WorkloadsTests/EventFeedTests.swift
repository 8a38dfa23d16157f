// Does the feed take the best that the machine has, say which it is, and lead to the same picture with either?
import Kernel
import Logging
import Policy
import Synchronization
import SystemPackage
import TestSupport
import Testing
import Workloads

@Suite(.requires(.root, .bpf, .cgroups), .timeLimit(.minutes(2))) struct EventFeedTests {
  static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  @Test("Tracepoints are preferred; what is used and why is said")
  func origin() throws {
    try withSandbox { sandbox in
      let told = ToldEvents()
      let kernel = try EventFeed.start(root: sandbox.cgroup, logger: Self.logger, handler: told.take)
      #expect(kernel.description == "kernel tracepoints")
      #expect(kernel.tellsProcesses)
      #expect(kernel.isComplete)
      #expect(kernel.counts == .init(written: 0, lost: 0))
      #expect(told.all == [.unknown])
      kernel.stop()
      told.clear()
      let inotify = try EventFeed.start(
        root: sandbox.cgroup, preferInotify: true, logger: Self.logger, handler: told.take)
      #expect(inotify.description == "inotify: asked for")
      #expect(!inotify.tellsProcesses)
      #expect(inotify.counts == nil)
      #expect(told.all == [.unknown])
      inotify.stop()
    }
  }

  @Test("Without the capability for tracepoints inotify takes over and says why")
  func fallback() throws {
    try withSandbox { sandbox in
      let said = try runOnFreshThread("unprivileged") { () throws(KernelError) in
        Result {
          try Capabilities.keepOnly([.netAdmin])
          let feed = try EventFeed.start(root: sandbox.cgroup, logger: Self.logger) { _ in }
          return feed.description
        }
      }.get()
      #expect(said.hasPrefix("inotify: "))
      #expect(said.contains("CAP_BPF"))
    }
  }

  @Test("Whatever tells of it, the same cgroups are known in the end", arguments: [false, true])
  func samePicture(preferInotify: Bool) async throws {
    try await withSandbox { sandbox in
      let root = sandbox.cgroup
      let known = Mutex<Set<CgroupID>>([])
      let told = ToldEvents()
      // What a tracker does with events, at its shortest.
      let feed = try EventFeed.start(root: root, preferInotify: preferInotify, logger: Self.logger) { batch in
        known.withLock { known in
          for event in batch {
            switch event {
            case .made(let id): if (try? root.hierarchy.directory(id: id)) != nil { known.insert(id) }
            case .removed(let id): known.remove(id)
            case .unknown:
              known = []
              try? root.walk { known.insert($0.id) }
            default: break
            }
          }
        }
        told.take(batch)
      }
      defer { feed.stop() }
      var expected: Set<CgroupID> = [root.id]
      for number in 0..<300 {
        let parent = try sandbox.makeCgroup("p\(number % 7)/q\(number % 31)")
        let cgroup = try sandbox.makeCgroup("p\(number % 7)/q\(number % 31)/c\(number)")
        if number % 3 == 0 { try cgroup.remove() } else { expected.insert(cgroup.id) }
        expected.insert(parent.id)
        expected.insert(try sandbox.makeCgroup("p\(number % 7)").id)
      }
      await told.wait { _ in known.withLock { $0 == expected } }
      #expect(known.withLock { $0 } == expected)
    }
  }

  @Test("With inotify a tag, a process that moves in and one that ends are told as something")
  func inotifyKinds() async throws {
    try await withSandbox { sandbox in
      let told = ToldEvents()
      let feed = try EventFeed.start(
        root: sandbox.cgroup, preferInotify: true, logger: Self.logger, handler: told.take)
      defer { feed.stop() }
      func awaitChange() async {
        await told.wait { $0.contains(.unknown) }
        told.clear()
      }
      await awaitChange()
      let cgroup = try sandbox.makeCgroup("a")
      await awaitChange()
      try cgroup.setLabels(Array("app=web".utf8))
      await awaitChange()
      let child = try sandbox.start(["sleep", "60"])
      try child.handle.move(to: cgroup)
      await awaitChange()
      try child.handle.send(signal: 9)
      _ = try child.wait()
      await awaitChange()
      try cgroup.remove()
      await awaitChange()
    }
  }
}
