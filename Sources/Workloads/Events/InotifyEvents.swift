// Where the kernel's tracepoints cannot be had: inotify on every cgroup directory, which tells that, not what.
internal import Glibc
package import Kernel
internal import Synchronization
internal import SystemPackage

/// A running watch over a cgroup subtree; it ends with `stop()` or with this object.
///
/// Every change is told as `.unknown`. Executions and exits are not told, and neither is a fork.
package final class InotifyEvents: Sendable {
  private let thread: InotifyThread
  private let tree: Tree

  /// Starts telling `handler` that something changed at or below `root`: once at the start, then for every batch.
  ///
  /// `failed` is called when a part of the subtree cannot be watched any more, such as at the limit
  /// `fs.inotify.max_user_watches`: what happens there is not told from then on.
  package static func start(
    root: CgroupDirectory, failed: @escaping @Sendable (KernelError) -> Void = { _ in },
    handler: @escaping @Sendable ([WorkloadEvent]) -> Void
  ) throws(KernelError) -> InotifyEvents {
    let tree = Tree(root: root, failed: failed, handler: handler)
    let thread = try InotifyThread.start("cgroup-inotify") { paths throws(KernelError) in
      try tree.watch(root, paths)
    } handle: { paths, batch in
      tree.handle(paths, batch)
    }
    handler([.unknown])
    return InotifyEvents(thread, tree)
  }

  private init(_ thread: InotifyThread, _ tree: Tree) {
    self.thread = thread
    self.tree = tree
  }

  deinit { stop() }

  /// Whether everything is watched.
  package var isComplete: Bool { tree.isComplete.load(ordering: .relaxed) }

  /// Ends the watch and waits for its thread; the second call does nothing.
  package func stop() { thread.stop() }

  /// What the thread does.
  private final class Tree: Sendable {
    let root: CgroupDirectory
    let failed: @Sendable (KernelError) -> Void
    let handler: @Sendable ([WorkloadEvent]) -> Void
    let isComplete = Atomic<Bool>(true)

    init(
      root: CgroupDirectory, failed: @escaping @Sendable (KernelError) -> Void,
      handler: @escaping @Sendable ([WorkloadEvent]) -> Void
    ) {
      self.root = root
      self.failed = failed
      self.handler = handler
    }

    /// Directories come and go, attributes are written, processes are moved in (a write to `cgroup.procs`) or end (the
    /// kernel notifies `cgroup.events`, see cgroup-v2.rst "Un-populated Notification").
    private static let mask =
      UInt32(IN_CREATE) | UInt32(IN_DELETE) | UInt32(IN_ATTRIB) | UInt32(IN_MODIFY) | UInt32(IN_ONLYDIR)

    /// Watches a directory, then what is below it: what is made meanwhile is either listed or told.
    func watch(_ cgroup: CgroupDirectory, _ paths: WatchedPaths) throws(KernelError) {
      try cgroup.walk { cgroup throws(KernelError) in
        guard let location = cgroup.hierarchy.location(of: cgroup.path) else { return }
        try paths.add(location, mask: Self.mask)
        // The kernel notifies only files whose inode somebody holds. The hierarchy's root has no such file.
        if cgroup.level > 0 { try paths.add(location.appending("cgroup.events"), mask: UInt32(IN_MODIFY)) }
      }
    }

    func handle(_ paths: WatchedPaths, _ batch: [FileEvent]) {
      if batch.contains(where: \.isOverflow) {
        follow(root, paths)
      } else {
        for event in batch where event.mask & UInt32(IN_CREATE) != 0 && event.mask & UInt32(IN_ISDIR) != 0 {
          guard let name = event.name else { continue }
          guard let cgroup = try? root.hierarchy.directory(mountedAt: event.path.appending(name.components)) else {
            continue
          }
          follow(cgroup, paths)
        }
      }
      // The last word on a watch whose directory is gone; its end was told before.
      guard batch.contains(where: { $0.mask & ~UInt32(IN_IGNORED) != 0 }) else { return }
      handler([.unknown])
    }

    private func follow(_ cgroup: CgroupDirectory, _ paths: WatchedPaths) {
      do {
        try watch(cgroup, paths)
      } catch {
        // Gone again.
        guard error.errno != .noSuchFileOrDirectory, error.errno.rawValue != ENODEV else { return }
        if isComplete.exchange(false, ordering: .relaxed) { failed(error) }
      }
    }
  }
}
