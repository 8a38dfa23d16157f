// What is wrong with documents, said so that it can be put right.

/// One fault in a document, or one warning about it.
public struct PolicyError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The name of the file as given to the parser.
  public let file: String
  /// The line, from 1.
  public let line: Int
  /// The column, from 1; 0 where it is not known.
  public let column: Int
  /// The path of the field, such as `spec.incoming[0].ports[1]`; empty for the document as a whole.
  public let field: String
  /// What is wrong.
  public let message: String
  /// What to do about it.
  public let remedy: String

  init(_ location: SourceLocation, _ field: String, _ message: String, _ remedy: String) {
    file = location.file
    line = location.line
    column = location.column
    self.field = field
    self.message = message
    self.remedy = remedy
  }

  /// `FILE:LINE: FIELD: MESSAGE; REMEDY`.
  public var description: String {
    "\(file):\(line): " + (field.isEmpty ? "" : "\(field): ") + message + (remedy.isEmpty ? "" : "; \(remedy)")
  }
}

/// All that is wrong with some documents: nothing of them is used.
public struct PolicyErrors: Error, Sendable, Equatable, CustomStringConvertible {
  /// At least one, by file and line.
  public let errors: [PolicyError]
  /// What was found besides.
  public let warnings: [PolicyError]

  /// One line per error.
  public var description: String { errors.map(\.description).joined(separator: "\n") }
}

/// What a policy was read to, and what is odd about it.
public struct ParsedPolicy: Sendable, Equatable {
  /// The whole policy.
  public let policy: PolicySet
  /// What was probably not meant, by file and line.
  public let warnings: [PolicyError]
}
