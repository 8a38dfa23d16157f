// An IP address of either family in one 128-bit space.

/// An IPv4 or IPv6 address; IPv4 is held as `::ffff:a.b.c.d`, as the kernel's tables hold it.
package struct IPAddress: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The first 64 bits as a number in host byte order.
  package let high: UInt64
  /// The last 64 bits as a number in host byte order.
  package let low: UInt64

  /// Takes both halves in host byte order.
  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// Takes an IPv4 address as a number in host byte order.
  package init(ipv4: UInt32) { self.init(high: 0, low: 0xffff_0000_0000 | UInt64(ipv4)) }

  /// Takes 16 bytes in network order.
  package init(bytes: InlineArray<16, UInt8>) {
    var high: UInt64 = 0
    var low: UInt64 = 0
    for index in 0..<8 {
      high = high << 8 | UInt64(bytes[index])
      low = low << 8 | UInt64(bytes[index + 8])
    }
    self.init(high: high, low: low)
  }

  /// The 16 bytes in network order.
  package var bytes: InlineArray<16, UInt8> {
    InlineArray { index in
      index < 8
        ? UInt8(truncatingIfNeeded: high >> UInt64(56 - index * 8))
        : UInt8(truncatingIfNeeded: low >> UInt64(120 - index * 8))
    }
  }

  /// The IPv4 address as a number in host byte order, nil for IPv6.
  package var ipv4: UInt32? { isIPv4 ? UInt32(truncatingIfNeeded: low) : nil }

  /// Whether this is an IPv4 address.
  package var isIPv4: Bool { high == 0 && low >> 32 == 0xffff }

  /// Orders by number: IPv4 lies among the first IPv6 addresses.
  package static func < (left: IPAddress, right: IPAddress) -> Bool {
    left.high == right.high ? left.low < right.low : left.high < right.high
  }

  /// This address with all bits after the first `length` cleared.
  func masked(to length: Int) -> IPAddress {
    let highMask = length <= 0 ? 0 : length >= 64 ? UInt64.max : ~(UInt64.max >> UInt64(length))
    let lowMask = length <= 64 ? 0 : length >= 128 ? UInt64.max : ~(UInt64.max >> UInt64(length - 64))
    return IPAddress(high: high & highMask, low: low & lowMask)
  }
}

/// An address or prefix that cannot be read.
package struct AddressError: Error, Equatable, CustomStringConvertible {
  /// The text that was read.
  package let text: String
  /// What is wrong with it.
  package let problem: String
  /// What to write in its place.
  package let remedy: String

  /// One line.
  package var description: String { "\(text.shown) \(problem); \(remedy)" }
}
