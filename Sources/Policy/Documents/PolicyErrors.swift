// What is wrong with documents, said so that it can be put right.

/// One fault in a document, or one warning about it.
package struct PolicyError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The name of the file as given to the parser.
  package let file: String
  /// The line, from 1.
  package let line: Int
  /// The column, from 1; 0 where it is not known.
  package let column: Int
  /// The path of the field, such as `spec.incoming[0].ports[1]`; empty for the document as a whole.
  package let field: String
  /// What is wrong.
  package let message: String
  /// What to do about it.
  package let remedy: String

  init(_ location: SourceLocation, _ field: String, _ message: String, _ remedy: String) {
    file = location.file
    line = location.line
    column = location.column
    self.field = field
    self.message = message
    self.remedy = remedy
  }

  /// `FILE:LINE: FIELD: MESSAGE; REMEDY`.
  package var description: String {
    "\(file):\(line): " + (field.isEmpty ? "" : "\(field): ") + message + (remedy.isEmpty ? "" : "; \(remedy)")
  }
}

/// All that is wrong with some documents: nothing of them is used.
package struct PolicyErrors: Error, Sendable, Equatable, CustomStringConvertible {
  /// At least one, by file and line.
  package let errors: [PolicyError]
  /// What was found besides.
  package let warnings: [PolicyError]

  /// One line per error.
  package var description: String { errors.map(\.description).joined(separator: "\n") }
}

/// What a policy was read to, and what is odd about it.
package struct ParsedPolicy: Sendable, Equatable {
  /// The whole policy.
  package let policy: PolicySet
  /// What was probably not meant, by file and line.
  package let warnings: [PolicyError]
}
