// Notices when cgroups below the agent's come, go, are tagged, entered or left.
internal import Glibc
public import Kernel
internal import SystemPackage

/// Watches every directory of a cgroup subtree; says only that something changed, never what.
public struct WorkloadWatcher: Sendable {
  private let root: CgroupDirectory

  /// Watches below and including `root`.
  public init(root: CgroupDirectory) { self.root = root }

  /// Calls `changed` once at the start and after every change, until the task is cancelled.
  ///
  /// - Throws: when the subtree cannot be watched, such as at the limit `fs.inotify.max_user_watches`.
  public func run(_ changed: @Sendable () -> Void) async throws {
    while !Task.isCancelled {
      let paths = try self.paths()
      guard let watch = try watch(paths) else {
        // If it was the root itself that went, this throws: there is nothing left to watch.
        _ = try root.hierarchy.directory(at: root.path)
        continue
      }
      changed()
      // What was made between the listing and the watching has no watch yet, and nobody told us of it.
      if try self.paths() == paths { await follow(watch, changed) }
      watch.stop()
    }
  }

  /// Announces changes until one of them makes other paths matter.
  private func follow(_ watch: FileWatch, _ changed: @Sendable () -> Void) async {
    for await batch in watch.events {
      changed()
      if batch.contains(where: Self.changesTheTree) { return }
    }
  }

  /// Nil when a cgroup went between the listing and the watching: list again.
  private func watch(_ paths: [FilePath]) throws(KernelError) -> FileWatch? {
    do {
      return try FileWatch.start(paths, mask: Self.mask)
    } catch {
      if error.errno == .noSuchFileOrDirectory { return nil }
      let isLimit = error.errno == .noSpace || error.errno == .tooManyOpenFiles
      throw KernelError(
        error.operation, error.subject, error.errno,
        remedy: isLimit ? "raise the sysctls fs.inotify.max_user_watches and max_user_instances" : error.remedy)
    }
  }

  /// Directories come and go, attributes are written, processes are moved in (a write to `cgroup.procs`) or end (the
  /// kernel notifies `cgroup.events`, see cgroup-v2.rst "Un-populated Notification").
  private static let mask =
    UInt32(IN_CREATE) | UInt32(IN_DELETE) | UInt32(IN_MOVED_FROM) | UInt32(IN_MOVED_TO) | UInt32(IN_ATTRIB)
    | UInt32(IN_MODIFY)

  private static func changesTheTree(_ event: FileEvent) -> Bool {
    if event.isOverflow { return true }
    let structural = UInt32(IN_CREATE) | UInt32(IN_DELETE) | UInt32(IN_MOVED_FROM) | UInt32(IN_MOVED_TO)
    return event.mask & structural != 0 && event.mask & UInt32(IN_ISDIR) != 0
  }

  /// Every directory, and each one's `cgroup.events`: the kernel notifies only files whose inode somebody holds.
  private func paths() throws(KernelError) -> [FilePath] {
    var paths: [FilePath] = []
    try root.walk { cgroup throws(KernelError) in
      guard let location = cgroup.hierarchy.location(of: cgroup.path) else { return }
      paths.append(location)
      // The root of the hierarchy has no such file.
      if cgroup.level > 0 { paths.append(location.appending("cgroup.events")) }
    }
    return paths
  }
}
