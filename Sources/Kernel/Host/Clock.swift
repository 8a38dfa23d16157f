// The kernel's clocks, in its own nanoseconds.
internal import CLinux
internal import Glibc

/// Readings of the clocks that BPF programs stamp their records with.
package enum Clock {
  /// Nanoseconds since boot, time asleep included: `bpf_ktime_get_boot_ns`.
  package static func bootNanoseconds() -> UInt64 { read(CLOCK_BOOTTIME) }

  /// Nanoseconds since boot, time asleep left out: `bpf_ktime_get_ns`.
  package static func monotonicNanoseconds() -> UInt64 { read(CLOCK_MONOTONIC) }

  /// Nanoseconds since 1970 in UTC; may jump.
  package static func wallNanoseconds() -> UInt64 { read(CLOCK_REALTIME) }

  private static func read(_ clock: Int32) -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}

/// Returns after every CPU has passed a quiescent state: nobody reads what was replaced before the call.
///
/// Tries membarrier(2); where that is refused (a seccomp filter, nohz_full) moves this thread over every CPU, which
/// forces a context switch on each. Throws if neither works.
package func gracePeriod() throws(KernelError) {
  guard sp_membarrier_global() < 0 else { return }
  try check(sp_visit_every_cpu(), "wait for", "grace period")
}
