// Reads the policy documents of a directory or file, all of them or none.

internal import Kernel
internal import Policy
internal import SystemPackage

/// Where policy documents are: a directory of `*.yaml`, `*.yml` and `*.json` in whatever case, or one file.
package struct PolicyDirectory: Sendable, Hashable {
  /// The largest file that is read, in bytes; the parser's limit too.
  package static let maximumFileSize = PolicyParser.maximumFileSize
  /// The most files that are read.
  static let maximumFiles = 4096

  /// The path as given.
  package let path: String

  /// Takes a path; nothing is read yet.
  package init(_ path: String) { self.path = path }

  /// Reads all documents, sorted by name.
  ///
  /// Subdirectories, hidden files and other names are left out; symbolic links to files are followed. A file that
  /// cannot be read, that is too large, that changes while it is read, that is not UTF-8 or no regular file is an
  /// error: the policy is read whole or not at all.
  package func read() throws(DatapathError) -> [PolicySource] {
    do throws(KernelError) {
      guard try FileKind.at(path) == .directory else { return [try Self.document(path)] }
      let names = try directoryNames(path).filter(Self.isDocument)
      guard names.count <= Self.maximumFiles else {
        throw KernelError(
          "read", "\(names.count) documents", .fileTooLarge,
          remedy: "put several documents in one file, separated by ---")
      }
      var sources: [PolicySource] = []
      for name in names {
        let file = path.hasSuffix("/") ? path + name : "\(path)/\(name)"
        if try FileKind.at(file) != .directory { sources.append(try Self.document(file)) }
      }
      return sources
    } catch {
      throw Self.failure(path, error)
    }
  }

  static func isDocument(_ name: String) -> Bool {
    let lower = name.lowercased()
    return !name.hasPrefix(".") && [".yaml", ".yml", ".json"].contains { lower.hasSuffix($0) }
  }

  /// What is in the directory and is not read, so that nobody relies on it; `sources` is what was read.
  package func notes(of sources: [PolicySource]) throws(DatapathError) -> [String] {
    do throws(KernelError) {
      guard try FileKind.at(path) == .directory else { return [] }
      let names = try directoryNames(path).filter { !$0.hasPrefix(".") }
      var notes: [String] = []
      var directories: [String] = []
      for name in names {
        let file = path.hasSuffix("/") ? path + name : "\(path)/\(name)"
        if (try? FileKind.at(file)) == .directory { directories.append(name) }
      }
      if !directories.isEmpty {
        notes.append(
          "\(path): subdirectories are not read: \(Self.list(directories)); name each of them, or move the documents up"
        )
      }
      let others = names.filter { !Self.isDocument($0) && !directories.contains($0) }
      if sources.isEmpty, !others.isEmpty {
        notes.append(
          "\(path): holds no *.yaml, *.yml or *.json, only \(Self.list(others)); rename the documents, or name them one by one"
        )
      } else if sources.isEmpty {
        notes.append("\(path): holds no documents: the defaults decide, and they refuse what is labelled")
      }
      return notes
    } catch {
      throw Self.failure(path, error)
    }
  }

  private static func list(_ names: [String]) -> String {
    let shown = names.sorted().prefix(5).joined(separator: ", ")
    return names.count > 5 ? "\(shown) and \(names.count - 5) more" : shown
  }

  private static func document(_ file: String) throws(KernelError) -> PolicySource {
    let bytes = try readRegularFile(file, limit: maximumFileSize)
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw KernelError("read", file, .illegalByteSequence, remedy: "save it as UTF-8")
    }
    return PolicySource(name: file, bytes: bytes)
  }

  private static func failure(_ path: String, _ error: KernelError) -> DatapathError {
    var remedy = error.remedy
    if error.errno == .noSuchFileOrDirectory {
      return DatapathError(
        "policy", error.subject, reason: "does not exist", underlying: error, remedy: "check the path")
    } else if error.errno == .tooManySymbolicLinkLevels {
      remedy = "remove the symbolic links that lead to each other"
    }
    return DatapathError(
      "read policy", error.subject == path ? path : error.subject, reason: KernelError.describe(error.errno),
      underlying: error, remedy: remedy)
  }
}
