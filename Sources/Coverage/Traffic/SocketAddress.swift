// Socket addresses as the kernel reads them, made from text.
internal import Glibc
internal import Policy
internal import SystemPackage

/// The family of a socket; an IPv6 one may also speak IPv4 by mapped addresses.
package enum Family: Int32, Sendable, CaseIterable {
  /// AF_INET.
  case ipv4 = 2
  /// AF_INET6.
  case ipv6 = 10

  /// The loopback address of the family.
  package var loopback: String { self == .ipv4 ? "127.0.0.1" : "::1" }

  /// The family in which an address is usually written.
  package init(of address: String) { self = address.contains(":") ? .ipv6 : .ipv4 }
}

/// The bytes of a `sockaddr_in` or `sockaddr_in6`; in IPv6 an IPv4 address becomes a mapped one.
package func socketAddress(_ family: Family, _ address: String, _ port: UInt16) throws -> [UInt8] {
  let parts = address.split(separator: "%")
  let parsed = try IPAddress(parsing: String(parts.first ?? ""))
  let portBytes = [UInt8(port >> 8), UInt8(port & 0xff)]
  if family == .ipv4 {
    guard let number = parsed.ipv4 else { throw Errno.addressFamilyNotSupported }
    return [2, 0] + portBytes + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
      + Array(repeating: 0, count: 8)
  }
  let scope = parts.count == 2 ? UInt32(parts[1]) ?? 0 : 0
  let halves = (0..<16).map { parsed.bytes[$0] }
  return [10, 0] + portBytes + [0, 0, 0, 0] + halves + [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: scope >> $0) }
}

/// The bytes of an address in network order: 4 or 16.
package func addressBytes(_ address: String) throws -> [UInt8] {
  let parsed = try IPAddress(parsing: address)
  let all = (0..<16).map { parsed.bytes[$0] }
  return parsed.isIPv4 ? Array(all.suffix(4)) : all
}
