// What a map does when the kernel has no entry ready for a write.
internal import Glibc
internal import SystemPackage

/// Decides how long a write that found no free entry is tried again.
///
/// A map that is not preallocated takes entries from a small stock, which the kernel refills a moment after it is empty
/// (kernel/bpf/memalloc.c); values per CPU come from pages that a worker of the kernel populates (mm/percpu.c). Thousands
/// of new entries at once outrun both, and on a busy machine the worker itself waits for a processor. The kernel reports
/// no event, so the write is tried again after 50 µs, 100 µs … 100 ms.
struct EntryStock {
  /// For how long a write that makes no progress is tried again, in microseconds.
  var patience: UInt32 = 10_000_000
  private var waited: UInt32 = 0
  private var next: UInt32 = 50

  init(patience: UInt32 = 10_000_000) { self.patience = patience }

  /// Waits and returns true if a write that ended with `rc` is worth another attempt.
  mutating func mayTryAgain(after rc: Int32, madeProgress: Bool = false) -> Bool {
    guard rc == -Errno.noMemory.rawValue else { return false }
    if madeProgress { (waited, next) = (0, 50) }
    guard waited < patience else { return false }
    usleep(next)
    waited += next
    next = min(next * 2, 100_000)
    return true
  }
}
