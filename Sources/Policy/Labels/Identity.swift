// The numbers that stand for a set of labels: one that is the same on every host, one for this host's tables.

internal import Crypto

/// The identity of a set of labels, the same on every host: the first 8 bytes (read as big endian) of the SHA-256 of
/// its canonical bytes.
package struct Identity: RawRepresentable, Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The number, in host byte order.
  package let rawValue: UInt64

  /// Takes the number in host byte order.
  package init(rawValue: UInt64) { self.rawValue = rawValue }

  /// 16 lower-case hexadecimal digits.
  package var description: String {
    let digits = String(rawValue, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// Orders by number.
  package static func < (left: Identity, right: Identity) -> Bool { left.rawValue < right.rawValue }
}

extension LabelSet {
  /// The identity that this set has everywhere.
  package var identity: Identity {
    let number = SHA256.hash(data: canonicalBytes).prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    return Identity(rawValue: number)
  }
}

/// The dense local number of an identity in this host's kernel tables.
///
/// 0…15 are reserved, 16…131071 are allotted to label sets, from 131072 stand for sets of external networks.
package struct IdentityNumber: RawRepresentable, Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The number, in host byte order.
  package let rawValue: UInt32

  /// Takes the number in host byte order.
  package init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Whoever cannot be told: never a guess.
  package static let unknown = IdentityNumber(rawValue: 0)
  /// What runs on this host outside of every labelled workload.
  package static let host = IdentityNumber(rawValue: 1)
  /// Every address that no external network contains.
  package static let world = IdentityNumber(rawValue: 2)
  /// The first number for label sets.
  package static let firstAllotted = IdentityNumber(rawValue: 16)
  /// The first number for sets of external networks.
  package static let firstExternal = IdentityNumber(rawValue: 131_072)
  /// How many numbers there are: the size of the kernel's table.
  package static let capacity: UInt32 = 147_456

  /// The labels of a reserved number, nil for all others.
  package var reservedLabels: LabelSet? {
    switch self {
    case .unknown: .reserved("unknown")
    case .host: .reserved("host")
    case .world: .reserved("world")
    default: nil
    }
  }

  /// Decimal.
  package var description: String { String(rawValue) }

  /// Orders by number.
  package static func < (left: IdentityNumber, right: IdentityNumber) -> Bool { left.rawValue < right.rawValue }
}

extension LabelSet {
  /// The labels of whoever cannot be told.
  package static let unknown = reserved("unknown")
  /// The labels of the host itself.
  package static let host = reserved("host")
  /// The labels of an address outside of every external network.
  package static let world = reserved("world")

  static func reserved(_ name: String) -> LabelSet {
    LabelSet(sorted: [Label(uncheckedKey: "sallyport.identity", value: name)])
  }
}
