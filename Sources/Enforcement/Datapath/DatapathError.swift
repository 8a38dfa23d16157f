// What goes wrong between the wanted state and the kernel.

/// A change of the datapath that failed; the state before it is in force unless the description says otherwise.
public struct DatapathError: Error, Sendable, CustomStringConvertible {
  /// What was attempted, such as `write sp_policy`.
  public let operation: String
  /// On what: a path, a map, a workload.
  public let subject: String
  /// Why, in words.
  public let reason: String
  /// The error of the layer below, if there is one; its details, such as a verifier's log, are there.
  public let underlying: (any Error)?
  /// What to do about it, if we know.
  public let remedy: String?

  /// States a failure.
  public init(
    _ operation: String, _ subject: String, reason: String = "", underlying: (any Error)? = nil, remedy: String? = nil
  ) {
    self.operation = operation
    self.subject = subject
    self.reason = reason.isEmpty ? underlying.map { "\($0)" } ?? "failed" : reason
    self.underlying = underlying
    self.remedy = remedy
  }

  /// One line.
  public var description: String {
    let line = "\(operation) \(subject): \(reason)"
    return remedy.map { "\(line); \($0)" } ?? line
  }
}
