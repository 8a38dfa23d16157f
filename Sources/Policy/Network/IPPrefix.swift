// A block of addresses in the 128-bit space of both families.

/// A CIDR block; IPv4 `/8` is length 104.
package struct IPPrefix: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The first address of the block.
  package let address: IPAddress
  /// How many leading bits count, 0…128.
  package let length: Int

  /// Clears the host bits of an address; lengths outside of 0…128 are clamped.
  package init(masking address: IPAddress, length: Int) {
    self.length = min(max(length, 0), 128)
    self.address = address.masked(to: self.length)
  }

  /// The block of one address.
  package init(_ address: IPAddress) { self.init(masking: address, length: 128) }

  /// All of IPv4: `::ffff:0:0/96`.
  package static let allIPv4 = IPPrefix(masking: IPAddress(ipv4: 0), length: 96)
  /// All of IPv6, which does not contain IPv4 though it covers it in the 128-bit space.
  package static let allIPv6 = IPPrefix(masking: IPAddress(high: 0, low: 0), length: 0)

  /// Whether this block is of IPv4 addresses.
  package var isIPv4: Bool { length >= 96 && address.isIPv4 }

  /// Whether the address is in the block.
  ///
  /// An IPv6 block never contains an IPv4 address: who writes `::/0` means IPv6.
  package func contains(_ other: IPAddress) -> Bool {
    other.masked(to: length) == address && (length >= 96 || !other.isIPv4)
  }

  /// Whether every address of the other block is in this one.
  package func contains(_ other: IPPrefix) -> Bool {
    other.length >= length && other.address.masked(to: length) == address && (length >= 96 || !other.isIPv4)
  }

  /// Orders by first address, then the wider block first.
  package static func < (left: IPPrefix, right: IPPrefix) -> Bool {
    left.address == right.address ? left.length < right.length : left.address < right.address
  }

  /// `10.0.0.0/8`, `2001:db8::/32`.
  package var description: String { "\(address)/\(isIPv4 ? length - 96 : length)" }
}
