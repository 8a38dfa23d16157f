// The few packets that programs are run on, as the kernel's test run takes them.

/// Packets with an Ethernet header; checksums are left out, the programs do not look at them.
enum Packet {
  private static let ethernet: [UInt8] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]

  private static func big(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)] }

  /// UDP over IPv4 between addresses of 127.0.0.0/8, with 64 bytes of payload.
  static func udp(from source: UInt16, to destination: UInt16) -> [UInt8] {
    let payload = [UInt8](repeating: 0, count: 64)
    let datagram = big(source) + big(destination) + big(UInt16(8 + payload.count)) + [0, 0] + payload
    let head: [UInt8] = [0x45, 0] + big(UInt16(20 + datagram.count)) + [0, 1, 0, 0, 64, 17, 0, 0]
    return ethernet + [0x08, 0x00] + head + [127, 0, 0, 1, 127, 0, 0, 1] + datagram
  }

  /// A neighbour solicitation.
  static var neighbourSolicitation: [UInt8] {
    let own: [UInt8] = [0xfe, 0x80] + [UInt8](repeating: 0, count: 13) + [1]
    let message: [UInt8] = [135, 0, 0, 0, 0, 0, 0, 0] + own
    let head: [UInt8] = [0x60, 0, 0, 0] + big(UInt16(message.count)) + [58, 255]
    return ethernet + [0x86, 0xdd] + head + own + own + message
  }

  /// Two hexadecimal digits a byte.
  static func digits(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
