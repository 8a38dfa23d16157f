// One program that waits to begin, until its process is where its labels are enforced.
package import Kernel
internal import Synchronization

/// A process that is about to run an executable that some rule names; it waits inside execve(2).
///
/// It still is its old program, and goes on when `allow()` is called, when this object goes, or when its time is up.
package final class PendingExecution: Sendable {
  /// What it is about to be: the executable's path on the host, user and group as they are now.
  package let traits: ProcessTraits
  private let held: HeldEntry

  init(_ held: HeldEntry, _ traits: ProcessTraits) {
    self.held = held
    self.traits = traits
  }

  /// Lends the process, which can be moved while it waits.
  package func withProcess<Result, Failure: Error>(
    _ body: (borrowing ProcessHandle) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(held.execution.process)
  }

  /// Lets it go on; the second call does nothing.
  package func allow() { held.allow() }

  deinit { held.allow() }
}

/// What the guard keeps of an exec that waits; whoever answers first does.
final class HeldEntry: Sendable {
  let execution: HeldExecution
  /// In nanoseconds of the monotonic clock.
  let deadline: UInt64
  /// Nil once it is answered: the group closes when the guard and all that wait have let go of it.
  private let permissions: Mutex<ExecutionPermissions?>
  private let answered: @Sendable () -> Void

  init(
    _ execution: consuming HeldExecution, deadline: UInt64, permissions: ExecutionPermissions,
    answered: @escaping @Sendable () -> Void
  ) {
    self.execution = execution
    self.deadline = deadline
    self.permissions = Mutex(permissions)
    self.answered = answered
  }

  var hasAnswer: Bool { permissions.withLock { $0 == nil } }

  /// True for the first caller.
  @discardableResult
  func allow() -> Bool {
    guard let permissions = permissions.withLock({ $0.take() }) else { return false }
    permissions.allow(execution.file)
    answered()
    return true
  }

  // Nothing that is forgotten waits for ever.
  deinit { allow() }
}
