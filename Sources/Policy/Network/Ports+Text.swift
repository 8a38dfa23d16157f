// How protocols and ports are written: `tcp/80`, `udp/1000-2000`, `icmp/8`, `ip/47`, `gre`, `any`.

extension IPProtocol: CustomStringConvertible {
  private static let names: [(String, UInt8)] = [
    ("icmp", 1), ("igmp", 2), ("tcp", 6), ("udp", 17), ("dccp", 33), ("gre", 47), ("esp", 50), ("ah", 51),
    ("icmp6", 58), ("ospf", 89), ("vrrp", 112), ("sctp", 132), ("udplite", 136),
  ]

  /// The protocol of a name as documents use it, or nil.
  package init?(named name: String) {
    guard let found = IPProtocol.names.first(where: { $0.0 == name }) else { return nil }
    self.init(rawValue: found.1)
  }

  /// The name as documents use it, or `ip/NUMBER`.
  package var description: String {
    IPProtocol.names.first { $0.1 == rawValue }?.0 ?? "ip/\(rawValue)"
  }
}

/// A port specification that cannot be read.
package struct PortError: Error, Equatable, CustomStringConvertible {
  /// The text that was read.
  package let text: String
  /// What is wrong with it.
  package let problem: String
  /// What to write in its place.
  package let remedy: String

  /// One line.
  package var description: String { "\(text.shown) \(problem); \(remedy)" }
}

extension PortSpec: CustomStringConvertible {
  /// Reads `any`, `tcp`, `tcp/443`, `tcp/8000-8080`, `icmp/8`, `ip/47`, `gre`.
  package init(parsing text: String) throws(PortError) {
    func fail(_ problem: String, _ remedy: String) -> PortError {
      PortError(text: text, problem: problem, remedy: remedy)
    }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    if parts == ["any"] {
      self = .any
      return
    }
    guard let name = parts.first, parts.count <= 2 else {
      throw fail("is not a port", "write it like tcp/443, udp/53, tcp/8000-8080, icmp/8 or any")
    }
    if name == "ip" {
      guard parts.count == 2, let number = IPAddress.decimal(Array(parts[1].utf8)[...], digits: 3), number <= 255 else {
        throw fail("has no protocol number in 0…255", "write it like ip/47")
      }
      self = .all(IPProtocol(rawValue: UInt8(number)))
      return
    }
    guard let proto = IPProtocol(named: name) else {
      throw fail(
        "does not begin with a protocol",
        "write it like tcp/443, udp/53, sctp/5060, icmp/8, icmp6/128, gre, ip/47 or any")
    }
    guard parts.count == 2 else {
      self = .all(proto)
      return
    }
    guard proto.lastPort > 0 else { throw fail("gives a port to a protocol that has none", "write \(proto)") }
    let what = proto.hasPorts ? "port" : "type"
    let ends = parts[1].split(separator: "-", omittingEmptySubsequences: false)
    let numbers = ends.compactMap { IPAddress.decimal(Array($0.utf8)[...], digits: 7) }
    guard numbers.count == ends.count, ends.count <= 2, let first = numbers.first, let last = numbers.last else {
      throw fail("has no \(what) number or range after the /", "write it like \(proto)/8 or \(proto)/8-15")
    }
    guard max(first, last) <= Int(proto.lastPort) else {
      throw fail("has a \(what) outside 0…\(proto.lastPort)", "give a \(what) from 0 to \(proto.lastPort)")
    }
    guard first <= last else { throw fail("is a range that ends before it begins", "write \(proto)/\(last)-\(first)") }
    self = .ports(proto, PortRange(UInt16(first), UInt16(last)))
  }

  /// The canonical form, which `init(parsing:)` reads back.
  package var description: String {
    switch self {
    case .any: "any"
    case .ports(let proto, let range) where range == PortRange(0, proto.lastPort): proto.description
    case .ports(let proto, let range) where range.first == range.last: "\(proto)/\(range.first)"
    case .ports(let proto, let range): "\(proto)/\(range.first)-\(range.last)"
    }
  }
}
