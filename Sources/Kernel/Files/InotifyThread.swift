// inotify(7) on a thread of its own: what is watched, and batches of what happened to it.
internal import CLinux
internal import Glibc
internal import Synchronization
package import SystemPackage

/// One thing that happened to a watched path.
package struct FileEvent: Equatable, Sendable {
  /// The watched path; empty for an overflow, after which everything must be looked at again.
  package let path: FilePath
  /// The entry in a watched directory, or nil if it is the path itself.
  package let name: FilePath?
  /// The IN_ bits of inotify(7).
  package let mask: UInt32

  /// Whether the kernel's queue was full and events are lost.
  package var isOverflow: Bool { mask & UInt32(IN_Q_OVERFLOW) != 0 }
}

/// What an inotify instance watches; belongs to the instance's thread once that runs.
package final class WatchedPaths {
  fileprivate let inotify: OwnedDescriptor
  private var paths: [Int32: FilePath] = [:]

  fileprivate init() throws(KernelError) {
    let raw = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
    inotify = OwnedDescriptor(adopting: try check(raw < 0 ? -errno : raw, "create", "inotify"))
  }

  /// How many there are.
  package var count: Int { paths.count }

  /// Watches a path for the IN_ bits of `mask`; one that is watched already stays so.
  package func add(_ path: FilePath, mask: UInt32) throws(KernelError) {
    let number = unsafe path.withPlatformString { unsafe inotify_add_watch(inotify.raw, $0, mask) }
    let error = number < 0 ? -errno : number
    let isLimit = error == -ENOSPC
    paths[
      try check(
        error, "watch", path.description, remedy: isLimit ? "raise the sysctl fs.inotify.max_user_watches" : nil)] =
      path
  }

  /// The events that wait.
  fileprivate func readEvents() -> [FileEvent] {
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
      events.append(FileEvent(path: paths[watch] ?? FilePath(), name: name.isEmpty ? nil : name, mask: mask))
      // The kernel's last word on a watch: its path is gone.
      if mask & UInt32(IN_IGNORED) != 0 { paths[watch] = nil }
      offset = nameEnd
    }
    return events
  }
}

/// A running inotify instance; it ends with `stop()` or with this object.
package final class InotifyThread: Sendable {
  /// Ends the thread; both sides own it, whichever goes first.
  private let stopEvent: WakeEvent
  private let thread: Mutex<DedicatedThread?>

  /// Starts an instance.
  ///
  /// `prepare` runs at once and says what to watch; `handle` runs on the thread for every batch, and may watch more;
  /// `finish` runs on the thread when it ends.
  package static func start(
    _ name: String = "inotify", prepare: (WatchedPaths) throws(KernelError) -> Void,
    handle: @escaping @Sendable (WatchedPaths, [FileEvent]) -> Void, finish: @escaping @Sendable () -> Void = {}
  ) throws(KernelError) -> InotifyThread {
    let paths = try WatchedPaths()
    try prepare(paths)
    let stop = try WakeEvent()
    let reader = Reader(paths: paths, stop: stop, handle: handle, finish: finish)
    let thread = try DedicatedThread.start(name) { reader.run() }
    return InotifyThread(stop, thread)
  }

  private init(_ stopEvent: WakeEvent, _ thread: consuming DedicatedThread) {
    self.stopEvent = stopEvent
    self.thread = Mutex(thread)
  }

  deinit { stop() }

  /// Ends the thread and waits for it; the second call does nothing.
  package func stop() {
    guard let running = thread.withLock({ $0.take() }) else { return }
    stopEvent.signal()
    running.join()
  }

  /// The loop of the thread; belongs to it alone.
  private final class Reader {
    private let paths: WatchedPaths
    private let stop: WakeEvent
    private let handle: @Sendable (WatchedPaths, [FileEvent]) -> Void
    private let finish: @Sendable () -> Void

    init(
      paths: WatchedPaths, stop: WakeEvent, handle: @escaping @Sendable (WatchedPaths, [FileEvent]) -> Void,
      finish: @escaping @Sendable () -> Void
    ) {
      self.paths = paths
      self.stop = stop
      self.handle = handle
      self.finish = finish
    }

    func run() {
      while waitForEvents() {
        let batch = paths.readEvents()
        if !batch.isEmpty { handle(paths, batch) }
      }
      finish()
    }

    /// False once the stop event was set.
    private func waitForEvents() -> Bool {
      var requests = (
        pollfd(fd: paths.inotify.raw, events: Int16(POLLIN), revents: 0),
        pollfd(fd: stop.descriptor, events: Int16(POLLIN), revents: 0)
      )
      _ = unsafe withUnsafeMutableBytes(of: &requests) { bytes in
        unsafe poll(bytes.baseAddress?.assumingMemoryBound(to: pollfd.self), 2, -1)
      }
      return requests.1.revents == 0
    }
  }
}
