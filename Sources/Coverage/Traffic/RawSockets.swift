// Frames and whole packets: what a process with CAP_NET_RAW can put on a wire.
internal import Glibc
package import SystemPackage

extension ProbeSocket {
  /// A packet socket that sends frames; it belongs to the calling thread's network namespace.
  ///
  /// `receiving` is the kind of frames that it gets, as in `ETH_P_ALL`; 0 = none.
  package static func frames(receiving kind: Int32 = 0) throws(Errno) -> ProbeSocket {
    let flags = Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let made = try check(
      socket(17, Int32(SOCK_RAW.rawValue) | flags, Int32(UInt16(truncatingIfNeeded: kind).bigEndian)))
    return ProbeSocket(adopting: made)
  }

  /// Sends a frame through an interface of the calling thread's network namespace.
  package func send(frame: [UInt8], through interface: String) throws(Errno) {
    let index = unsafe if_nametoindex(interface)
    guard index != 0 else { throw .noSuchAddressOrDevice }
    var name: [UInt8] = [17, 0, frame[12], frame[13]]
    name += [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: index >> $0) }
    name += [0, 0, 0, 6] + frame.prefix(6) + [0, 0]
    let rc = unsafe frame.withUnsafeBytes { frame in
      unsafe name.withUnsafeBytes { name in
        unsafe sendto(
          raw, frame.baseAddress, frame.count, 0, name.baseAddress?.assumingMemoryBound(to: sockaddr.self),
          socklen_t(name.count))
      }
    }
    try Self.check(rc)
  }

  /// A raw socket that sends IP headers as given; it receives nothing.
  package static func packets(_ family: Family = .ipv4) throws(Errno) -> ProbeSocket {
    let socket = try rawIP(family, protocol: 255)
    if family == .ipv6 { try socket.setOption(41, 36, 1) }
    return socket
  }

  /// A raw socket for ICMP or ICMPv6; the kernel fills in ICMPv6's checksum.
  package static func icmp(_ family: Family = .ipv4) throws(Errno) -> ProbeSocket {
    try rawIP(family, protocol: family == .ipv4 ? 1 : 58)
  }
}

/// An ICMP or ICMPv6 message with an even number of bytes of payload, and ICMP's checksum (ICMPv6's is the kernel's).
package func icmpMessage(
  _ type: UInt8, code: UInt8 = 0, id: UInt16 = 0, sequence: UInt16 = 1,
  payload: [UInt8] = [UInt8](repeating: 0x2a, count: 8)
) -> [UInt8] {
  var bytes: [UInt8] = [
    type, code, 0, 0, UInt8(id >> 8), UInt8(id & 0xff), UInt8(sequence >> 8), UInt8(sequence & 0xff),
  ]
  bytes += payload
  var sum: UInt32 = 0
  for index in stride(from: 0, to: bytes.count, by: 2) { sum += UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1]) }
  while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
  let folded = ~UInt16(truncatingIfNeeded: sum)
  bytes[2] = UInt8(folded >> 8)
  bytes[3] = UInt8(folded & 0xff)
  return bytes
}
