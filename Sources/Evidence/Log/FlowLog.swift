// The file of flow records: whole lines only, bounded in size by rotation, every lost byte counted.

internal import Glibc
package import SystemPackage

/// Appends JSON lines to a file and rotates it: `flows.jsonl`, `flows.jsonl.1`, … the highest number is the oldest.
package struct FlowLog: ~Copyable {
  /// Where the lines go and how much is kept.
  package struct Settings: Sendable {
    /// The current file.
    package var path: FilePath
    /// Bytes after which the file is rotated.
    package var rotateAfter: Int
    /// How many rotated files are kept.
    package var keep: Int

    /// Keeps `keep` files of `rotateAfter` bytes beside the current one.
    package init(path: FilePath, rotateAfter: Int = 64 << 20, keep: Int = 4) {
      self.path = path
      self.rotateAfter = max(rotateAfter, 1)
      self.keep = max(keep, 0)
    }
  }

  /// The settings.
  package let settings: Settings
  private var file: FileDescriptor
  private var size: Int
  /// Whether the file ends in the middle of a line, which a full disk or a crash leaves behind.
  private var isTorn: Bool
  /// Lines that could not be written.
  package private(set) var lostLines: UInt64 = 0

  /// Opens or creates the file; a torn last line is ended, so that what follows can be read.
  package static func open(_ settings: Settings) throws(FlowLogError) -> FlowLog {
    let (file, size, isTorn) = try openFile(settings.path)
    return FlowLog(settings, file, size, isTorn)
  }

  private init(_ settings: Settings, _ file: FileDescriptor, _ size: Int, _ isTorn: Bool) {
    self.settings = settings
    self.file = file
    self.size = size
    self.isTorn = isTorn
  }

  deinit {
    // Every append has written all it had: there is nothing left that a failed close could lose.
    try? file.close()
  }

  /// Appends whole lines, `count` of them.
  ///
  /// On an error none or some of them are in the file, all are counted as lost, and the log stays usable.
  package mutating func append(_ lines: [UInt8], count: Int) throws(FlowLogError) {
    guard !lines.isEmpty else { return }
    do {
      if size > 0 && size + lines.count > settings.rotateAfter { try rotate() }
      if isTorn {
        size += try file.writeAll([UInt8(ascii: "\n")])
        isTorn = false
      }
      // Torn until proven whole: a write may end early.
      isTorn = true
      size += try file.writeAll(lines)
      isTorn = false
    } catch {
      lostLines += UInt64(count)
      throw FlowLogError("append to flow log", settings.path, error)
    }
  }

  /// Renames the files one number up and begins a new one.
  package mutating func rotate() throws(FlowLogError) {
    for number in stride(from: settings.keep - 1, through: 0, by: -1) {
      try Self.rename(Self.path(settings.path, number), to: Self.path(settings.path, number + 1))
    }
    if settings.keep == 0 { try Self.unlink(settings.path) }
    let (next, size, isTorn) = try Self.openFile(settings.path)
    // Nothing is buffered: see deinit.
    try? file.close()
    (file, self.size, self.isTorn) = (next, size, isTorn)
  }

  /// The name of a rotated file; 0 is the current one.
  static func path(_ path: FilePath, _ number: Int) -> FilePath {
    number == 0 ? path : FilePath(path.string + ".\(number)")
  }

  private static func openFile(_ path: FilePath) throws(FlowLogError) -> (FileDescriptor, Int, Bool) {
    do {
      let file = try FileDescriptor.open(
        path, .readWrite, options: [.append, .create, .closeOnExec, .noFollow],
        permissions: [.ownerReadWrite, .groupRead])
      do {
        let size = try Int(file.seek(offset: 0, from: .end))
        return (file, size, try isTorn(file, size))
      } catch {
        try? file.close()
        throw error
      }
    } catch {
      throw FlowLogError("open flow log", path, error)
    }
  }

  private static func isTorn(_ file: FileDescriptor, _ size: Int) throws -> Bool {
    guard size > 0 else { return false }
    var last: [UInt8] = [0]
    let count = try unsafe last.withUnsafeMutableBytes {
      try unsafe file.read(fromAbsoluteOffset: Int64(size - 1), into: $0)
    }
    return count == 1 && last[0] != UInt8(ascii: "\n")
  }

  private static func rename(_ from: FilePath, to: FilePath) throws(FlowLogError) {
    let result = unsafe from.withPlatformString { old in
      unsafe to.withPlatformString { new in unsafe Glibc.rename(old, new) < 0 ? errno : 0 }
    }
    guard result == 0 || result == ENOENT else { throw FlowLogError("rotate flow log", from, Errno(rawValue: result)) }
  }

  private static func unlink(_ path: FilePath) throws(FlowLogError) {
    let result = unsafe path.withPlatformString { unsafe Glibc.unlink($0) < 0 ? errno : 0 }
    guard result == 0 || result == ENOENT else { throw FlowLogError("rotate flow log", path, Errno(rawValue: result)) }
  }
}

/// A flow log that cannot be written or read.
package struct FlowLogError: Error, Equatable, CustomStringConvertible {
  /// What was attempted.
  package let operation: String
  /// On which file.
  package let path: FilePath
  /// Why the kernel refused; nil if it did not.
  package let errno: Errno?
  /// What to do about it.
  package let remedy: String

  init(_ operation: String, _ path: FilePath, _ error: any Error) {
    if let error = error as? FlowLogError {
      self = error
      return
    }
    self.operation = operation
    self.path = path
    errno = error as? Errno
    remedy =
      switch errno {
      case .noSpace, Errno(rawValue: EDQUOT): "free space on this file system, or choose another file with --flows"
      case .noSuchFileOrDirectory: "start the agent, or name the file with --flows"
      case .permissionDenied, .notPermitted: "run as root, or as a member of the file's group to read it"
      default: "choose another file with --flows"
      }
  }

  /// One line.
  package var description: String {
    "\(operation) \(path.string.shownSafely): \(errno?.description ?? "failed"); \(remedy)"
  }
}
