// Notices when cgroups below the agent's come, go, are tagged, entered or left; says only that, never what.
public import Kernel

/// Watches every directory of a cgroup subtree with inotify.
public struct WorkloadWatcher: Sendable {
  private let root: CgroupDirectory

  /// Watches below and including `root`.
  public init(root: CgroupDirectory) { self.root = root }

  /// Calls `changed` once at the start and after every change, until the task is cancelled.
  ///
  /// - Throws: when the subtree cannot be watched, such as at the limit `fs.inotify.max_user_watches`.
  public func run(_ changed: @Sendable () -> Void) async throws {
    let (stream, continuation) = AsyncThrowingStream.makeStream(
      of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let events = try InotifyEvents.start(root: root, failed: { continuation.finish(throwing: $0) }) { _ in
      continuation.yield()
    }
    defer { events.stop() }
    for try await _ in stream { changed() }
  }
}
