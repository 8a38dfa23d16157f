// What goes wrong between the wanted state and the kernel.

import Kernel

/// A change of the datapath that failed; the state before it is in force unless the description says otherwise.
package struct DatapathError: ExplainedError, Sendable {
  /// What was attempted, such as `write sp_policy`.
  package let operation: String
  /// On what: a path, a map, a workload.
  package let subject: String
  /// Why, in words.
  package let reason: String
  /// The error of the layer below, if there is one; its details, such as a verifier's log, are there.
  package let underlying: (any Error)?
  /// What to do about it, if we know.
  package let remedy: String?

  /// States a failure; reason and remedy are those of the layer below where none is given.
  package init(
    _ operation: String, _ subject: String, reason: String = "", underlying: (any Error)? = nil, remedy: String? = nil
  ) {
    self.operation = operation
    self.subject = subject
    let below = underlying as? any ExplainedError
    self.reason = reason.isEmpty ? below?.problem ?? underlying.map { "\($0)" } ?? "failed" : reason
    self.underlying = underlying
    self.remedy = remedy ?? (reason.isEmpty ? below?.remedy : nil)
  }

  /// Operation, subject and reason.
  package var problem: String { "\(operation) \(subject): \(reason)" }

  /// What was attempted, if the layer below lacks a privilege.
  package var denied: String? { (underlying as? any ExplainedError)?.denied }

  /// What the verifier said to the layer below.
  package var fullLog: String? { (underlying as? any ExplainedError)?.fullLog }
}
