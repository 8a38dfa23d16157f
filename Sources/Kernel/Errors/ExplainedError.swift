// What errors of every layer have in common: a reason and a remedy that can be told apart, so that no layer repeats either.

/// A failure with its reason and its remedy.
///
/// Shown as `operation subject: reason; remedy`. A layer that wraps such an error takes `problem` for its reason and
/// passes `remedy` on, so that a person reads both once.
package protocol ExplainedError: Error, CustomStringConvertible {
  /// `operation subject: reason`, without the remedy.
  var problem: String { get }
  /// What the reader can do about it, if we know.
  var remedy: String? { get }
  /// `operation subject` when the kernel refused for want of a privilege; nil for every other failure.
  var denied: String? { get }
  /// Everything that the verifier said, if it spoke; many lines.
  var fullLog: String? { get }
}

extension ExplainedError {
  /// One line.
  package var description: String { remedy.map { "\(problem); \($0)" } ?? problem }

  /// None.
  package var fullLog: String? { nil }
}
