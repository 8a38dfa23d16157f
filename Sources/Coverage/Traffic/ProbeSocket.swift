// Sockets as probes and tests use them: what fails is an Errno, and what waits has a deadline.
package import Glibc
package import Kernel
package import SystemPackage

/// A socket of any kind, non-blocking, closed when it goes; usable from any thread.
package final class ProbeSocket: Sendable {
  /// The socket.
  package let descriptor: OwnedDescriptor
  /// Its family; sockets that have none say `.ipv4`.
  package let family: Family

  /// The number of the descriptor.
  package var raw: Int32 { descriptor.raw }

  /// How long anything that is expected to succeed may take, in milliseconds.
  package static let patience: Int32 = 8000

  /// Takes ownership of a descriptor.
  package init(adopting raw: Int32, family: Family = .ipv4) {
    descriptor = OwnedDescriptor(adopting: raw)
    self.family = family
  }

  /// A new socket by the three numbers of socket(2); belongs to the cgroup of the calling thread.
  package convenience init(family: Family, type: Int32, protocol: Int32 = 0) throws(Errno) {
    let flags = Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    self.init(adopting: try Self.check(socket(family.rawValue, type | flags, `protocol`)), family: family)
  }

  /// A TCP socket.
  package static func tcp(_ family: Family = .ipv4) throws(Errno) -> ProbeSocket {
    try ProbeSocket(family: family, type: Int32(SOCK_STREAM.rawValue))
  }

  /// A UDP socket.
  package static func udp(_ family: Family = .ipv4) throws(Errno) -> ProbeSocket {
    try ProbeSocket(family: family, type: Int32(SOCK_DGRAM.rawValue))
  }

  /// A raw socket of a protocol; 255 (IPPROTO_RAW) sends IP headers as given.
  package static func rawIP(_ family: Family = .ipv4, protocol: Int32) throws(Errno) -> ProbeSocket {
    try ProbeSocket(family: family, type: Int32(SOCK_RAW.rawValue), protocol: `protocol`)
  }

  /// A listening TCP socket.
  package static func listening(_ address: String, _ port: UInt16, backlog: Int32 = 64) throws -> ProbeSocket {
    let listener = try tcp(Family(of: address))
    try listener.bind(address, port)
    try check(listen(listener.raw, backlog))
    return listener
  }

  /// A bound UDP socket.
  package static func bound(_ address: String, _ port: UInt16) throws -> ProbeSocket {
    let socket = try udp(Family(of: address))
    try socket.bind(address, port)
    return socket
  }

  // MARK: Set up

  /// Binds, with SO_REUSEADDR; an address in use is waited for, up to a second.
  ///
  /// A child that this process starts holds a copy of every descriptor until its exec(2) closes them, so a socket closed
  /// here may keep its port for that long. The kernel tells nobody when it is free.
  package func bind(_ address: String, _ port: UInt16 = 0) throws {
    try setOption(SOL_SOCKET, SO_REUSEADDR, 1)
    for attempt in 1...100 {
      do {
        _ = try unsafe withAddress(address, port) { unsafe Glibc.bind(raw, $0, $1) }
        return
      } catch Errno.addressInUse where attempt < 100 {
        _ = poll(nil, 0, 10)
      }
    }
  }

  /// Binds to a name that is given as it is.
  package func bind(name: [UInt8]) throws(Errno) {
    let rc = unsafe name.withUnsafeBytes { bytes in
      unsafe Glibc.bind(raw, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
    }
    try Self.check(rc)
  }

  /// Sets an option that is an int.
  package func setOption(_ level: Int32, _ option: Int32, _ value: Int32) throws(Errno) {
    var value = value
    try Self.check(unsafe setsockopt(raw, level, option, &value, 4))
  }

  /// Sets an option that is bytes, such as a group membership.
  package func setOption(_ level: Int32, _ option: Int32, bytes: [UInt8]) throws(Errno) {
    try Self.check(
      unsafe bytes.withUnsafeBytes { unsafe setsockopt(raw, level, option, $0.baseAddress, socklen_t($0.count)) })
  }

  /// The port it is bound to.
  package var localPort: UInt16 {
    get throws(Errno) {
      var name = [UInt8](repeating: 0, count: 28)
      var length = socklen_t(name.count)
      let rc = unsafe name.withUnsafeMutableBytes { bytes in
        unsafe getsockname(raw, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
      }
      try Self.check(rc)
      return UInt16(name[2]) << 8 | UInt16(name[3])
    }
  }

  /// Begins to listen.
  package func startListening(backlog: Int32 = 64) throws(Errno) { try Self.check(listen(raw, backlog)) }

  // MARK: Connections

  /// Begins to connect; success also means that it is under way.
  package func startConnect(_ address: String, _ port: UInt16) throws {
    do {
      _ = try unsafe withAddress(address, port) { unsafe Glibc.connect(raw, $0, $1) }
    } catch let error as Errno where error == .nowInProgress {}
  }

  /// Connects; `.timedOut` if it takes longer than `milliseconds`.
  package func connect(_ address: String, _ port: UInt16, within milliseconds: Int32 = patience) throws {
    try startConnect(address, port)
    try finishConnect(within: milliseconds)
  }

  /// Waits for a connection that was begun.
  package func finishConnect(within milliseconds: Int32 = patience) throws(Errno) {
    try wait(for: Int16(POLLOUT), milliseconds)
    try throwPendingError()
  }

  /// Throws the error that waits in the socket, and clears it.
  package func throwPendingError() throws(Errno) {
    var error: Int32 = 0
    var length = socklen_t(4)
    try Self.check(unsafe getsockopt(raw, SOL_SOCKET, SO_ERROR, &error, &length))
    if error != 0 { throw Errno(rawValue: error) }
  }

  /// connect() to AF_UNSPEC: lets go of the destination.
  package func disconnect() throws(Errno) {
    let unspecified = [UInt8](repeating: 0, count: 16)
    let rc = unsafe unspecified.withUnsafeBytes { bytes in
      unsafe Glibc.connect(raw, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), 16)
    }
    try Self.check(rc)
  }

  /// Accepts one connection; the thread that calls it owns nothing: the connection belongs to the listener's cgroup.
  package func accept(within milliseconds: Int32 = patience) throws(Errno) -> ProbeSocket {
    try wait(for: Int16(POLLIN), milliseconds)
    // In one step: a child that another test starts meanwhile must not inherit it.
    do throws(KernelError) {
      return ProbeSocket(adopting: try descriptor.accept(), family: family)
    } catch { throw error.errno }
  }

  /// Whether something can be read (or accepted) now.
  package var isReadable: Bool { (try? wait(for: Int16(POLLIN), 0)) != nil }

  // MARK: Bytes

  /// Sends on a connected socket.
  @discardableResult
  package func send(_ text: String, flags: Int32 = 0) throws(Errno) -> Int {
    let bytes = Array(text.utf8)
    return try Self.check(
      unsafe bytes.withUnsafeBytes { unsafe Glibc.send(raw, $0.baseAddress, $0.count, flags | noSignal) })
  }

  /// Sends bytes on a connected socket.
  @discardableResult
  package func send(rawBytes bytes: [UInt8]) throws(Errno) -> Int {
    try Self.check(unsafe bytes.withUnsafeBytes { unsafe Glibc.send(raw, $0.baseAddress, $0.count, noSignal) })
  }

  /// Sends one datagram.
  @discardableResult
  package func send(_ text: String, to address: String, _ port: UInt16, flags: Int32 = 0) throws -> Int {
    try send(bytes: Array(text.utf8), to: address, port, flags: flags)
  }

  /// Sends one datagram or raw packet.
  @discardableResult
  package func send(bytes: [UInt8], to address: String, _ port: UInt16 = 0, flags: Int32 = 0) throws -> Int {
    try unsafe withAddress(address, port) { name, length in
      unsafe bytes.withUnsafeBytes { unsafe sendto(raw, $0.baseAddress, $0.count, flags | noSignal, name, length) }
    }
  }

  /// What arrives, as text; empty at the end of a stream; `.timedOut` if nothing comes.
  package func receive(within milliseconds: Int32 = patience) throws(Errno) -> String {
    String(decoding: try receiveBytes(within: milliseconds), as: UTF8.self)
  }

  /// What arrives, as bytes.
  package func receiveBytes(within milliseconds: Int32 = patience) throws(Errno) -> [UInt8] {
    try wait(for: Int16(POLLIN), milliseconds)
    var buffer = [UInt8](repeating: 0, count: 65536)
    let count = try Self.check(unsafe buffer.withUnsafeMutableBytes { unsafe recv(raw, $0.baseAddress, $0.count, 0) })
    return Array(buffer.prefix(count))
  }

  /// The bytes of a datagram and of its sender's name, for an answer.
  package func receiveFrom(within milliseconds: Int32 = patience) throws(Errno) -> (text: String, sender: [UInt8]) {
    try wait(for: Int16(POLLIN), milliseconds)
    var buffer = [UInt8](repeating: 0, count: 65536)
    var name = [UInt8](repeating: 0, count: 28)
    var length = socklen_t(name.count)
    let count = unsafe buffer.withUnsafeMutableBytes { bytes in
      unsafe name.withUnsafeMutableBytes { out in
        unsafe recvfrom(
          raw, bytes.baseAddress, bytes.count, 0, out.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
      }
    }
    return (String(decoding: buffer.prefix(try Self.check(count)), as: UTF8.self), Array(name.prefix(Int(length))))
  }

  /// Answers a datagram.
  @discardableResult
  package func reply(_ text: String, to name: [UInt8]) throws(Errno) -> Int {
    let bytes = Array(text.utf8)
    let count = unsafe bytes.withUnsafeBytes { bytes in
      unsafe name.withUnsafeBytes { name in
        unsafe sendto(
          raw, bytes.baseAddress, bytes.count, noSignal, name.baseAddress?.assumingMemoryBound(to: sockaddr.self),
          socklen_t(name.count))
      }
    }
    return try Self.check(count)
  }

  // MARK: Underneath

  private var noSignal: Int32 { Int32(MSG_NOSIGNAL) }

  /// Waits for poll events; an error that is pending counts as ready.
  package func wait(for events: Int16, _ milliseconds: Int32) throws(Errno) {
    let deadline = Clock.monotonicNanoseconds() + UInt64(milliseconds) * 1_000_000
    while true {
      let now = Clock.monotonicNanoseconds()
      var watched = pollfd(fd: raw, events: events, revents: 0)
      let rest = now < deadline ? Int32((deadline - now + 999_999) / 1_000_000) : 0
      let rc = unsafe poll(&watched, 1, rest)
      if rc > 0 { return }
      if rc == 0 { throw .timedOut }
      if errno != EINTR { throw Errno(rawValue: errno) }
    }
  }

  /// Calls `body` with the bytes of an address; a negative result becomes the errno.
  package func withAddress<R: FixedWidthInteger>(
    _ address: String, _ port: UInt16, _ body: (UnsafePointer<sockaddr>?, socklen_t) -> R
  ) throws -> R {
    let name = try socketAddress(family, address, port)
    let rc = unsafe name.withUnsafeBytes { bytes in
      unsafe body(bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
    }
    return try Self.check(rc)
  }

  /// Turns -1 into the errno; anything else is the result.
  @discardableResult
  package static func check<R: FixedWidthInteger>(_ rc: R) throws(Errno) -> R {
    if rc < 0 { throw Errno(rawValue: errno) }
    return rc
  }
}
