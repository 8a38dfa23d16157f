// How often a program ran and how long, by the kernel's own clock.
internal import CLibbpf
package import Kernel
internal import SystemPackage

/// What the kernel has counted of a program while somebody asked it to.
package struct ProgramStatistics: Equatable, Sendable {
  /// Nanoseconds in the program, the reading of the clock included.
  package let nanoseconds: UInt64
  /// How often it ran.
  package let runs: UInt64

  /// Has the kernel count from now on, in every program of the host; it ends with the result's descriptor.
  ///
  /// Two readings of the clock are added to every run, so nothing else should be measured meanwhile.
  /// The corresponding function is `bpf_enable_stats` with BPF_STATS_RUN_TIME; kernel 5.8.
  package static func enable() throws(BPFError) -> OwnedDescriptor {
    let raw = bpf_enable_stats(BPF_STATS_RUN_TIME)
    try checkBPF(raw, "count run times of", "all programs")
    return OwnedDescriptor(adopting: raw)
  }
}

extension BPFProgram {
  /// What was counted while counting was enabled; two readings differ by what ran in between.
  package borrowing func statistics() throws(BPFError) -> ProgramStatistics {
    var info = bpf_prog_info()
    var size = UInt32(MemoryLayout<bpf_prog_info>.size)
    try checkBPF(unsafe bpf_obj_get_info_by_fd(descriptor.raw, &info, &size), "read statistics of", name)
    return ProgramStatistics(nanoseconds: info.run_time_ns, runs: info.run_cnt)
  }
}
