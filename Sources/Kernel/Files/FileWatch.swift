// Tells when files and directories change, as a stream of batches.
internal import Glibc
internal import Synchronization
package import SystemPackage

/// A running watch; the stream ends with `stop()` or with this object.
package final class FileWatch: Sendable {
  /// Batches of events.
  ///
  /// When nobody reads, old batches are dropped and counted: look at everything again then.
  package let events: AsyncStream<[FileEvent]>
  private let dropped: Dropped
  private let thread: InotifyThread

  private final class Dropped: Sendable { let batches = Atomic<Int>(0) }

  /// What usually matters: contents written whole, entries made, moved, removed.
  package static var changes: UInt32 {
    UInt32(IN_CLOSE_WRITE) | UInt32(IN_CREATE) | UInt32(IN_DELETE) | UInt32(IN_MOVED_FROM) | UInt32(IN_MOVED_TO)
      | UInt32(IN_DELETE_SELF) | UInt32(IN_MODIFY)
  }

  /// Watches `paths` for the IN_ bits of `mask`; throws if one of them cannot be watched.
  package static func start(_ paths: [FilePath], mask: UInt32 = FileWatch.changes) throws(KernelError) -> FileWatch {
    let (stream, continuation) = AsyncStream.makeStream(of: [FileEvent].self, bufferingPolicy: .bufferingNewest(64))
    let dropped = Dropped()
    let thread = try InotifyThread.start { watched throws(KernelError) in
      for path in paths { try watched.add(path, mask: mask) }
    } handle: { _, batch in
      if case .dropped = continuation.yield(batch) { dropped.batches.add(1, ordering: .relaxed) }
    } finish: {
      continuation.finish()
    }
    return FileWatch(stream, dropped, thread)
  }

  private init(_ events: AsyncStream<[FileEvent]>, _ dropped: Dropped, _ thread: InotifyThread) {
    self.events = events
    self.dropped = dropped
    self.thread = thread
  }

  deinit { stop() }

  /// Batches that were dropped because nobody read them.
  package var droppedBatches: Int { dropped.batches.load(ordering: .relaxed) }

  /// Ends the stream and waits for the thread; the second call does nothing.
  package func stop() { thread.stop() }
}
