// What every failed system call becomes: operation, subject, errno and what to do about it.
package import SystemPackage

/// A system call, or a read of a kernel file, that failed.
package struct KernelError: ExplainedError, Equatable, Sendable {
  /// What was attempted, such as `open cgroup`.
  package let operation: String
  /// On what: a path, a process id, a name.
  package let subject: String
  /// Why the kernel refused.
  package let errno: Errno
  /// What the reader can do about it, if we know.
  package let remedy: String?

  /// States a failure.
  package init(_ operation: String, _ subject: String, _ errno: Errno, remedy: String? = nil) {
    self.operation = operation
    self.subject = subject
    self.errno = errno
    self.remedy = remedy
  }

  /// Operation, subject and reason.
  package var problem: String { "\(operation) \(subject): \(Self.describe(errno))" }

  /// What was attempted, if a privilege is missing.
  package var denied: String? { errno.isDenial ? "\(operation) \(subject)" : nil }

  /// The reason in words; the C library has none for 524, which is the kernel's internal ENOTSUPP.
  package static func describe(_ errno: Errno) -> String {
    errno.rawValue == 524 ? "not supported by this kernel (ENOTSUPP)" : errno.description
  }
}

extension Errno {
  /// ENODEV, which the system package does not name.
  static var missingDevice: Errno { Errno(rawValue: 19) }

  /// EPERM or EACCES.
  package var isDenial: Bool { self == .notPermitted || self == .permissionDenied }
}

/// Turns a return value of -errno into a thrown error; anything else is the result.
///
/// The shims of CLinux and libbpf both return -errno, so errno itself is never read late.
@discardableResult
package func check(
  _ rc: Int32, _ operation: @autoclosure () -> String, _ subject: @autoclosure () -> String,
  remedy: @autoclosure () -> String? = nil
) throws(KernelError) -> Int32 {
  guard rc < 0 else { return rc }
  throw KernelError(operation(), subject(), Errno(rawValue: -rc), remedy: remedy())
}
