// From a policy and the identities of a host to the tables of its kernel.

/// A policy that does not fit the tables.
public struct CompileError: Error, Equatable, CustomStringConvertible {
  /// What does not fit, with the figures.
  public let problem: String
  /// What to do about it.
  public let remedy: String

  /// One line.
  public var description: String { "compile policy: \(problem); \(remedy)" }
}

/// Tables, and what is needed to place new identities in them without compiling again.
public struct Compiled: Sendable {
  /// What the kernel is to hold.
  public let tables: Tables

  /// The classes of a workload's identity that was not there when the policy was compiled.
  ///
  /// Nil if it falls in no known class: compile again with it.
  public func classes(for labels: LabelSet) -> Classes? { nil }
}

/// Compiles policies.
///
/// Pure: the same input gives the same tables, number for number.
public enum Compiler {
  /// Compiles a policy for the identities of this host.
  ///
  /// - Parameter identities: the allotted identities. Reserved ones are always compiled; only the labels of `.host`
  ///   may be given, to add to its own.
  public static func compile(
    policy: PolicySet, identities: [IdentityNumber: LabelSet]
  ) throws(CompileError) -> Compiled {
    throw CompileError(problem: "not there yet", remedy: "wait")
  }
}
