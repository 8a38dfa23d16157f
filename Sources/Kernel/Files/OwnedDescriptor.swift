// A file descriptor with exactly one owner, closed when the owner goes.
internal import CLinux
internal import Glibc
package import SystemPackage

/// Two ends of a pipe, both close-on-exec.
package struct Pipe: ~Copyable, Sendable {
  /// Where it is read.
  package let output: OwnedDescriptor
  /// Where it is written.
  package let input: OwnedDescriptor

  private init(output: consuming OwnedDescriptor, input: consuming OwnedDescriptor) {
    self.output = output
    self.input = input
  }

  /// Makes a pipe.
  package static func make() throws(KernelError) -> Pipe {
    var ends: (Int32, Int32) = (-1, -1)
    let rc = unsafe withUnsafeMutableBytes(of: &ends) { bytes in
      unsafe sp_pipe_cloexec(bytes.baseAddress?.assumingMemoryBound(to: Int32.self))
    }
    try check(rc, "create", "pipe")
    return Pipe(output: OwnedDescriptor(adopting: ends.0), input: OwnedDescriptor(adopting: ends.1))
  }
}

/// A file descriptor that closes itself.
package struct OwnedDescriptor: ~Copyable, Sendable {
  /// The number, valid as long as this value lives.
  package let raw: Int32

  /// Takes ownership of an open descriptor.
  package init(adopting raw: Int32) {
    self.raw = raw
  }

  deinit {
    // A failed close leaves nothing to do: Linux frees the number in every case.
    _ = close(raw)
  }

  /// Opens `path`, always close-on-exec.
  ///
  /// `flags` are the O_ flags of open(2); a relative path starts at `directory`, or where the process is.
  package static func open(
    _ path: FilePath, flags: Int32, mode: UInt32 = 0, at directory: Int32? = nil
  ) throws(KernelError) -> OwnedDescriptor {
    let rc = unsafe path.withPlatformString { unsafe sp_openat(directory ?? AT_FDCWD, $0, flags | O_CLOEXEC, mode) }
    return OwnedDescriptor(adopting: try check(rc, "open", path.description))
  }

  /// A second descriptor for the same open file.
  package borrowing func duplicate() throws(KernelError) -> OwnedDescriptor {
    let copy = fcntl(raw, F_DUPFD_CLOEXEC, 3)
    let rc = copy < 0 ? -errno : copy
    return OwnedDescriptor(adopting: try check(rc, "duplicate", "descriptor \(raw)"))
  }

  /// What /proc says that the descriptor stands for, such as a path or `anon_inode:bpf-map`; nil without /proc.
  package var target: FilePath? { readLink(FilePath("/proc/self/fd/\(raw)")) }

  /// Gives the number away: the caller closes it from now on.
  package consuming func release() -> Int32 {
    let number = raw
    discard self
    return number
  }
}
