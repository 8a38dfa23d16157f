// From the bytes of files to a checked policy, or to everything that is wrong with them.

/// Reads policy documents.
public enum PolicyParser {
  /// The largest file that is read, in bytes.
  public static let maximumFileSize = 8 << 20

  /// Reads all files as one policy.
  ///
  /// - Throws: everything that is wrong with any of them; nothing is half read.
  public static func parse(files: [(name: String, bytes: [UInt8])]) throws(PolicyErrors) -> ParsedPolicy {
    throw PolicyErrors(errors: [PolicyError(.none, "", "not there yet", "wait")], warnings: [])
  }
}
