// Follows the policy path: what is written there, and whatever takes its place.
internal import Enforcement
internal import Glibc
internal import Kernel
internal import Logging
internal import ServiceLifecycle
internal import SystemPackage
internal import Workloads

/// Announces changes of the policy path.
///
/// inotify tells of files that were written whole, at once. Three times a second the path itself is looked at: a link that
/// leads elsewhere, a directory that was made anew, a mount over it, and files behind links are seen by that alone.
struct PolicyWatcher: Service {
  let path: FilePath
  let changes: Changes
  let logger: Logger

  /// How often the path is looked at.
  private static let interval = Duration.milliseconds(300)
  /// For how long nothing may change before it is read: files that are copied together are read together.
  private static let settling = Duration.milliseconds(150)

  func run() async throws {
    await cancelWhenGracefulShutdown { await follow() }
  }

  private func follow() async {
    let directory = PolicyDirectory(path.string)
    while !Task.isCancelled {
      let trace = directory.trace()
      let watch = trace.isThere ? start() : nil
      if trace.isThere, watch == nil {
        logger.warning("\(path): cannot be watched by inotify and is looked at every \(Self.interval)")
      }
      changes.announcePolicy()
      await follow(watch, directory, trace)
      watch?.stop()
      if Task.isCancelled { return }
      if !directory.trace().isThere {
        logger.error("\(path): gone; the policy in force stays until it is back")
      }
      await settle(directory, everything: true)
    }
  }

  private func start() -> FileWatch? {
    let isDirectory = (try? FileKind.at(path.string)) == .directory
    // A file is watched through its directory, because editors replace files by renaming.
    let watched = isDirectory ? path : path.removingLastComponent()
    return try? FileWatch.start([watched.isEmpty ? "." : watched], mask: Self.mask)
  }

  /// Announces what changes until the path leads to another directory.
  private func follow(_ watch: FileWatch?, _ directory: PolicyDirectory, _ first: PolicyTrace) async {
    await withTaskGroup { group in
      group.addTask {
        guard let watch else { return }
        let isDirectory = (try? FileKind.at(path.string)) == .directory
        let name = path.lastComponent.map { FilePath(root: nil, [$0]) }
        for await batch in watch.events {
          guard batch.contains(where: { isDirectory || $0.isOverflow || $0.name == name }) else { continue }
          for await _ in Ticker.every(Self.settling) { break }
          if Task.isCancelled { return }
          changes.announcePolicy()
        }
      }
      await look(directory, first, everything: watch == nil)
      group.cancelAll()
    }
  }

  private func look(_ directory: PolicyDirectory, _ first: PolicyTrace, everything: Bool) async {
    var last = everything ? directory.trace(everything: true) : first
    for await _ in Ticker.every(Self.interval) {
      if Task.isCancelled { return }
      let now = directory.trace(everything: everything)
      if !now.isInSameDirectory(as: last) { return }
      guard !now.isSame(as: last) else { continue }
      last = await settle(directory, everything: everything)
      if !last.isInSameDirectory(as: now) { return }
      changes.announcePolicy()
    }
  }

  /// Waits until nothing changes any more, for at most a few rounds.
  @discardableResult
  private func settle(_ directory: PolicyDirectory, everything: Bool) async -> PolicyTrace {
    var last = directory.trace(everything: everything)
    for _ in 0..<4 {
      for await _ in Ticker.every(Self.settling) { break }
      let now = directory.trace(everything: everything)
      if now.isSame(as: last) { break }
      last = now
    }
    return last
  }

  /// Files that are written and closed, renamed or removed; not those that are still being written.
  private static let mask =
    UInt32(IN_CLOSE_WRITE) | UInt32(IN_DELETE) | UInt32(IN_MOVED_FROM) | UInt32(IN_MOVED_TO) | UInt32(IN_DELETE_SELF)
    | UInt32(IN_MOVE_SELF)
}
