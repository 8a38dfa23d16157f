// Names of hosts to addresses, as the C library of this host resolves them.
internal import Glibc
internal import SystemPackage

/// A lookup that found nothing, in the resolver's words.
package struct NameLookupError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The name.
  package let name: String
  /// Why, such as `Name or service not known`.
  package let reason: String
  /// Whether a server said that there is no such name; otherwise none gave an answer.
  package let isDefinite: Bool

  /// One line.
  package var description: String { "resolve \(name): \(reason)" }
}

/// An address as 16 bytes in network order (IPv4 as `::ffff:a.b.c.d`) and as text.
package struct ResolvedAddress: Equatable, Sendable {
  /// The bytes.
  package let bytes: [UInt8]
  /// Whether it is one of IPv4.
  package let isIPv4: Bool
  /// Without brackets.
  package let text: String

  /// The bytes as `ConnectionProbe.connect` takes them.
  package var inline: InlineArray<16, UInt8> { InlineArray { bytes[$0] } }
}

/// Lookups of names.
package enum NameLookup {
  /// The addresses of a name, or of an address written as text, in the order in which they should be tried.
  ///
  /// Blocks for as long as the resolver's settings say, which may be minutes: call it on a thread that nobody waits for
  /// without a limit. The corresponding function is `getaddrinfo`.
  package static func addresses(of name: String) throws(NameLookupError) -> [ResolvedAddress] {
    var hints = unsafe addrinfo()
    unsafe hints.ai_family = AF_UNSPEC
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let rc = unsafe getaddrinfo(name, nil, &hints, &list)
    guard rc == 0 else {
      let reason = unsafe gai_strerror(rc).map { unsafe String(cString: $0) } ?? "code \(rc)"
      throw NameLookupError(name: name, reason: reason, isDefinite: rc == EAI_NONAME)
    }
    defer { unsafe freeaddrinfo(list) }
    var found: [ResolvedAddress] = []
    var next = unsafe list
    while let entry = unsafe next {
      if let address = unsafe address(entry.pointee), !found.contains(address) { found.append(address) }
      unsafe next = entry.pointee.ai_next
    }
    return found
  }

  private static func address(_ entry: addrinfo) -> ResolvedAddress? {
    guard let name = unsafe entry.ai_addr else { return nil }
    // sockaddr_in: the address is at byte 4; sockaddr_in6: at byte 8.
    let raw = unsafe UnsafeRawBufferPointer(start: name, count: Int(entry.ai_addrlen))
    let family = unsafe entry.ai_family
    let isIPv4 = family == AF_INET
    guard isIPv4 || family == AF_INET6 else { return nil }
    let bytes = unsafe Array(raw[isIPv4 ? 4..<8 : 8..<24])
    var text = [CChar](repeating: 0, count: 64)
    guard unsafe inet_ntop(family, bytes, &text, 64) != nil else { return nil }
    let shown = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let mapped: [UInt8] = isIPv4 ? [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] + bytes : bytes
    return ResolvedAddress(bytes: mapped, isIPv4: isIPv4, text: shown)
  }
}
