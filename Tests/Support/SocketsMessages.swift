// sendmsg and its relatives: chosen source addresses, many destinations in one call, descriptors passed to others.
internal import Glibc
internal import SystemPackage

extension TestSocket {
  /// Sends one datagram with a chosen source address: IP_PKTINFO or IPV6_PKTINFO.
  package func send(_ text: String, to address: String, _ port: UInt16, from source: String) throws {
    let chosen = try addressBytes(source)
    let isIPv4 = chosen.count == 4
    // in_pktinfo {ifindex, spec_dst, addr}; in6_pktinfo {addr, ifindex}.
    let body = isIPv4 ? [0, 0, 0, 0] + chosen + [0, 0, 0, 0] : chosen + [0, 0, 0, 0]
    try sendMessage(
      Array(text.utf8), to: try socketAddress(family, address, port),
      control: Self.control(level: isIPv4 ? 0 : 41, kind: isIPv4 ? 8 : 50, body))
  }

  /// One control message, with the padding that CMSG_SPACE has.
  private static func control(level: Int32, kind: Int32, _ body: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = []
    unsafe withUnsafeBytes(of: UInt64(16 + body.count)) { unsafe bytes += Array($0) }
    unsafe withUnsafeBytes(of: level) { unsafe bytes += Array($0) }
    unsafe withUnsafeBytes(of: kind) { unsafe bytes += Array($0) }
    return bytes + body + [UInt8](repeating: 0, count: (8 - body.count % 8) % 8)
  }

  private func sendMessage(_ payload: [UInt8], to name: [UInt8], control: [UInt8]) throws(Errno) {
    var payload = payload
    var name = name
    var control = control
    let rc = unsafe payload.withUnsafeMutableBytes { payload in
      unsafe name.withUnsafeMutableBytes { name in
        unsafe control.withUnsafeMutableBytes { control in
          var part = unsafe iovec(iov_base: payload.baseAddress, iov_len: payload.count)
          return unsafe withUnsafeMutablePointer(to: &part) { part in
            var message = unsafe msghdr()
            unsafe message.msg_name = name.isEmpty ? nil : name.baseAddress
            unsafe message.msg_namelen = socklen_t(name.count)
            unsafe message.msg_iov = part
            unsafe message.msg_iovlen = 1
            unsafe message.msg_control = control.isEmpty ? nil : control.baseAddress
            unsafe message.msg_controllen = control.count
            return unsafe sendmsg(raw, &message, Int32(MSG_NOSIGNAL))
          }
        }
      }
    }
    try Self.check(rc)
  }

  /// sendmmsg: the same text to many destinations in one call; says how many were sent before the first refusal.
  package func send(_ text: String, toEach places: [(address: String, port: UInt16)]) throws -> Int {
    // GNU-only, so the Glibc module does not show it.
    guard let symbol = unsafe dlsym(nil, "sendmmsg") else { throw Errno.noFunction }
    typealias Call = @convention(c) (Int32, UnsafeMutableRawPointer?, UInt32, Int32) -> Int32
    let call = unsafe unsafeBitCast(symbol, to: Call.self)
    let names = try places.map { try socketAddress(family, $0.address, $0.port) }
    let stride = names.map(\.count).max() ?? 0
    var nameBytes = names.flatMap { $0 + [UInt8](repeating: 0, count: stride - $0.count) }
    var payload = Array(text.utf8)
    let rc = unsafe nameBytes.withUnsafeMutableBytes { nameBytes in
      unsafe payload.withUnsafeMutableBytes { payload in
        var part = unsafe iovec(iov_base: payload.baseAddress, iov_len: payload.count)
        return unsafe withUnsafeMutablePointer(to: &part) { part in
          // struct mmsghdr: a msghdr (56 bytes) and its length, 64 bytes in all.
          let headers = UnsafeMutableRawPointer.allocate(byteCount: 64 * names.count, alignment: 8)
          defer { unsafe headers.deallocate() }
          unsafe headers.initializeMemory(as: UInt8.self, repeating: 0, count: 64 * names.count)
          for index in names.indices {
            var message = unsafe msghdr()
            unsafe message.msg_name = nameBytes.baseAddress.map { unsafe $0 + index * stride }
            unsafe message.msg_namelen = socklen_t(names[index].count)
            unsafe message.msg_iov = part
            unsafe message.msg_iovlen = 1
            unsafe headers.storeBytes(of: message, toByteOffset: index * 64, as: msghdr.self)
          }
          return unsafe call(raw, headers, UInt32(names.count), 0)
        }
      }
    }
    return Int(try Self.check(rc))
  }
}

/// Passes a socket through a pair of Unix sockets (SCM_RIGHTS): a new descriptor for the same socket.
package func passed(_ socket: TestSocket) throws -> TestSocket {
  var pair: [Int32] = [0, 0]
  try TestSocket.check(unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair))
  let ends = (TestSocket(adopting: pair[0]), TestSocket(adopting: pair[1]))
  try ends.0.sendDescriptor(socket.raw)
  return TestSocket(adopting: try ends.1.receiveDescriptor(), family: socket.family)
}

extension TestSocket {
  fileprivate func sendDescriptor(_ descriptor: Int32) throws(Errno) {
    var body: [UInt8] = []
    unsafe withUnsafeBytes(of: descriptor) { unsafe body += Array($0) }
    try sendMessage([0], to: [], control: Self.control(level: SOL_SOCKET, kind: 1, body))
  }

  fileprivate func receiveDescriptor() throws(Errno) -> Int32 {
    var payload: UInt8 = 0
    var control = [UInt8](repeating: 0, count: 24)
    let rc = unsafe control.withUnsafeMutableBytes { control in
      unsafe withUnsafeMutableBytes(of: &payload) { payload in
        var part = unsafe iovec(iov_base: payload.baseAddress, iov_len: 1)
        return unsafe withUnsafeMutablePointer(to: &part) { part in
          var message = unsafe msghdr()
          unsafe message.msg_iov = part
          unsafe message.msg_iovlen = 1
          unsafe message.msg_control = control.baseAddress
          unsafe message.msg_controllen = control.count
          return unsafe recvmsg(raw, &message, 0)
        }
      }
    }
    try Self.check(rc)
    return unsafe control.withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: 16, as: Int32.self) }
  }
}
