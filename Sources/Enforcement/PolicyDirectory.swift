// Reads the policy documents of a directory or file, all of them or none.

/// Where policy documents are: a directory of `*.yaml`, `*.yml` and `*.json`, or one file.
public struct PolicyDirectory: Sendable, Hashable {
  /// The path as given.
  public let path: String

  /// Takes a path; nothing is read yet.
  public init(_ path: String) { self.path = path }

  /// Reads all documents, sorted by name; a file of more than 8 MiB and a file that is no regular one are errors.
  public func read() throws(DatapathError) -> [PolicySource] {
    throw DatapathError("read policy", path, reason: "not there yet")
  }
}
