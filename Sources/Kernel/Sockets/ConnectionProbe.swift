// One TCP connection attempt, timed, with the kernel's answer.
internal import Glibc
package import SystemPackage

/// Attempts to connect.
package enum ConnectionProbe {
  /// How an attempt ended.
  package struct Outcome: Sendable, Equatable {
    /// The kernel's reason, nil when the connection was made.
    package var errno: Errno?
    /// From the call to the answer, in microseconds.
    package var microseconds: UInt64

    /// Whether the connection was made.
    package var isConnected: Bool { errno == nil }

    /// `connected`, or the symbol of the error.
    package var name: String {
      switch errno {
      case nil: "connected"
      case .some(.notPermitted): "EPERM"
      case .some(.connectionRefused): "ECONNREFUSED"
      case .some(.timedOut): "ETIMEDOUT"
      case .some(.permissionDenied): "EACCES"
      case .some(.noRouteToHost): "EHOSTUNREACH"
      case .some(.networkUnreachable): "ENETUNREACH"
      case .some(.connectionReset): "ECONNRESET"
      case .some(let other): "errno \(other.rawValue)"
      }
    }
  }

  /// Connects to 16 bytes of address in network order (IPv4 as `::ffff:a.b.c.d`) and closes again.
  ///
  /// - Throws: only when there is no socket to try with; what the kernel answers is the outcome.
  package static func connect(
    to address: InlineArray<16, UInt8>, isIPv4: Bool, port: UInt16, timeoutMilliseconds: Int32
  ) throws(KernelError) -> Outcome {
    let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let rc = socket(isIPv4 ? AF_INET : AF_INET6, type, 0)
    let made = OwnedDescriptor(adopting: try check(rc < 0 ? -errno : rc, "open socket", "tcp"))
    let begin = Clock.monotonicNanoseconds()
    var reason = isIPv4 ? start4(made.raw, address, port) : start6(made.raw, address, port)
    if reason == EINPROGRESS { reason = wait(made.raw, timeoutMilliseconds) }
    let microseconds = (Clock.monotonicNanoseconds() - begin) / 1000
    return Outcome(errno: reason == 0 ? nil : Errno(rawValue: reason), microseconds: microseconds)
  }

  private static func start4(_ socket: Int32, _ address: InlineArray<16, UInt8>, _ port: UInt16) -> Int32 {
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_port = port.bigEndian
    unsafe withUnsafeMutableBytes(of: &name.sin_addr) { bytes in
      for index in 0..<4 { unsafe bytes[index] = address[12 + index] }
    }
    return unsafe withUnsafePointer(to: &name) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        let rc = unsafe Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        return rc == 0 ? 0 : errno
      }
    }
  }

  private static func start6(_ socket: Int32, _ address: InlineArray<16, UInt8>, _ port: UInt16) -> Int32 {
    var name = sockaddr_in6()
    name.sin6_family = sa_family_t(AF_INET6)
    name.sin6_port = port.bigEndian
    unsafe withUnsafeMutableBytes(of: &name.sin6_addr) { bytes in
      for index in 0..<16 { unsafe bytes[index] = address[index] }
    }
    return unsafe withUnsafePointer(to: &name) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        let rc = unsafe Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
        return rc == 0 ? 0 : errno
      }
    }
  }

  private static func wait(_ socket: Int32, _ timeout: Int32) -> Int32 {
    var polled = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
    let ready = unsafe poll(&polled, 1, timeout)
    guard ready > 0 else { return ready == 0 ? ETIMEDOUT : errno }
    var reason: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    let rc = unsafe getsockopt(socket, SOL_SOCKET, SO_ERROR, &reason, &length)
    return rc == 0 ? reason : errno
  }
}
