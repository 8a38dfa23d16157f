// Processes held by pidfd, and facts about them that a reused process id cannot falsify.
internal import CLinux
internal import Glibc
package import SystemPackage

/// A process's number in this pid namespace; it can be reused: hold a `ProcessHandle` to be sure.
package struct ProcessID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  /// The number.
  package let rawValue: Int32

  /// Wraps the number.
  package init(rawValue: Int32) { self.rawValue = rawValue }

  /// This process.
  package static var current: ProcessID { ProcessID(rawValue: getpid()) }

  /// The number in decimal.
  package var description: String { String(rawValue) }
}

/// What classification wants to know about a process.
package struct ProcessFacts: Equatable, Sendable {
  /// The process.
  package let id: ProcessID
  /// The running file as the kernel names it; nil for kernel threads, or if we may not look.
  package let executable: FilePath?
  /// The name that the process shows, at most 15 bytes; a process chooses it itself.
  package let command: String
  /// The effective user and group.
  package let user: UInt32
  /// The effective group.
  package let group: UInt32
  /// Where it is in the cgroup v2 hierarchy.
  package let cgroup: CgroupMembership
  /// Clock ticks after boot at which it began: together with the id unique until the next boot.
  package let startTime: UInt64
  /// The inode number of its network namespace; nil if we may not look.
  package let networkNamespace: UInt64?
}

/// A process held by a pidfd: it cannot come to mean another one.
package struct ProcessHandle: ~Copyable, Sendable {
  /// The process.
  package let id: ProcessID
  /// The pidfd.
  package let descriptor: OwnedDescriptor

  init(id: ProcessID, descriptor: consuming OwnedDescriptor) {
    self.id = id
    self.descriptor = descriptor
  }

  /// Takes hold of a process; ESRCH if there is none.
  ///
  /// Kernel 5.3.
  package static func open(_ id: ProcessID) throws(KernelError) -> ProcessHandle {
    let raw = try check(sp_pidfd_open(id.rawValue, 0), "open process", id.description)
    return ProcessHandle(id: id, descriptor: OwnedDescriptor(adopting: raw))
  }

  /// Whether it has exited (it may still be a zombie).
  package var hasExited: Bool {
    var request = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&request, 1, 0) > 0
  }

  /// Sends a signal.
  package borrowing func send(signal: Int32) throws(KernelError) {
    try check(sp_pidfd_send_signal(descriptor.raw, signal), "send signal \(signal) to", "process \(id)")
  }

  /// Moves it into a cgroup; ESRCH if it exited before it could be told apart from a successor.
  package borrowing func move(to cgroup: CgroupDirectory) throws(KernelError) {
    try requireAlive("move")
    try cgroup.add(id)
    // Exited meanwhile: the number may already have meant another process.
    try requireAlive("move")
  }

  /// Reads the facts; ESRCH if it exited before all were read, so they never mix two processes.
  package borrowing func facts() throws(KernelError) -> ProcessFacts {
    let facts: ProcessFacts
    do {
      facts = try readFacts()
    } catch {
      try requireAlive("read facts of")
      throw error
    }
    // Alive now means alive throughout: the number was its own while we read.
    try requireAlive("read facts of")
    return facts
  }

  private borrowing func requireAlive(_ operation: String) throws(KernelError) {
    guard hasExited else { return }
    throw KernelError(operation, "process \(id)", .noSuchProcess)
  }

  private borrowing func readFacts() throws(KernelError) -> ProcessFacts {
    let proc = FilePath("/proc/\(id.rawValue)")
    let status = try readKernelFile(proc.appending("status"))
    let statistics = try ProcessStatistics.parse(readKernelBytes(proc.appending("stat")), of: id)
    return ProcessFacts(
      id: id, executable: readLink(proc.appending("exe")), command: statistics.command,
      user: Self.effective("Uid:", in: status), group: Self.effective("Gid:", in: status),
      cgroup: try CgroupHierarchy.membership(of: id), startTime: statistics.startTime,
      networkNamespace: inode(of: proc.appending("ns/net")))
  }

  /// The second number of such a line is the effective one; a line that is missing reads as nobody.
  private static func effective(_ key: String, in status: String) -> UInt32 {
    let line = status.split(separator: "\n").first { $0.hasPrefix(key) }
    let fields = line?.split { $0 == "\t" || $0 == " " } ?? []
    return fields.count > 2 ? UInt32(fields[2]) ?? 65534 : 65534
  }
}

/// Two fields of /proc/PID/stat.
struct ProcessStatistics: Equatable {
  let command: String
  let startTime: UInt64

  /// The command may hold blanks and parentheses: it ends at the last one.
  static func parse(_ bytes: [UInt8], of id: ProcessID) throws(KernelError) -> ProcessStatistics {
    let text = String(decoding: bytes, as: UTF8.self)
    let fields = text.lastIndex(of: ")").map { text[text.index(after: $0)...].split(separator: " ") } ?? []
    guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")"), open < close,
      fields.count > 19, let start = UInt64(fields[19])
    else { throw KernelError("parse", "/proc/\(id)/stat", .invalidArgument) }
    return ProcessStatistics(command: String(text[text.index(after: open)..<close]), startTime: start)
  }
}

/// The target of a symbolic link, of any bytes; nil if it cannot be read.
package func readLink(_ path: FilePath) -> FilePath? {
  var bytes = [UInt8](repeating: 0, count: 4096)
  let count = unsafe path.withPlatformString { path in
    unsafe bytes.withUnsafeMutableBytes { buffer in
      let target = unsafe buffer.bindMemory(to: CChar.self)
      guard let start = target.baseAddress else { return 0 }
      return unsafe readlink(path, start, target.count)
    }
  }
  return count > 0 ? FilePath(bytes: Array(bytes.prefix(count))) : nil
}

/// The inode number behind a path; nil if it cannot be looked at.
func inode(of path: FilePath) -> UInt64? {
  var status = stat()
  let rc = unsafe path.withPlatformString { unsafe stat($0, &status) }
  return rc == 0 ? UInt64(status.st_ino) : nil
}
