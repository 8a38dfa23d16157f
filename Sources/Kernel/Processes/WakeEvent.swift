// Wakes a thread that waits in poll(2): an eventfd(2).
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A wake-up that any thread may give and one thread waits for, beside its other descriptors.
package final class WakeEvent: Sendable {
  private let owned: OwnedDescriptor

  /// Makes one that nobody has signalled.
  package init() throws(KernelError) {
    let raw = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
    owned = OwnedDescriptor(adopting: try check(raw < 0 ? -errno : raw, "create", "eventfd"))
  }

  /// To be waited for with POLLIN; stays this object's.
  package var descriptor: Int32 { owned.raw }

  /// Wakes whoever waits, now or the next time.
  package func signal() {
    var one: UInt64 = 1
    _ = unsafe write(owned.raw, &one, 8)
  }

  /// Waits until somebody signals, or the time is over; false if nobody has.
  @discardableResult
  package func wait(atMost limit: Duration) throws(KernelError) -> Bool {
    let milliseconds = Int32(clamping: Int((max(limit, .zero) / .milliseconds(1)).rounded(.up)))
    var request = pollfd(fd: owned.raw, events: Int16(POLLIN), revents: 0)
    let ready = unsafe poll(&request, 1, milliseconds)
    let error = errno
    if ready < 0, error == EINTR { return false }
    return try check(ready < 0 ? -error : ready, "wait for", "eventfd") > 0
  }

  /// Takes back all signals so far.
  package func clear() {
    var count: UInt64 = 0
    _ = unsafe read(owned.raw, &count, 8)
  }
}
