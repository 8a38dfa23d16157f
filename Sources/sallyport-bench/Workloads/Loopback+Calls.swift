// The socket calls that loads are made of, with their errors.

internal import Glibc
internal import Kernel
internal import SystemPackage

extension Loopback {
  private static func address(_ port: UInt16, in host: UInt32) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = host.bigEndian
    return address
  }

  /// Calls `body` with an address, 127.0.0.1 unless said otherwise, and a port as the socket calls want them.
  private static func withAddress(
    _ port: UInt16, in host: UInt32 = 0x7f00_0001, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int
  ) -> Int {
    var address = address(port, in: host)
    return unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        unsafe body(address, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }

  private static func require(_ rc: Int, _ operation: String) throws(KernelError) {
    try check(rc < 0 ? -errno : 0, operation, "loopback")
  }

  static func socket(_ type: __socket_type) throws(KernelError) -> OwnedDescriptor {
    let socket = try OwnedDescriptor.socket(AF_INET, Int32(type.rawValue), 0)
    try limitWaiting(socket.raw)
    return socket
  }

  /// A packet that somebody dropped is an error after five seconds, not the end of the run.
  static func limitWaiting(_ socket: Int32) throws(KernelError) {
    var limit = timeval(tv_sec: 5, tv_usec: 0)
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
      let size = socklen_t(MemoryLayout<timeval>.size)
      try require(unsafe Int(setsockopt(socket, SOL_SOCKET, option, &limit, size)), "limit waiting of")
    }
  }

  /// Port 0: one that is free.
  static func bind(_ socket: Int32, _ port: UInt16 = 0) throws(KernelError) {
    try require(unsafe withAddress(port) { unsafe Int(Glibc.bind(socket, $0, $1)) }, "bind")
  }

  static func connect(_ socket: Int32, _ port: UInt16) throws(KernelError) {
    try require(unsafe withAddress(port) { unsafe Int(Glibc.connect(socket, $0, $1)) }, "connect")
  }

  /// Room for 64 KiB on the way, so that one thread can send it and then receive it.
  static func enlarge(_ socket: Int32) throws(KernelError) {
    var size: Int32 = 200_000
    for option in [SO_SNDBUF, SO_RCVBUF] {
      try require(unsafe Int(setsockopt(socket, SOL_SOCKET, option, &size, 4)), "set buffer of")
    }
  }

  static func localPort(_ socket: Int32) throws(KernelError) -> UInt16 {
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let rc = unsafe withUnsafeMutablePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe getsockname(socket, $0, &length) }
    }
    try require(Int(rc), "name")
    return UInt16(bigEndian: address.sin_port)
  }

  /// Sends `count` bytes into one socket and receives them at the other.
  static func exchange(_ from: Int32, _ to: Int32, _ count: Int) throws(KernelError) {
    try unsafe withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { bytes throws(KernelError) in
      var sent = 0
      while sent < count {
        let rc = unsafe send(from, bytes.baseAddress, count - sent, 0)
        try require(rc, "send")
        sent += rc
      }
    }
    try receive(to, count)
  }

  static func receive(_ socket: Int32, _ count: Int) throws(KernelError) {
    try unsafe withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { bytes throws(KernelError) in
      var received = 0
      while received < count {
        let rc = unsafe recv(socket, bytes.baseAddress, count - received, 0)
        try require(rc > 0 ? rc : -1, "receive")
        received += rc
      }
    }
  }

  static func sendTo(_ socket: Int32, _ port: UInt16, _ count: Int) throws(KernelError) {
    try unsafe withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { bytes throws(KernelError) in
      let rc = unsafe withAddress(port) { unsafe sendto(socket, bytes.baseAddress, count, 0, $0, $1) }
      try require(rc, "send")
    }
  }

  /// Whether a connection to a forbidden port is made; it must be refused at once if it is not.
  static func comesThrough(_ socket: Int32, _ port: UInt16) throws(KernelError) -> Bool {
    let rc = unsafe withAddress(port) { unsafe Int(Glibc.connect(socket, $0, $1)) }
    guard rc < 0, errno != EPERM, errno != ECONNREFUSED else { return rc == 0 }
    throw KernelError("expect an answer of", "127.0.0.1:\(port)", Errno(rawValue: errno))
  }

  /// Whether a datagram waits at a socket; it is taken.
  static func takeWaiting(_ socket: Int32) -> Bool {
    var byte: UInt8 = 0
    return unsafe recv(socket, &byte, 1, Int32(MSG_DONTWAIT)) == 1
  }

  /// A connection that is refused whoever refuses it: by policy at once, else because the namespace has no route to an
  /// address of documentation (RFC 5737).
  static func expectRefusal(_ socket: Int32) throws(KernelError) {
    let rc = unsafe withAddress(9, in: 0xc000_0201) { unsafe Int(Glibc.connect(socket, $0, $1)) }
    guard rc < 0, errno == EPERM || errno == ENETUNREACH else {
      throw KernelError("expect refusal of", "192.0.2.1", Errno(rawValue: errno))
    }
  }

  /// Waits until somebody accepts connections at a port, five seconds at most.
  static func awaitServer(_ port: UInt16) throws(KernelError) {
    var last: KernelError?
    for _ in 0..<500 {
      let client = try socket(SOCK_STREAM)
      do throws(KernelError) { return try connect(client.raw, port) } catch { last = error }
      usleep(10_000)
    }
    throw last ?? KernelError("wait for", "port \(port)", .timedOut)
  }
}
