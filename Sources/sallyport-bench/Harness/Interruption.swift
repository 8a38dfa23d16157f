// Ctrl-C and its like: noticed between batches, so that everything that was made is removed.

internal import Glibc
internal import Synchronization

/// The benchmark was told to stop.
struct Interrupted: Error, CustomStringConvertible {
  var description: String { "interrupted; everything that was made is removed" }
}

/// Signals that end the program only raise a flag, which is looked at where stopping is clean.
enum Interruption {
  private static let raised = Atomic<Bool>(false)

  /// Takes over the signals.
  ///
  /// Blocking them would not do: the runtime unblocks all of them on the main thread.
  static func arm() {
    // Touched before a handler can: nothing is initialised inside of one.
    raised.store(false, ordering: .relaxed)
    let handler: @convention(c) (Int32) -> Void = { _ in Interruption.raised.store(true, ordering: .relaxed) }
    for number in [SIGINT, SIGTERM, SIGHUP] { signal(number, handler) }
    // A worker that died is reported by the failing write, not by the end of the program.
    signal(SIGPIPE, SIG_IGN)
  }

  /// Throws if one of them came.
  static func check() throws(Interrupted) {
    if raised.load(ordering: .relaxed) { throw Interrupted() }
  }
}
