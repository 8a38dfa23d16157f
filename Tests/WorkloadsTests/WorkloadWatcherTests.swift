// Does the watch over cgroupfs announce what happens there?
import Kernel
import TestSupport
import Testing
import Workloads

@Suite(.requires(.root, .cgroups)) struct WorkloadWatcherTests {
  @Test("The watcher announces a new cgroup, a tag in it, and its end", .timeLimit(.minutes(1)))
  func watcher() async throws {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
    try await withSandbox { sandbox in
      let watcher = WorkloadWatcher(root: sandbox.cgroup)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await watcher.run { continuation.yield() } }
        var changes = stream.makeAsyncIterator()
        await changes.next()
        let child = try sandbox.makeCgroup("new")
        await changes.next()
        // The new directory is watched as well: writing its attribute is announced, whatever came in between.
        try child.setLabels(Array("app=web".utf8))
        await changes.next()
        try child.remove()
        await changes.next()
        group.cancelAll()
      }
    }
  }
}
