// Protocols, port ranges and what a rule says about them.

/// An IP protocol number.
package struct IPProtocol: RawRepresentable, Sendable, Hashable, Comparable {
  /// The number of the IPv4 protocol or IPv6 next header field.
  package let rawValue: UInt8

  /// Takes the number of the IPv4 protocol or IPv6 next header field.
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  /// ICMP for IPv4.
  package static let icmp = IPProtocol(rawValue: 1)
  /// TCP.
  package static let tcp = IPProtocol(rawValue: 6)
  /// UDP.
  package static let udp = IPProtocol(rawValue: 17)
  /// ICMP for IPv6.
  package static let icmp6 = IPProtocol(rawValue: 58)
  /// SCTP.
  package static let sctp = IPProtocol(rawValue: 132)

  /// Whether destination ports are told apart.
  package var hasPorts: Bool { self == .tcp || self == .udp || self == .sctp }
  /// Whether message types are told apart.
  package var hasTypes: Bool { self == .icmp || self == .icmp6 }

  /// The largest port or type: 65535, 255, or 0 for protocols with neither.
  package var lastPort: UInt16 { hasPorts ? 65535 : hasTypes ? 255 : 0 }

  /// Orders by number.
  package static func < (left: IPProtocol, right: IPProtocol) -> Bool { left.rawValue < right.rawValue }
}

/// An inclusive range of destination ports or ICMP types, in host byte order.
package struct PortRange: Sendable, Hashable, Comparable {
  /// The first port.
  package let first: UInt16
  /// The last port, not below the first.
  package let last: UInt16

  /// Takes both ends in any order.
  package init(_ one: UInt16, _ other: UInt16) {
    first = min(one, other)
    last = max(one, other)
  }

  /// Whether the port is in the range.
  package func contains(_ port: UInt16) -> Bool { first <= port && port <= last }

  /// Orders by first port, then by last.
  package static func < (left: PortRange, right: PortRange) -> Bool {
    left.first == right.first ? left.last < right.last : left.first < right.first
  }
}

/// What a rule says about protocol and port.
package enum PortSpec: Sendable, Hashable {
  /// Every protocol and port.
  case any
  /// One protocol, and of it these destination ports (TCP, UDP, SCTP) or types (ICMP, ICMPv6). Other protocols have
  /// the range 0…0.
  case ports(IPProtocol, PortRange)

  /// All of one protocol.
  package static func all(_ proto: IPProtocol) -> PortSpec { .ports(proto, PortRange(0, proto.lastPort)) }

  /// Whether a destination port (or ICMP type; 0 for other protocols) is meant.
  package func contains(_ proto: IPProtocol, _ port: UInt16) -> Bool {
    switch self {
    case .any: true
    case .ports(let own, let range): own == proto && range.contains(port)
    }
  }
}
