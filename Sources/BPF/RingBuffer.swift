// Reads a BPF ring buffer on a thread of its own and hands over batches of fixed-size records.
internal import CLibbpf
internal import CLinux
internal import Glibc
package import Kernel
internal import Synchronization
internal import SystemPackage

/// A running reader of a ring buffer map; records arrive in the order of the ring.
///
/// The thread drains the ring when the kernel wakes it and at least once per timeout, because producers may commit
/// with BPF_RB_NO_WAKEUP.
package final class RingBuffer: Sendable {
  /// Counters that the reading thread writes and everybody may read.
  package struct Counts: Equatable, Sendable {
    /// Records handed to the handler.
    package var records: UInt64
    /// Records whose size was not that of the record type; they were skipped.
    package var malformed: UInt64
    /// Bytes that producers have written and we have not read yet.
    package var pending: UInt64

    /// States counts.
    package init(records: UInt64, malformed: UInt64, pending: UInt64) {
      self.records = records
      self.malformed = malformed
      self.pending = pending
    }
  }

  private let shared: SharedState
  private let thread: Mutex<DedicatedThread?>

  private init(shared: SharedState, thread: consuming DedicatedThread) {
    self.shared = shared
    self.thread = Mutex(thread)
  }

  /// Starts reading `map`, which must be of the type ring buffer.
  ///
  /// `handler` runs on the reader's thread with at most `batch` records, which are copies; while it runs nothing is
  /// read. `timeout` is in milliseconds.
  package static func start<Record: BitwiseCopyable>(
    map: consuming OwnedDescriptor, of record: Record.Type, timeout: Int32 = 100, batch: Int = 1024,
    handler: @escaping @Sendable ([Record]) -> Void
  ) throws(BPFError) -> RingBuffer {
    let info = try MapInfo(of: map)
    guard info.type == .ringBuffer else {
      let remedy = "type is \(info.type.rawValue), expected \(MapType.ringBuffer.rawValue)"
      throw BPFError("open ring buffer", info.name, .invalidArgument, remedy: remedy)
    }
    let stop = eventfd(0, Int32(EFD_CLOEXEC))
    try checkBPF(stop < 0 ? -errno : stop, "create", "eventfd")
    let stopEvent = OwnedDescriptor(adopting: stop)
    let waiter = try Waiter(ring: map.raw, stop: stop, timeout: timeout)
    let shared = SharedState(stopEvent: stopEvent)
    let ring = try RingMemory(map: map, info: info, largest: MemoryLayout<Record>.size)
    let reader = Reader<Record>(waiter: waiter, ring: ring, shared: shared, batch: batch, handler: handler)
    do {
      let thread = try DedicatedThread.start("ring-\(info.name)") { reader.run() }
      return RingBuffer(shared: shared, thread: thread)
    } catch {
      throw BPFError(error)
    }
  }

  deinit { stop() }

  /// What was read so far.
  package var counts: Counts {
    Counts(
      records: shared.records.load(ordering: .relaxed), malformed: shared.malformed.load(ordering: .relaxed),
      pending: shared.pending.load(ordering: .relaxed))
  }

  /// Drains the ring a last time and waits for the thread to end; the second call does nothing.
  ///
  /// Called from the handler it only asks the thread to end.
  package func stop() {
    guard let running = thread.withLock({ $0.take() }) else { return }
    var one: UInt64 = 1
    _ = unsafe write(shared.stopEvent.raw, &one, 8)
    running.join()
  }
}

/// Counters that the reader's thread alone writes, and the event that ends it.
///
/// Both sides own it: a handler may drop the last reference to the reader, and the event must outlive that.
private final class SharedState: Sendable {
  let stopEvent: OwnedDescriptor
  let records = Atomic<UInt64>(0)
  let malformed = Atomic<UInt64>(0)
  let pending = Atomic<UInt64>(0)

  init(stopEvent: consuming OwnedDescriptor) { self.stopEvent = stopEvent }
}

/// Waits for the kernel's wakeup, the stop event or the timeout.
private struct Waiter: ~Copyable {
  private let epoll: OwnedDescriptor
  private let stop: Int32
  private let timeout: Int32

  init(ring: Int32, stop: Int32, timeout: Int32) throws(BPFError) {
    let raw = epoll_create1(Int32(EPOLL_CLOEXEC))
    try checkBPF(raw < 0 ? -errno : raw, "create", "epoll")
    let epoll = OwnedDescriptor(adopting: raw)
    for descriptor in [ring, stop] {
      var event = unsafe epoll_event()
      unsafe event.events = EPOLLIN.rawValue
      unsafe event.data.fd = descriptor
      let rc = unsafe epoll_ctl(raw, EPOLL_CTL_ADD, descriptor, &event)
      try checkBPF(rc < 0 ? -errno : rc, "watch", "ring buffer")
    }
    self.epoll = epoll
    self.stop = stop
    self.timeout = timeout
  }

  /// False once the stop event was set.
  borrowing func wait() -> Bool {
    var events = unsafe (epoll_event(), epoll_event())
    let count = unsafe withUnsafeMutableBytes(of: &events) { bytes in
      unsafe epoll_wait(epoll.raw, bytes.baseAddress?.assumingMemoryBound(to: epoll_event.self), 2, timeout)
    }
    if count > 0, unsafe events.0.data.fd == stop { return false }
    return unsafe !(count > 1 && events.1.data.fd == stop)
  }
}

/// The loop of the reader's thread; belongs to that thread alone.
private final class Reader<Record: BitwiseCopyable> {
  private let waiter: Waiter
  private let ring: RingMemory
  private let shared: SharedState
  private let batch: Int
  private let handler: @Sendable ([Record]) -> Void

  init(
    waiter: consuming Waiter, ring: consuming RingMemory, shared: SharedState, batch: Int,
    handler: @escaping @Sendable ([Record]) -> Void
  ) {
    self.waiter = waiter
    self.ring = ring
    self.shared = shared
    self.batch = max(batch, 1)
    self.handler = handler
  }

  func run() {
    var goOn = true
    while goOn {
      goOn = waiter.wait()
      drain()
    }
  }

  private func drain() {
    var records: [Record] = []
    var malformed: UInt64 = 0
    while true {
      records.removeAll(keepingCapacity: true)
      records.reserveCapacity(batch)
      let (isMore, oversized) = ring.read(upTo: batch) { bytes in
        if bytes.byteCount == MemoryLayout<Record>.size {
          unsafe records.append(bytes.unsafeLoadUnaligned(as: Record.self))
        } else {
          malformed += 1
        }
      }
      malformed += oversized
      if malformed > 0 { shared.malformed.add(malformed, ordering: .relaxed) }
      malformed = 0
      shared.pending.store(ring.pending, ordering: .relaxed)
      if !records.isEmpty {
        shared.records.add(UInt64(records.count), ordering: .relaxed)
        handler(records)
      }
      guard isMore else { return }
    }
  }
}

/// Makes a ring of `bytes`, a power of two and a multiple of the page size.
package func createRingBuffer(name: String, bytes: Int) throws(BPFError) -> OwnedDescriptor {
  try createMap(.ringBuffer, name: name, sizes: (0, 0), maxEntries: bytes, flags: 0, inner: nil)
}
