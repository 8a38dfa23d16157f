// The sockets among a process's descriptors, and copies of them that are ours.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A descriptor of a process that stands for a socket of any family.
package struct SocketDescriptor: Sendable, Hashable {
  /// Its number in the process.
  package let number: Int32
  /// The socket's inode number, which sock_diag shows too; unique among sockets that live.
  package let inode: UInt64
}

extension ProcessHandle {
  /// The sockets among its descriptors; ESRCH if it exited meanwhile, so they are never a successor's.
  ///
  /// Threads that unshared their descriptors (CLONE_FILES) have others, which are not seen.
  package borrowing func socketDescriptors() throws(KernelError) -> [SocketDescriptor] {
    let directory = "/proc/\(id.rawValue)/fd"
    var found: [SocketDescriptor] = []
    for name in try directoryNames(directory) {
      guard let number = Int32(name), let target = readLink(FilePath("\(directory)/\(name)"))?.string,
        target.hasPrefix("socket:["), let inode = UInt64(target.dropFirst(8).dropLast())
      else { continue }
      found.append(SocketDescriptor(number: number, inode: inode))
    }
    guard !hasExited else { throw KernelError("list sockets of", "process \(id)", .noSuchProcess) }
    return found
  }

  /// A descriptor of our own for one of the process's: the same socket, so options and BPF storage are shared.
  ///
  /// Needs CAP_SYS_PTRACE for other users' processes; kernel 5.6. EBADF if it was closed meanwhile.
  package borrowing func copyDescriptor(_ number: Int32) throws(KernelError) -> OwnedDescriptor {
    let raw = sp_pidfd_getfd(descriptor.raw, number)
    return OwnedDescriptor(adopting: try check(raw, "copy descriptor \(number) of", "process \(id)"))
  }
}

extension OwnedDescriptor {
  /// The family of a socket, AF_INET (2) and so on.
  package borrowing func socketFamily() throws(KernelError) -> Int32 { try intOption(SO_DOMAIN) }

  private borrowing func intOption(_ option: Int32) throws(KernelError) -> Int32 {
    var value: Int32 = 0
    try check(unsafe sp_socket_option(raw, option, &value), "read option \(option) of", "socket")
    return value
  }
}
