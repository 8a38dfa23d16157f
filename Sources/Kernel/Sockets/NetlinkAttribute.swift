// Netlink's attributes: length, kind, value, padded to 4 bytes; host byte order.
internal import CLinux
internal import Glibc

/// Reading and writing of `struct nlattr`.
enum NetlinkAttribute {
  /// Calls `body` for each attribute; what does not fit its length ends the walk.
  ///
  /// A kind comes with its flags NLA_F_NESTED and NLA_F_NET_BYTEORDER left out.
  static func forEach(in bytes: RawSpan, _ body: (UInt16, RawSpan) -> Void) {
    var offset = 0
    while offset + 4 <= bytes.byteCount {
      let length = Int(unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self))
      let kind = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset + 2, as: UInt16.self)
      guard length >= 4, offset + length <= bytes.byteCount else { return }
      body(kind & 0x3fff, bytes.extracting(offset + 4..<offset + length))
      offset += (length + 3) & ~3
    }
  }

  /// A string attribute, which ends at its first zero byte.
  static func text(_ value: RawSpan) -> String {
    var bytes: [UInt8] = []
    for offset in 0..<value.byteCount {
      let byte = unsafe value.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self)
      guard byte != 0 else { break }
      bytes.append(byte)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// A number in network order; 0 if the attribute has another size.
  static func networkNumber<Number: FixedWidthInteger & BitwiseCopyable>(_ value: RawSpan) -> Number {
    guard value.byteCount == MemoryLayout<Number>.size else { return 0 }
    return Number(bigEndian: unsafe value.unsafeLoadUnaligned(as: Number.self))
  }

  /// The bytes of one attribute.
  static func make(_ kind: Int, _ value: [UInt8]) -> [UInt8] {
    let length = UInt16(clamping: 4 + value.count)
    let padding = [UInt8](repeating: 0, count: (4 - value.count & 3) & 3)
    return bytes(of: length) + bytes(of: UInt16(clamping: kind)) + value + padding
  }

  /// A number as it lies in memory.
  static func bytes<Number: FixedWidthInteger>(of number: Number) -> [UInt8] {
    unsafe withUnsafeBytes(of: number) { unsafe Array($0) }
  }
}
