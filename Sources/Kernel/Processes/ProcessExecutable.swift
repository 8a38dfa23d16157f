// What a process runs and as whom, in as few reads as rules need; safe from reused process ids.
internal import Glibc
package import SystemPackage

/// What rules ask of a process.
package struct ProcessProgram: Sendable, Equatable {
  /// The real user id, in this process's user namespace.
  package let user: UInt32
  /// The real group id.
  package let group: UInt32
  /// The process that started it, or that inherited it.
  package let parent: ProcessID
  /// The executable as the kernel names it: its path in the mount namespace of the process; nil for kernel threads and
  /// for what may not be read.
  package let path: FilePath?
  /// The executable itself.
  package let file: FileIdentity?
  /// Whether it sees the same mounts as this process, so that the path means the same; false if we may not look.
  package let sharesMounts: Bool
}

extension ProcessHandle {
  /// Reads them; ESRCH if the process exited before all were read, so they never mix two processes.
  ///
  /// It may begin another program meanwhile: then another event follows.
  package borrowing func program() throws(KernelError) -> ProcessProgram {
    let proc = "/proc/\(id.rawValue)"
    let status: [UInt8]
    do {
      status = try readKernelBytes(FilePath("\(proc)/status"))
    } catch {
      throw hasExited ? KernelError("read", "process \(id)", .noSuchProcess) : error
    }
    let namespace = readLink(FilePath("\(proc)/ns/mnt"))
    let program = ProcessProgram(
      user: Self.first("Uid:", in: status) ?? 65534, group: Self.first("Gid:", in: status) ?? 65534,
      parent: ProcessID(rawValue: Int32(bitPattern: Self.first("PPid:", in: status) ?? 0)),
      path: readLink(FilePath("\(proc)/exe")), file: FileIdentity.at("\(proc)/exe"),
      sharesMounts: namespace != nil && namespace == readLink("/proc/self/ns/mnt"))
    guard !hasExited else { throw KernelError("read", "process \(id)", .noSuchProcess) }
    return program
  }

  /// Opens the file that the process runs; ESRCH if it exited meanwhile.
  package borrowing func openExecutable() throws(KernelError) -> OwnedDescriptor {
    let file = try OwnedDescriptor.open(FilePath("/proc/\(id.rawValue)/exe"), flags: O_RDONLY | O_NONBLOCK)
    guard !hasExited else { throw KernelError("open executable of", "process \(id)", .noSuchProcess) }
    return file
  }

  /// The first number of a line, which of the four is the real one.
  private static func first(_ key: String, in status: [UInt8]) -> UInt32? {
    // The name of the process stands on an earlier line, with newlines escaped: no line can be made up.
    let line = status.split(separator: UInt8(ascii: "\n")).first { $0.starts(with: key.utf8) }
    let digits = line?.dropFirst(key.utf8.count).drop { $0 == 9 || $0 == 32 }.prefix { (48...57).contains($0) }
    return digits.flatMap { UInt32(String(decoding: $0, as: UTF8.self)) }
  }
}
