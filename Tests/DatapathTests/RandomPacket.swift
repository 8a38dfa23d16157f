// Random packets of every protocol that policy knows, with what the specification says of them.
import Policy
import TestSupport

/// One packet in one direction, and the flow that it is of.
struct RandomPacket: Sendable {
  /// Ethernet header and packet.
  let bytes: [UInt8]
  /// As the specification takes it: protocol and destination port, ICMP type, or 0.
  let proto: IPProtocol
  let port: UInt16
  /// For the row that says who sent it; network order values as numbers.
  let (sourcePort, destinationPort, sequence): (UInt16, UInt16, UInt32)

  static let ports: [UInt16] = [0, 1, 2, 21, 22, 23, 53, 80, 81, 442, 443, 444, 8000, 8050, 8081, 65533, 65534, 65535]

  /// Draws a packet between two addresses of one family; `number` makes its source port or identifier its own.
  init(from source: IPAddress, to destination: IPAddress, number: Int, using random: inout SeededGenerator) {
    let isIPv4 = source.isIPv4
    func raw(_ address: IPAddress) -> [UInt8] {
      let all = (0..<16).map { address.bytes[$0] }
      return isIPv4 ? Array(all.suffix(4)) : all
    }
    var builder =
      isIPv4
      ? PacketBuilder.ipv4(from: raw(source), to: raw(destination))
      : PacketBuilder.ipv6(from: raw(source), to: raw(destination))
    if isIPv4 {
      if random.oneIn(4) { builder = builder.ipOptions([UInt8](repeating: 1, count: 4 * (1 + random.below(10)))) }
    } else {
      for _ in 0..<random.below(4) {
        let body = [UInt8](repeating: 0, count: random.below(30))
        builder = builder.extensionHeader(random.pick([0, 43, 60]) ?? 60, body)
      }
    }
    let own = UInt16(truncatingIfNeeded: 1024 + number % 60000)
    let destinationPort = random.pick(Self.ports) ?? 0
    let sequence = UInt32(truncatingIfNeeded: random.next())
    let icmp: IPProtocol = isIPv4 ? .icmp : .icmp6
    let others = [IPProtocol(rawValue: 47), IPProtocol(rawValue: 255)]
    let kinds: [IPProtocol] = [.tcp, .tcp, .tcp, .udp, .udp, .sctp, icmp, icmp] + others
    proto = random.pick(kinds) ?? .tcp
    switch proto {
    case .tcp:
      builder = builder.tcp(from: own, to: destinationPort, flags: .syn, sequence: sequence)
      (port, sourcePort, self.destinationPort, self.sequence) = (destinationPort, own, destinationPort, sequence)
    case .udp:
      builder = builder.udp(from: own, to: destinationPort, payload: [1, 2, 3])
      (port, sourcePort, self.destinationPort, self.sequence) = (destinationPort, own, destinationPort, 0)
    case .sctp:
      let ports = [own >> 8, own & 0xff, destinationPort >> 8, destinationPort & 0xff].map { UInt8($0) }
      builder = builder.other(KernelNumbers.sctp, ports + [UInt8](repeating: 0, count: 12))
      (port, sourcePort, self.destinationPort, self.sequence) = (destinationPort, own, destinationPort, 0)
    case .icmp, .icmp6:
      // No type passes by itself, whatever its hop limit: the sockets of test runs are neither raw nor the kernel's own.
      let type = UInt8(random.pick([0, 1, 3, 8, 11, 13, 128, 129, 2, 21, 22, 53, 80, 133, 135, 143, 255]) ?? 8)
      builder = builder.hopLimit(random.pick([1, 64, 255]) ?? 64)
      let code = UInt8(random.below(6))
      builder = builder.icmp(type: type, code: code, rest: (own, 1))
      // The row about the sender has the identifier and the type in the places of the ports.
      let kind = UInt16(type)
      (port, sourcePort, self.destinationPort, self.sequence) = (kind, own, kind.byteSwapped, 0)
    default:
      builder = builder.other(proto.rawValue, [UInt8](repeating: 7, count: random.below(40)))
      (port, sourcePort, self.destinationPort, self.sequence) = (0, 0, 0, 0)
    }
    bytes = builder.bytes
  }
}
