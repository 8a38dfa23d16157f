// Tells when files and directories change: inotify on a thread of its own, in batches.
internal import CLinux
internal import Glibc
internal import Synchronization
public import SystemPackage

/// One thing that happened to a watched path.
public struct FileEvent: Equatable, Sendable {
  /// The watched path; empty for an overflow, after which everything must be looked at again.
  public let path: FilePath
  /// The entry in a watched directory, or nil if it is the path itself.
  public let name: FilePath?
  /// The IN_ bits of inotify(7).
  public let mask: UInt32

  /// Whether the kernel's queue was full and events are lost.
  public var isOverflow: Bool { mask & UInt32(IN_Q_OVERFLOW) != 0 }
}

/// A running watch; the stream ends with `stop()` or with this object.
public final class FileWatch: Sendable {
  /// Batches of events.
  ///
  /// When nobody reads, old batches are dropped and counted: look at everything again then.
  public let events: AsyncStream<[FileEvent]>
  private let shared: SharedState
  private let thread: Mutex<DedicatedThread?>

  /// What usually matters: contents written whole, entries made, moved, removed.
  public static var changes: UInt32 {
    UInt32(IN_CLOSE_WRITE) | UInt32(IN_CREATE) | UInt32(IN_DELETE) | UInt32(IN_MOVED_FROM) | UInt32(IN_MOVED_TO)
      | UInt32(IN_DELETE_SELF) | UInt32(IN_MODIFY)
  }

  /// Watches `paths` for the IN_ bits of `mask`; throws if one of them cannot be watched.
  public static func start(_ paths: [FilePath], mask: UInt32 = FileWatch.changes) throws(KernelError) -> FileWatch {
    let raw = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
    let inotify = OwnedDescriptor(adopting: try check(raw < 0 ? -errno : raw, "create", "inotify"))
    var watched: [Int32: FilePath] = [:]
    for path in paths {
      let number = unsafe path.withPlatformString { unsafe inotify_add_watch(inotify.raw, $0, mask) }
      watched[try check(number < 0 ? -errno : number, "watch", path.description)] = path
    }
    let event = eventfd(0, Int32(EFD_CLOEXEC))
    let stopEvent = OwnedDescriptor(adopting: try check(event < 0 ? -errno : event, "create", "eventfd"))
    let (stream, continuation) = AsyncStream.makeStream(of: [FileEvent].self, bufferingPolicy: .bufferingNewest(64))
    let shared = SharedState(stopEvent: stopEvent)
    let reader = InotifyReader(
      inotify: inotify, watched: watched, continuation: continuation, shared: shared)
    let thread = try DedicatedThread.start("inotify") { reader.run() }
    return FileWatch(events: stream, shared: shared, thread: thread)
  }

  private init(
    events: AsyncStream<[FileEvent]>, shared: SharedState, thread: consuming DedicatedThread
  ) {
    self.events = events
    self.shared = shared
    self.thread = Mutex(thread)
  }

  deinit { stop() }

  /// Batches that were dropped because nobody read them.
  public var droppedBatches: Int { shared.dropped.load(ordering: .relaxed) }

  /// Ends the stream and waits for the thread; the second call does nothing.
  public func stop() {
    guard let running = thread.withLock({ $0.take() }) else { return }
    var one: UInt64 = 1
    _ = unsafe write(shared.stopEvent.raw, &one, 8)
    running.join()
  }
}

/// What the reader's thread counts, and the event that ends it; both sides own it, whichever goes first.
private final class SharedState: Sendable {
  let stopEvent: OwnedDescriptor
  let dropped = Atomic<Int>(0)

  init(stopEvent: consuming OwnedDescriptor) { self.stopEvent = stopEvent }
}

/// The loop of the watch's thread; belongs to that thread alone.
private final class InotifyReader {
  private let inotify: OwnedDescriptor
  private let watched: [Int32: FilePath]
  private let continuation: AsyncStream<[FileEvent]>.Continuation
  private let shared: SharedState

  init(
    inotify: consuming OwnedDescriptor, watched: [Int32: FilePath],
    continuation: AsyncStream<[FileEvent]>.Continuation, shared: SharedState
  ) {
    self.inotify = inotify
    self.watched = watched
    self.continuation = continuation
    self.shared = shared
  }

  func run() {
    while waitForEvents() {
      let batch = readEvents()
      guard !batch.isEmpty else { continue }
      if case .dropped = continuation.yield(batch) { shared.dropped.add(1, ordering: .relaxed) }
    }
    continuation.finish()
  }

  /// False once the stop event was set.
  private func waitForEvents() -> Bool {
    var requests = (
      pollfd(fd: inotify.raw, events: Int16(POLLIN), revents: 0),
      pollfd(fd: shared.stopEvent.raw, events: Int16(POLLIN), revents: 0)
    )
    _ = unsafe withUnsafeMutableBytes(of: &requests) { bytes in
      unsafe poll(bytes.baseAddress?.assumingMemoryBound(to: pollfd.self), 2, -1)
    }
    return requests.1.revents == 0
  }

  private func readEvents() -> [FileEvent] {
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(inotify.raw, $0.baseAddress, $0.count) }
    let span = unsafe bytes.span.bytes
    let headSize = MemoryLayout<inotify_event>.size
    var events: [FileEvent] = []
    var offset = 0
    while offset + headSize <= count {
      // watch, mask, cookie, length: the C struct ends in a flexible array and is no plain value to Swift.
      let watch = unsafe span.unsafeLoadUnaligned(fromByteOffset: offset, as: Int32.self)
      let mask = unsafe span.unsafeLoadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
      let length = unsafe span.unsafeLoadUnaligned(fromByteOffset: offset + 12, as: UInt32.self)
      let nameEnd = offset + headSize + Int(length)
      guard nameEnd <= count else { break }
      let name = FilePath(bytes: Array(bytes[offset + headSize..<nameEnd]))
      events.append(FileEvent(path: watched[watch] ?? FilePath(), name: name.isEmpty ? nil : name, mask: mask))
      offset = nameEnd
    }
    return events
  }
}
