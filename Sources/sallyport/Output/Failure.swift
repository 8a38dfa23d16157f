// How a command fails: one line with its remedy, and an exit code that scripts can rely on.
internal import Evidence
internal import Glibc
internal import Kernel

/// The exit codes of every command.
enum ExitStatus: Int32, Sendable {
  /// Done.
  case done = 0
  /// Refused, invalid, or it failed on the way.
  case refused = 1
  /// The command line was not understood.
  case usage = 2
  /// Nothing is enforced, or no agent answers.
  case notEnforcing = 3
  /// The caller lacks a privilege.
  case notPermitted = 4
  /// Ready, with something to know or to improve.
  case remarks = 5
  /// Something that matters could not be looked at.
  case unclear = 6
}

/// A failure that is shown as `sallyport: PROBLEM; REMEDY`.
struct Failure: Error, CustomStringConvertible {
  /// What went wrong, with its subject.
  var problem: String
  /// What to do about it; empty if nothing better than the problem can be said.
  var remedy: String
  /// How the process ends.
  var status: ExitStatus

  init(_ problem: String, remedy: String = "", status: ExitStatus = .refused) {
    self.problem = problem
    self.remedy = remedy
    self.status = status
  }

  var description: String { remedy.isEmpty ? problem : "\(problem); \(remedy)" }

  /// What a command says whose caller lacks a privilege; root reads the kernel's own words instead.
  static func denied(_ error: any ExplainedError) -> Failure {
    guard geteuid() != 0, let attempt = error.denied else {
      return Failure(error.problem, remedy: error.remedy ?? "", status: error.denied == nil ? .refused : .notPermitted)
    }
    return Failure("\(attempt): permission denied", remedy: "run as root", status: .notPermitted)
  }
}

/// The two streams of a command: results, and all that is not a result.
enum Terminal {
  /// Writes a result and a newline to standard output.
  static func print(_ text: String) { write(text + "\n", to: 1) }

  /// Writes a result that is one line, whatever names of cgroups and processes it quotes, and a newline.
  static func printLine(_ text: String) { write(text.shownSafely + "\n", to: 1) }

  /// Writes text as it is to standard output.
  static func write(_ text: String) { write(text, to: 1) }

  /// Writes what is only for who watches to standard error, as it is.
  static func hint(_ text: String) { write(text, to: 2) }

  /// Writes bytes as they are to standard output.
  static func write(_ bytes: [UInt8]) { write(bytes, to: 1) }

  /// Writes a diagnostic and a newline to standard error.
  static func complain(_ text: String) { write("sallyport: \(text)\n", to: 2) }

  /// Writes a warning and a newline to standard error.
  static func warn(_ text: String) { write("sallyport: warning: \(text.shownSafely)\n", to: 2) }

  /// How many columns standard output has; nil when it is no terminal.
  static var width: Int? {
    var size = winsize()
    guard unsafe ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 20 else { return nil }
    return Int(size.ws_col)
  }

  private static func write(_ text: String, to descriptor: Int32) { write(Array(text.utf8), to: descriptor) }

  private static func write(_ bytes: [UInt8], to descriptor: Int32) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
      // A reader that has gone (`| head`) ends the command quietly, as SIGPIPE would.
      if count < 0 && errno == EPIPE { exit(0) }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }
}
