// Looks again who listens when a program meets a receiver that it was not told of.
internal import Glibc
internal import Kernel
internal import Synchronization

/// A thread that runs a body when it is asked to, at most ten times a second however often it is asked.
final class ListenerWatch: Sendable {
  private final class Shared: Sendable {
    let asked: WakeEvent
    let over: WakeEvent

    init() throws(KernelError) {
      asked = try WakeEvent()
      over = try WakeEvent()
    }

    /// Waits for a signal; false if it is over.
    func wait(for event: WakeEvent?, milliseconds: Int32) -> Bool {
      var requests = [pollfd(fd: over.descriptor, events: Int16(POLLIN), revents: 0)]
      if let event { requests.append(pollfd(fd: event.descriptor, events: Int16(POLLIN), revents: 0)) }
      _ = unsafe requests.withUnsafeMutableBufferPointer { requests in
        unsafe poll(requests.baseAddress, nfds_t(requests.count), milliseconds)
      }
      return requests[0].revents == 0
    }
  }

  private let shared: Shared
  private let thread: Mutex<DedicatedThread?>

  private init(_ shared: Shared, _ thread: consuming DedicatedThread) {
    self.shared = shared
    self.thread = Mutex(thread)
  }

  deinit { stop() }

  /// Starts it; `body` runs on its thread and must not wait for it to stop.
  static func start(_ body: @escaping @Sendable () -> Void) throws(KernelError) -> ListenerWatch {
    let shared = try Shared()
    let thread = try DedicatedThread.start("listeners") {
      while shared.wait(for: shared.asked, milliseconds: -1) {
        shared.asked.clear()
        body()
        // Who scans ports asks all the time.
        guard shared.wait(for: nil, milliseconds: 100) else { return }
      }
    }
    return ListenerWatch(shared, thread)
  }

  /// Asks for a look; returns at once.
  func ask() { shared.asked.signal() }

  /// Ends the thread and waits for it; the second call does nothing.
  func stop() {
    guard let running = thread.withLock({ $0.take() }) else { return }
    shared.over.signal()
    running.join()
  }
}
