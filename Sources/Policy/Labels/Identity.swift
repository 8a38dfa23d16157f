// The numbers that stand for a set of labels: one that is the same on every host, one for this host's tables.

internal import Crypto

/// The identity of a set of labels, the same on every host: the first 8 bytes (read as big endian) of the SHA-256 of
/// its canonical bytes.
public struct Identity: RawRepresentable, Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The number, in host byte order.
  public let rawValue: UInt64

  /// Takes the number in host byte order.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// 16 lower-case hexadecimal digits.
  public var description: String {
    let digits = String(rawValue, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// Orders by number.
  public static func < (left: Identity, right: Identity) -> Bool { left.rawValue < right.rawValue }
}

extension LabelSet {
  /// The identity that this set has everywhere.
  public var identity: Identity {
    let number = SHA256.hash(data: canonicalBytes).prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    return Identity(rawValue: number)
  }
}

/// The dense local number of an identity in this host's kernel tables.
///
/// 0…15 are reserved, 16…131071 are allotted to label sets, from 131072 stand for sets of external networks.
public struct IdentityNumber: RawRepresentable, Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The number, in host byte order.
  public let rawValue: UInt32

  /// Takes the number in host byte order.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Whoever cannot be told: never a guess.
  public static let unknown = IdentityNumber(rawValue: 0)
  /// What runs on this host outside of every labelled workload.
  public static let host = IdentityNumber(rawValue: 1)
  /// Every address that no external network contains.
  public static let world = IdentityNumber(rawValue: 2)
  /// The first number for label sets.
  public static let firstAllotted = IdentityNumber(rawValue: 16)
  /// The first number for sets of external networks.
  public static let firstExternal = IdentityNumber(rawValue: 131_072)
  /// How many numbers there are: the size of the kernel's table.
  public static let capacity: UInt32 = 147_456

  /// The labels of a reserved number, nil for all others.
  public var reservedLabels: LabelSet? {
    switch self {
    case .unknown: .reserved("unknown")
    case .host: .reserved("host")
    case .world: .reserved("world")
    default: nil
    }
  }

  /// Decimal.
  public var description: String { String(rawValue) }

  /// Orders by number.
  public static func < (left: IdentityNumber, right: IdentityNumber) -> Bool { left.rawValue < right.rawValue }
}

extension LabelSet {
  /// The labels of whoever cannot be told.
  public static let unknown = reserved("unknown")
  /// The labels of the host itself.
  public static let host = reserved("host")
  /// The labels of an address outside of every external network.
  public static let world = reserved("world")

  static func reserved(_ name: String) -> LabelSet {
    LabelSet(sorted: [Label(uncheckedKey: "sallyport.identity", value: name)])
  }
}
