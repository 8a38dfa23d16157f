// Reads flow records back, oldest file first, and goes on reading across rotations.

internal import Glibc
package import SystemPackage

/// Reads the lines of a flow log; whoever follows calls `readAvailable` again whenever the folder changes.
package struct FlowLogReader: ~Copyable {
  /// Where to begin.
  package enum Start: Sendable {
    /// With the oldest rotated file.
    case oldest
    /// With what is written from now on.
    case end
  }

  /// The path of the current file.
  package let path: FilePath
  private var file: FileDescriptor
  private var inode: UInt64
  private var offset: Int64 = 0
  private var partial: [UInt8] = []
  /// Where reading ends although more may be written; nil = wherever the log ends.
  private var end: (inode: UInt64, size: Int64)?
  /// How often files were rotated away before they were read.
  package private(set) var gaps = 0

  /// Opens a log.
  package static func open(_ path: FilePath, from start: Start) throws(FlowLogError) -> FlowLogReader {
    var number = 0
    if start == .oldest { number = oldest(path) }
    let file = try openFile(FlowLog.path(path, number))
    var reader = FlowLogReader(path, file, status(of: file).inode)
    if start == .end { reader.offset = status(of: file).size }
    return reader
  }

  private init(_ path: FilePath, _ file: FileDescriptor, _ inode: UInt64) {
    self.path = path
    self.file = file
    self.inode = inode
  }

  deinit {
    // Opened for reading: closing cannot lose anything.
    try? file.close()
  }

  /// Gives every whole line (without its newline) that is there now to `body`, across rotations.
  package mutating func readAvailable(_ body: (ArraySlice<UInt8>) throws -> Void) throws {
    while true {
      try readToEnd(body)
      guard try moveToNextFile(body) else { return }
    }
  }

  /// Likewise, but what is written meanwhile is left out: a busy host writes as fast as this reads.
  package mutating func readPresent(_ body: (ArraySlice<UInt8>) throws -> Void) throws {
    let current = try Self.openFile(path)
    end = Self.status(of: current)
    try? current.close()
    defer { end = nil }
    try readAvailable(body)
  }

  private mutating func readToEnd(_ body: (ArraySlice<UInt8>) throws -> Void) throws {
    // Cut short from outside (`> flows.jsonl`): begin again instead of waiting for the old length.
    if Self.status(of: file).size < offset {
      offset = 0
      partial = []
    }
    var chunk = [UInt8](repeating: 0, count: 256 * 1024)
    while true {
      let count: Int
      var room = chunk.count
      if let end, end.inode == inode { room = min(room, Int(max(0, end.size - offset))) }
      do {
        count = try unsafe chunk.withUnsafeMutableBytes {
          try unsafe file.read(fromAbsoluteOffset: offset, into: UnsafeMutableRawBufferPointer(rebasing: $0[..<room]))
        }
      } catch {
        throw FlowLogError("read flow log", path, error)
      }
      guard count > 0 else { return }
      offset += Int64(count)
      try split(chunk[..<count], body)
    }
  }

  private mutating func split(_ bytes: ArraySlice<UInt8>, _ body: (ArraySlice<UInt8>) throws -> Void) throws {
    var rest = bytes
    while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
      if partial.isEmpty {
        if end > rest.startIndex { try body(rest[..<end]) }
      } else {
        partial += rest[..<end]
        let line = partial
        partial = []
        try body(line[...])
      }
      rest = rest[(end + 1)...]
    }
    partial += rest
  }

  /// Goes to the file after this one if this one was rotated away; false if it is still the current one.
  private mutating func moveToNextFile(_ body: (ArraySlice<UInt8>) throws -> Void) throws -> Bool {
    guard let current = Self.inode(at: path), current != inode, end?.inode != inode else { return false }
    // What was written between our last read and the rename.
    try readToEnd(body)
    var number = 1
    while let found = Self.inode(at: FlowLog.path(path, number)), found != inode { number += 1 }
    if Self.inode(at: FlowLog.path(path, number)) == nil {
      gaps += 1
      // The file in which reading was to end is gone as well.
      if let end, !(0...Self.oldest(path)).contains(where: { Self.inode(at: FlowLog.path(path, $0)) == end.inode }) {
        return false
      }
      number = Self.oldest(path) + 1
    }
    let next = try Self.openFile(FlowLog.path(path, number - 1))
    try? file.close()
    file = next
    inode = Self.status(of: next).inode
    offset = 0
    partial = []
    return true
  }

  private static func oldest(_ path: FilePath) -> Int {
    var number = 0
    while inode(at: FlowLog.path(path, number + 1)) != nil { number += 1 }
    return number
  }

  private static func openFile(_ path: FilePath) throws(FlowLogError) -> FileDescriptor {
    do {
      return try FileDescriptor.open(path, .readOnly, options: [.closeOnExec])
    } catch {
      throw FlowLogError("open flow log", path, error)
    }
  }

  private static func status(of file: FileDescriptor) -> (inode: UInt64, size: Int64) {
    var status = stat()
    guard unsafe fstat(file.rawValue, &status) == 0 else { return (0, 0) }
    return (UInt64(status.st_ino), Int64(status.st_size))
  }

  private static func inode(at path: FilePath) -> UInt64? {
    var status = stat()
    let result = unsafe path.withPlatformString { unsafe stat($0, &status) }
    return result == 0 ? UInt64(status.st_ino) : nil
  }
}
