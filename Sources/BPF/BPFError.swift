// What every failed BPF operation becomes, with the verifier's log where there is one.
package import Kernel
package import SystemPackage

/// A BPF operation that failed.
package struct BPFError: ExplainedError, Equatable, Sendable {
  /// What was attempted, such as `load object`.
  package let operation: String
  /// On what: a program, a map, a pin.
  package let subject: String
  /// Why the kernel refused; 524 is its internal ENOTSUPP.
  package let errno: Errno
  /// What the verifier said, if it spoke.
  package let verifierLog: String?
  /// What the reader can do about it, if we know.
  package let remedy: String?

  /// States a failure; EPERM gets the remedy that names the capabilities.
  package init(
    _ operation: String, _ subject: String, _ errno: Errno, verifierLog: String? = nil, remedy: String? = nil
  ) {
    self.operation = operation
    self.subject = subject
    self.errno = errno
    self.verifierLog = verifierLog.flatMap { $0.isEmpty ? nil : $0 }
    self.remedy = remedy ?? Self.usualRemedy(errno)
  }

  /// Rewords an error of the layer below.
  package init(_ error: KernelError) {
    self.init(error.operation, error.subject, error.errno, remedy: error.remedy)
  }

  /// Operation, subject and reason: of the verifier's log the line that tells, the rest is `fullLog`.
  package var problem: String {
    "\(operation) \(subject): \(verifierLog == nil ? KernelError.describe(errno) : reason)"
  }

  /// What was attempted, if a privilege is missing; EACCES with a log is the verifier's refusal.
  package var denied: String? {
    errno == .notPermitted || errno == .permissionDenied && verifierLog == nil ? "\(operation) \(subject)" : nil
  }

  /// All that the verifier said.
  package var fullLog: String? { verifierLog }

  /// Whether the kernel said that it lacks the feature: ENOTSUPP, EOPNOTSUPP or ENOSYS.
  package var isUnsupported: Bool {
    errno.rawValue == 524 || errno == .notSupported || errno == .noFunction
  }

  private static func usualRemedy(_ errno: Errno) -> String? {
    guard errno == .notPermitted else { return nil }
    return "run with CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN before kernel 5.8"
  }
}

/// Turns a return value of -errno into a thrown error; anything else is the result.
@discardableResult
func checkBPF(
  _ rc: Int32, _ operation: @autoclosure () -> String, _ subject: @autoclosure () -> String
) throws(BPFError) -> Int32 {
  guard rc < 0 else { return rc }
  throw BPFError(operation(), subject(), Errno(rawValue: -rc))
}
