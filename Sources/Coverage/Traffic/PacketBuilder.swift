// Packets built word by word for test runs: Ethernet, IPv4 or IPv6 with extension headers, TCP, UDP, ICMP.

/// A packet in the making; every call returns a changed copy, `bytes` is the result with lengths and checksums.
///
/// `PacketBuilder.ipv4(from: [10, 0, 0, 1], to: [10, 0, 0, 2]).tcp(from: 40000, to: 443, flags: .syn).bytes`
package struct PacketBuilder: Sendable {
  /// The flags of a TCP header.
  package struct TCPFlags: OptionSet, Sendable {
    /// The flag byte of the header.
    package let rawValue: UInt8
    /// Wraps the flag byte.
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    /// No more data from the sender.
    package static let fin = TCPFlags(rawValue: 1)
    /// Synchronise sequence numbers.
    package static let syn = TCPFlags(rawValue: 2)
    /// Reset.
    package static let rst = TCPFlags(rawValue: 4)
    /// Push.
    package static let psh = TCPFlags(rawValue: 8)
    /// The acknowledgement number counts.
    package static let ack = TCPFlags(rawValue: 16)
  }

  private let source: [UInt8]
  private let destination: [UInt8]
  private var transportProtocol: UInt8 = 59
  private var transport: [UInt8] = []
  private var extensions: [(kind: UInt8, body: [UInt8])] = []
  private var options: [UInt8] = []
  private var fragmentField: UInt16 = 0
  private var identification: UInt32 = 0x1234
  private var hopLimit: UInt8 = 64
  private var checksumOffset: Int?
  private var cut: Int?
  private var ethernet = true

  private var isIPv6: Bool { source.count == 16 }

  private init(source: [UInt8], destination: [UInt8]) {
    self.source = source
    self.destination = destination
  }

  /// An IPv4 packet; addresses are 4 bytes in network order.
  package static func ipv4(from source: [UInt8], to destination: [UInt8]) -> PacketBuilder {
    PacketBuilder(source: fit(source, 4), destination: fit(destination, 4))
  }

  /// An IPv6 packet; addresses are 16 bytes in network order.
  package static func ipv6(from source: [UInt8], to destination: [UInt8]) -> PacketBuilder {
    PacketBuilder(source: fit(source, 16), destination: fit(destination, 16))
  }

  private static func fit(_ address: [UInt8], _ count: Int) -> [UInt8] {
    Array((address + [UInt8](repeating: 0, count: count)).prefix(count))
  }

  private func with(_ change: (inout PacketBuilder) -> Void) -> PacketBuilder {
    var copy = self
    change(&copy)
    return copy
  }

  // MARK: Transport

  /// A TCP segment; `options` are padded to a multiple of 4 bytes, at most 40.
  package func tcp(
    from source: UInt16, to destination: UInt16, flags: TCPFlags = .syn, sequence: UInt32 = 1,
    acknowledgement: UInt32 = 0, options: [UInt8] = [], payload: [UInt8] = []
  ) -> PacketBuilder {
    let padded = options + [UInt8](repeating: 0, count: (4 - options.count % 4) % 4)
    let length = UInt8(truncatingIfNeeded: (20 + padded.count) / 4) << 4
    let head = big(source) + big(destination) + big(sequence) + big(acknowledgement) + [length, flags.rawValue]
    return with {
      $0.transportProtocol = 6
      $0.transport = head + big(UInt16(65535)) + [0, 0, 0, 0] + padded + payload
      $0.checksumOffset = 16
    }
  }

  /// A UDP datagram.
  package func udp(from source: UInt16, to destination: UInt16, payload: [UInt8] = []) -> PacketBuilder {
    let length = UInt16(truncatingIfNeeded: 8 + payload.count)
    return with {
      $0.transportProtocol = 17
      $0.transport = big(source) + big(destination) + big(length) + [0, 0] + payload
      $0.checksumOffset = 6
    }
  }

  /// An ICMP message, or ICMPv6 in an IPv6 packet; `rest` is the header's last 4 bytes, such as id and sequence.
  package func icmp(
    type: UInt8, code: UInt8 = 0, rest: (UInt16, UInt16) = (0, 0), payload: [UInt8] = []
  ) -> PacketBuilder {
    with {
      $0.transportProtocol = isIPv6 ? 58 : 1
      $0.transport = [type, code, 0, 0] + big(rest.0) + big(rest.1) + payload
      $0.checksumOffset = 2
    }
  }

  /// Any other protocol by number, with its header and payload as they are.
  package func other(_ number: UInt8, _ payload: [UInt8] = []) -> PacketBuilder {
    with {
      $0.transportProtocol = number
      $0.transport = payload
      $0.checksumOffset = nil
    }
  }

  // MARK: Network

  /// An IPv6 extension header before the transport: 0 hop-by-hop, 43 routing, 60 destination options.
  ///
  /// `body` follows next header and length; it is padded with PadN to a multiple of 8 bytes.
  package func extensionHeader(_ kind: UInt8, _ body: [UInt8] = []) -> PacketBuilder {
    with { $0.extensions.append((kind, body)) }
  }

  /// IPv4 options, padded with end-of-options to a multiple of 4 bytes, at most 40.
  package func ipOptions(_ bytes: [UInt8]) -> PacketBuilder {
    with { $0.options = bytes + [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4) }
  }

  /// A fragment at `offset` bytes, a multiple of 8; one that is not the first has no transport header, only payload.
  ///
  /// In IPv6 this adds a fragment header after the other extension headers.
  package func fragment(offset: UInt16, more: Bool, identification: UInt32 = 0x1234) -> PacketBuilder {
    with {
      $0.fragmentField = isIPv6 ? offset & 0xfff8 | (more ? 1 : 0) : offset >> 3 | (more ? 0x2000 : 0)
      $0.identification = identification
      if isIPv6 { $0.extensions.append((44, [])) }
    }
  }

  /// Another hop limit (time to live) than 64.
  package func hopLimit(_ value: UInt8) -> PacketBuilder { with { $0.hopLimit = value } }

  /// Cuts the finished packet (without the Ethernet header) to `count` bytes: lengths in headers stay as they were.
  package func truncated(to count: Int) -> PacketBuilder { with { $0.cut = count } }

  /// Leaves the Ethernet header out.
  package var withoutEthernet: PacketBuilder { with { $0.ethernet = false } }

  // MARK: The result

  /// The packet, with its 14-byte Ethernet header unless it was left out.
  package var bytes: [UInt8] {
    let packet = isIPv6 ? ipv6Packet : ipv4Packet
    let cutPacket = cut.map { Array(packet.prefix($0)) } ?? packet
    guard ethernet else { return cutPacket }
    let type: [UInt8] = isIPv6 ? [0x86, 0xdd] : [0x08, 0x00]
    return [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1] + type + cutPacket
  }

  private var ipv4Packet: [UInt8] {
    let payload = checkedTransport
    let headLength = 20 + options.count
    let total = UInt16(truncatingIfNeeded: headLength + payload.count)
    let version = 0x40 | UInt8(truncatingIfNeeded: headLength / 4)
    var head = [version, 0] + big(total) + big(UInt16(truncatingIfNeeded: identification)) + big(fragmentField)
    head += [hopLimit, transportProtocol, 0, 0] + source + destination + options
    head.replaceSubrange(10..<12, with: big(checksum(head)))
    return head + payload
  }

  private var ipv6Packet: [UInt8] {
    var chain: [UInt8] = []
    for (index, header) in extensions.enumerated() {
      let next = index + 1 < extensions.count ? extensions[index + 1].kind : transportProtocol
      if header.kind == 44 {
        chain += [next, 0] + big(fragmentField) + big(identification)
        continue
      }
      let gap = (8 - (2 + header.body.count) % 8) % 8
      let padding = gap == 0 ? [] : gap == 1 ? [0] : [1, UInt8(gap - 2)] + [UInt8](repeating: 0, count: gap - 2)
      chain += [next, UInt8(truncatingIfNeeded: (2 + header.body.count + gap) / 8 - 1)] + header.body + padding
    }
    let payload = chain + checkedTransport
    let next = extensions.first?.kind ?? transportProtocol
    return [0x60, 0, 0, 0] + big(UInt16(truncatingIfNeeded: payload.count)) + [next, hopLimit]
      + source + destination + payload
  }

  /// The transport with its checksum, which a first fragment's bytes alone do not change.
  private var checkedTransport: [UInt8] {
    guard let checksumOffset, transport.count > checksumOffset + 1 else { return transport }
    var pseudo: [UInt8] = []
    // ICMP over IPv4 is the one that sums no addresses.
    if transportProtocol != 1 {
      pseudo = source + destination
      pseudo += big(UInt32(truncatingIfNeeded: transport.count)) + [0, 0, 0, transportProtocol]
    }
    var sum = checksum(pseudo + transport)
    if sum == 0, transportProtocol == 17 { sum = 0xffff }
    var checked = transport
    checked.replaceSubrange(checksumOffset..<checksumOffset + 2, with: big(sum))
    return checked
  }
}

/// The bytes of a number in network order.
private func big<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
  stride(from: T.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> T($0)) }
}

/// The ones' complement sum of RFC 1071.
private func checksum(_ bytes: [UInt8]) -> UInt16 {
  var sum: UInt32 = 0
  for index in stride(from: 0, to: bytes.count, by: 2) {
    let low = index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0
    sum += UInt32(bytes[index]) << 8 | low
  }
  while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
  return ~UInt16(truncatingIfNeeded: sum)
}
