// Ctrl-C and its like: noticed between batches, so that everything that was made is removed.

internal import Glibc

/// The benchmark was told to stop.
struct Interrupted: Error, CustomStringConvertible {
  var description: String { "interrupted; everything that was made is removed" }
}

/// Signals that end the program are kept pending and looked for where stopping is clean.
enum Interruption {
  private static var signals: sigset_t {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for number in [SIGINT, SIGTERM, SIGHUP] { unsafe sigaddset(&set, number) }
    return set
  }

  /// Keeps the signals pending; to be called before there is a second thread, because threads inherit it.
  static func arm() {
    var set = signals
    unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    // A worker that died is reported by the failing write, not by the end of the program.
    signal(SIGPIPE, SIG_IGN)
  }

  /// Throws if one of them came.
  static func check() throws(Interrupted) {
    var pending = sigset_t()
    guard unsafe sigpending(&pending) == 0 else { return }
    for number in [SIGINT, SIGTERM, SIGHUP] where unsafe sigismember(&pending, number) == 1 { throw Interrupted() }
  }
}
