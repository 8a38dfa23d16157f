// What the kernel says about its clock: whether somebody keeps it in time.
internal import CLinux
internal import SystemPackage

/// The state of the wall clock (adjtimex(2)).
package struct ClockState: Equatable, Sendable {
  /// Whether a time service says that the clock is synchronized.
  package var isSynchronized: Bool
  /// How far it may be off at most, in microseconds, as that service says.
  package var maximumError: Int64
  /// What is still being corrected, in microseconds.
  package var offset: Int64

  /// States a state.
  package init(isSynchronized: Bool, maximumError: Int64, offset: Int64) {
    self.isSynchronized = isSynchronized
    self.maximumError = maximumError
    self.offset = offset
  }

  /// Asks the kernel and changes nothing; needs no privilege.
  package static func current() throws(KernelError) -> ClockState {
    var state = sp_clock_state()
    try check(unsafe sp_read_clock_state(&state), "read", "state of the clock")
    return ClockState(
      isSynchronized: state.synchronized != 0, maximumError: state.maximum_error, offset: state.offset)
  }
}
