// Network namespaces held by descriptor, and work done inside them on threads that end with it.
internal import CLinux
internal import Glibc
package import SystemPackage

/// A network namespace, alive at least as long as this object.
package final class NetworkNamespace: Sendable {
  /// Which namespace it is: the pair is unique on the host while it lives.
  package struct Identity: Hashable, Sendable {
    /// The device number of the nsfs.
    package let device: UInt64
    /// The inode number, as in `net:[4026531840]`.
    package let inode: UInt64
  }

  /// The namespace's descriptor.
  package let descriptor: OwnedDescriptor
  /// Which namespace it is.
  package let identity: Identity

  private init(_ descriptor: consuming OwnedDescriptor, _ subject: String) throws(KernelError) {
    var status = stat()
    let rc = unsafe fstat(descriptor.raw, &status)
    try check(rc < 0 ? -errno : rc, "stat", subject)
    identity = Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    self.descriptor = descriptor
  }

  /// The namespace behind a path such as /proc/PID/ns/net or /run/netns/NAME.
  package static func open(_ path: FilePath) throws(KernelError) -> NetworkNamespace {
    try NetworkNamespace(OwnedDescriptor.open(path, flags: O_RDONLY), path.description)
  }

  /// The namespace of the calling thread.
  package static func current() throws(KernelError) -> NetworkNamespace {
    try open("/proc/thread-self/ns/net")
  }

  /// The namespace of a process; ESRCH if it exited before we could be sure that it is its own.
  package static func of(_ process: borrowing ProcessHandle) throws(KernelError) -> NetworkNamespace {
    let found = try open(FilePath("/proc/\(process.id.rawValue)/ns/net"))
    guard !process.hasExited else {
      throw KernelError("open network namespace of", "process \(process.id)", .noSuchProcess)
    }
    return found
  }

  /// The namespace that a socket works in, wherever its holder is now; needs CAP_NET_ADMIN there.
  package static func of(socket: borrowing OwnedDescriptor) throws(KernelError) -> NetworkNamespace {
    let raw = try check(sp_socket_namespace(socket.raw), "open network namespace of", "socket")
    return try NetworkNamespace(OwnedDescriptor(adopting: raw), "network namespace")
  }

  /// A new namespace without a name: gone with the last descriptor, process and socket in it.
  package static func anonymous() throws(KernelError) -> NetworkNamespace {
    try runOnFreshThread("new-netns") { () throws(KernelError) in
      try check(sp_unshare(sp_clone_newnet()), "create", "network namespace")
      return try current()
    }
  }

  /// A path by which programs such as ip(8) can name it, while this process lives.
  package var path: FilePath { FilePath("/proc/\(getpid())/fd/\(descriptor.raw)") }

  /// Runs `body` in this namespace on a thread of its own and waits for it; sockets it makes stay usable anywhere.
  package func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) throws -> T {
    let entered = descriptor.raw
    let result = try runOnFreshThread("netns") { () throws(KernelError) -> Result<T, any Error> in
      try check(sp_setns(entered, sp_clone_newnet()), "enter", "network namespace")
      return Result { try body() }
    }
    return try result.get()
  }

  /// The cookie that BPF programs see: never reused, unlike the inode number.
  ///
  /// Kernel 5.14.
  package func cookie() throws(KernelError) -> UInt64 {
    let entered = descriptor.raw
    return try runOnFreshThread("netns") { () throws(KernelError) in
      try check(sp_setns(entered, sp_clone_newnet()), "enter", "network namespace")
      let socket = try OwnedDescriptor.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
      var cookie: UInt64 = 0
      try check(unsafe sp_netns_cookie(socket.raw, &cookie), "read cookie of", "network namespace")
      return cookie
    }
  }
}

extension OwnedDescriptor {
  /// A new socket, close-on-exec.
  package static func socket(
    _ family: Int32, _ type: Int32, _ kind: Int32
  ) throws(KernelError) -> OwnedDescriptor {
    let raw = Glibc.socket(family, type | Int32(SOCK_CLOEXEC.rawValue), kind)
    return OwnedDescriptor(adopting: try check(raw < 0 ? -errno : raw, "create", "socket of family \(family)"))
  }

  /// The kernel's never reused number for a socket: `bpf_get_socket_cookie`.
  package borrowing func socketCookie() throws(KernelError) -> UInt64 {
    var cookie: UInt64 = 0
    try check(unsafe sp_socket_cookie(raw, &cookie), "read cookie of", "socket")
    return cookie
  }

  /// A connection that waits at a listening socket: a new descriptor, close-on-exec and non-blocking; the caller owns it.
  package borrowing func accept() throws(KernelError) -> Int32 {
    let flags = Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    return try check(sp_accept(raw, flags), "accept on", "socket \(raw)")
  }
}
