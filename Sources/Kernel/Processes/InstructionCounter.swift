// Instructions that a thread executes, as the processor counts them: the same however busy the machine is.
internal import CLinux
internal import Glibc

/// A counter of the instructions of one thread, in the kernel and outside.
package struct InstructionCounter: ~Copyable, Sendable {
  private let descriptor: OwnedDescriptor

  /// Counts the calling thread from now on; nil where the processor has no counters, as in most virtual machines, or
  /// where this process may not use them.
  ///
  /// The corresponding function is `perf_event_open` with PERF_COUNT_HW_INSTRUCTIONS.
  package static func ofThisThread() -> InstructionCounter? {
    let raw = sp_instruction_counter()
    return raw < 0 ? nil : InstructionCounter(descriptor: OwnedDescriptor(adopting: raw))
  }

  /// Instructions so far; nil if the counter did not run, because others had all of the processor's.
  package var count: UInt64? {
    var value: UInt64 = 0
    let rc = unsafe withUnsafeMutableBytes(of: &value) { unsafe read(descriptor.raw, $0.baseAddress, $0.count) }
    return rc == 8 && value > 0 ? value : nil
  }
}
