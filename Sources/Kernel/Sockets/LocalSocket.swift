// Unix stream sockets by path: the agent's control socket and those who talk to it.
internal import CLinux
internal import Glibc
package import SystemPackage

/// Who is at the other end of a Unix socket, as the kernel recorded when it connected.
package struct PeerCredentials: Sendable, Equatable, BitwiseCopyable {
  /// The process id in this process's namespace.
  package var pid: Int32
  /// The effective user id.
  package var uid: UInt32
  /// The effective group id.
  package var gid: UInt32
}

/// A Unix stream socket.
package struct LocalSocket: ~Copyable, Sendable {
  private let descriptor: OwnedDescriptor

  /// The descriptor's number, for poll(2); valid as long as this value lives.
  package var raw: Int32 { descriptor.raw }

  private init(adopting descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// Listens at a path that only the owner may connect to, replacing what a dead owner left there.
  ///
  /// The caller must know that no other owner lives, such as by a lock.
  package static func listen(at path: FilePath) throws(KernelError) -> LocalSocket {
    let made = try LocalSocket.make(path)
    unsafe path.withPlatformString { _ = unsafe unlink($0) }
    let bound = unsafe try made.address(path) { fd, address, length in unsafe bind(fd, address, length) }
    try check(bound, "bind", path.description)
    // Nobody can connect before it listens. Not by umask(2): that is the whole process's, and two threads that set and
    // restore it at once may leave it so for good.
    let mode = unsafe path.withPlatformString { unsafe chmod($0, 0o600) }
    try check(mode < 0 ? -errno : 0, "restrict", path.description)
    try check(LocalSocket.result(Glibc.listen(made.raw, 16)), "listen at", path.description)
    return made
  }

  /// Connects to the listener at a path.
  ///
  /// With `seconds` neither that nor a single receive or send blocks for longer: the listener may be stopped.
  package static func connect(to path: FilePath, within seconds: Int? = nil) throws(KernelError) -> LocalSocket {
    let made = try LocalSocket.make(path)
    if let seconds { try made.setTimeout(seconds: seconds) }
    let rc = unsafe try made.address(path) { fd, address, length in
      unsafe Glibc.connect(fd, address, length)
    }
    try check(rc, "connect to", path.description)
    return made
  }

  /// Waits for the next connection.
  package borrowing func accept() throws(KernelError) -> LocalSocket {
    let rc = sp_accept(raw, Int32(SOCK_CLOEXEC.rawValue))
    let connection = OwnedDescriptor(adopting: try check(rc, "accept on", "control socket"))
    return LocalSocket(adopting: connection)
  }

  /// Who connected, or who listens.
  ///
  /// The corresponding option is `SO_PEERCRED` (unix(7)).
  package borrowing func peer() throws(KernelError) -> PeerCredentials {
    var credentials = PeerCredentials(pid: 0, uid: .max, gid: .max)
    var length = socklen_t(MemoryLayout<PeerCredentials>.size)
    let rc = unsafe getsockopt(raw, SOL_SOCKET, SO_PEERCRED, &credentials, &length)
    try check(LocalSocket.result(rc), "read credentials of", "control socket")
    return credentials
  }

  /// Bounds how long a single receive or send may block.
  package borrowing func setTimeout(seconds: Int) throws(KernelError) {
    var time = timeval(tv_sec: seconds, tv_usec: 0)
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
      let rc = unsafe setsockopt(raw, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
      try check(LocalSocket.result(rc), "set timeout of", "control socket")
    }
  }

  /// Sends all bytes; a peer that has gone is an error (EPIPE), never a signal.
  package borrowing func send(_ bytes: [UInt8]) throws(KernelError) {
    var sent = 0
    while sent < bytes.count {
      let start = sent
      let count = unsafe bytes.withUnsafeBytes { buffer in
        let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[start...])
        return LocalSocket.result(unsafe Glibc.send(raw, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL)))
      }
      if count == -EINTR { continue }
      sent += Int(try check(count, "send to", "control socket"))
    }
  }

  /// Receives up to the first newline, which is not part of the result; nil when the peer closed before it.
  ///
  /// - Parameters:
  ///   - limit: more bytes than this are an error (EMSGSIZE).
  ///   - seconds: how long all of it may take, looked at after each piece (ETIMEDOUT).
  package borrowing func receiveLine(limit: Int, within seconds: Int? = nil) throws(KernelError) -> [UInt8]? {
    let end = seconds.map { Clock.monotonicNanoseconds() + UInt64($0) * 1_000_000_000 } ?? .max
    var line: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while line.count <= limit {
      let count = unsafe chunk.withUnsafeMutableBytes { buffer in
        LocalSocket.result(unsafe recv(raw, buffer.baseAddress, buffer.count, 0))
      }
      if count == -EINTR { continue }
      let received = Int(try check(count, "receive from", "control socket"))
      if received == 0 { return nil }
      if let end = chunk[..<received].firstIndex(of: UInt8(ascii: "\n")) {
        line += chunk[..<end]
        return line
      }
      line += chunk[..<received]
      if Clock.monotonicNanoseconds() > end { throw KernelError("receive from", "control socket", .timedOut) }
    }
    throw KernelError("receive from", "control socket", .messageTooLong)
  }

  private static func make(_ path: FilePath) throws(KernelError) -> LocalSocket {
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
    let rc = result(socket(AF_UNIX, type, 0))
    return LocalSocket(adopting: OwnedDescriptor(adopting: try check(rc, "open socket", path.description)))
  }

  private borrowing func address(
    _ path: FilePath, _ body: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) throws(KernelError) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.description.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw KernelError(
        "name socket", path.description, .fileNameTooLong, remedy: "use a state directory with a path under 90 bytes")
    }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    let fd = raw
    return unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        LocalSocket.result(unsafe body(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size)))
      }
    }
  }

  /// -errno for a failure, read before anything else can change it.
  @inline(never)
  private static func result(_ value: Int) -> Int32 { value < 0 ? -errno : Int32(truncatingIfNeeded: value) }

  @inline(never)
  private static func result(_ value: Int32) -> Int32 { value < 0 ? -errno : value }
}
