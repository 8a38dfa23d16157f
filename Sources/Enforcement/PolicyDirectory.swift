// Reads the policy documents of a directory or file, all of them or none.

internal import Glibc
internal import Kernel
internal import SystemPackage

/// Where policy documents are: a directory of `*.yaml`, `*.yml` and `*.json`, or one file.
public struct PolicyDirectory: Sendable, Hashable {
  /// The largest file that is read, in bytes; the parser's limit too.
  public static let maximumFileSize = 8 << 20
  /// The most files that are read.
  static let maximumFiles = 4096

  /// The path as given.
  public let path: String

  /// Takes a path; nothing is read yet.
  public init(_ path: String) { self.path = path }

  /// Reads all documents, sorted by name.
  ///
  /// Subdirectories, hidden files and other names are left out; symbolic links to files are followed. A file that
  /// cannot be read, that is too large, that changes while it is read, that is not UTF-8 or no regular file is an
  /// error: the policy is read whole or not at all.
  public func read() throws(DatapathError) -> [PolicySource] {
    guard try kind(of: path) == .directory else { return [try readFile(path)] }
    let names: [String]
    do throws(DirectoryError) {
      names = try directoryEntries(path)
    } catch {
      throw failure(path, error.errno)
    }
    let wanted = names.filter(Self.isDocument)
    guard wanted.count <= Self.maximumFiles else {
      throw DatapathError(
        "read policy", path, reason: "it holds \(wanted.count) documents, at most \(Self.maximumFiles) are read",
        remedy: "put several documents in one file, separated by ---")
    }
    var sources: [PolicySource] = []
    for name in wanted {
      let file = path.hasSuffix("/") ? path + name : "\(path)/\(name)"
      if try kind(of: file) != .directory { sources.append(try readFile(file)) }
    }
    return sources
  }

  private static func isDocument(_ name: String) -> Bool {
    !name.hasPrefix(".") && [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) }
  }

  private enum Kind { case file, directory, other }

  private func kind(of file: String) throws(DatapathError) -> Kind {
    var status = stat()
    let rc = unsafe stat(file, &status) < 0 ? errno : 0
    guard rc == 0 else { throw failure(file, rc) }
    return Self.kind(status)
  }

  private static func kind(_ status: stat) -> Kind {
    switch status.st_mode & S_IFMT {
    case S_IFREG: .file
    case S_IFDIR: .directory
    default: .other
    }
  }

  private func readFile(_ file: String) throws(DatapathError) -> PolicySource {
    do throws(KernelError) {
      // Not blocking: a FIFO in the place of a document must not hang the agent.
      let opened = try OwnedDescriptor.open(FilePath(file), flags: O_RDONLY | O_NONBLOCK)
      let before = try status(opened, file)
      guard Self.kind(before) == .file else {
        throw KernelError("read", file, .invalidArgument, remedy: "it is no regular file")
      }
      guard before.st_size <= Self.maximumFileSize else { throw tooLarge(file) }
      let bytes = try contents(opened, file)
      let after = try status(opened, file)
      guard before.st_size == after.st_size, before.st_size == bytes.count,
        before.st_mtim.tv_sec == after.st_mtim.tv_sec, before.st_mtim.tv_nsec == after.st_mtim.tv_nsec
      else {
        throw KernelError(
          "read", file, .resourceTemporarilyUnavailable,
          remedy: "it changed while it was read; write beside it and rename")
      }
      guard String(validating: bytes, as: UTF8.self) != nil else {
        throw KernelError("read", file, .illegalByteSequence, remedy: "save it as UTF-8")
      }
      return PolicySource(name: file, bytes: bytes)
    } catch {
      throw DatapathError("read policy", file, underlying: error)
    }
  }

  private func contents(_ file: borrowing OwnedDescriptor, _ name: String) throws(KernelError) -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(file.raw, $0.baseAddress, $0.count) }
      let error = errno
      if count < 0, error == EINTR { continue }
      guard count >= 0 else { throw KernelError("read", name, Errno(rawValue: error)) }
      guard count > 0 else { return bytes }
      bytes.append(contentsOf: chunk.prefix(count))
      // It may grow faster than we read.
      guard bytes.count <= Self.maximumFileSize else { throw tooLarge(name) }
    }
  }

  private func status(_ file: borrowing OwnedDescriptor, _ name: String) throws(KernelError) -> stat {
    var status = stat()
    let rc = unsafe fstat(file.raw, &status) < 0 ? errno : 0
    guard rc == 0 else { throw KernelError("stat", name, Errno(rawValue: rc)) }
    return status
  }

  private func tooLarge(_ file: String) -> KernelError {
    KernelError("read", file, .fileTooLarge, remedy: "a policy file has at most \(Self.maximumFileSize >> 20) MiB")
  }

  private func failure(_ subject: String, _ rc: Int32) -> DatapathError {
    let error = KernelError("read policy", subject, Errno(rawValue: rc))
    let remedy: String? =
      switch rc {
      case ENOENT: "name a directory or file that is there; a policy may also be an empty directory"
      case ELOOP: "remove the symbolic links that lead to each other"
      default: nil
      }
    return DatapathError(
      "read policy", subject, reason: KernelError.describe(error.errno), underlying: error, remedy: remedy)
  }
}
