// JSON written straight into bytes: no dictionaries, no Foundation, nothing allocated per value.

package import Enforcement

/// A growing buffer of JSON.
///
/// The caller writes the punctuation; this type guarantees that text is escaped so that no value can end its string,
/// its line, or steer the terminal that shows it.
package struct JSONBytes: Sendable {
  /// What has been written.
  package private(set) var bytes: [UInt8] = []

  /// An empty buffer.
  package init(capacity: Int = 1024) { bytes.reserveCapacity(capacity) }

  /// Forgets what was written and keeps the memory.
  package mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

  /// Appends punctuation and keys as they are.
  package mutating func raw(_ text: StaticString) {
    // The literal's bytes live as long as the program.
    unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  /// Appends bytes that are JSON already.
  package mutating func raw(_ json: [UInt8]) { bytes.append(contentsOf: json) }

  /// Appends one byte as it is.
  package mutating func raw(_ byte: UInt8) { bytes.append(byte) }

  /// Appends a number.
  package mutating func number(_ value: UInt64) { digits(value, atLeast: 1) }

  /// Appends decimal digits with leading zeros.
  package mutating func digits(_ value: UInt64, atLeast count: Int) {
    var reversed = InlineArray<20, UInt8>(repeating: 0x30)
    var rest = value
    var length = 0
    repeat {
      let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
      reversed[length] = 0x30 + UInt8(truncatingIfNeeded: digit)
      rest = quotient
      length += 1
    } while rest != 0
    for index in stride(from: max(length, min(count, 20)) - 1, through: 0, by: -1) { bytes.append(reversed[index]) }
  }

  /// Appends a quoted string.
  package mutating func string(_ text: String) {
    bytes.append(0x22)
    for scalar in text.unicodeScalars { escape(scalar) }
    bytes.append(0x22)
  }

  /// Appends the name of a task as a quoted string.
  package mutating func string(_ name: CommandName) {
    let start = bytes.count
    var isPlain = true
    bytes.append(0x22)
    for index in 0..<16 {
      let half = index < 8 ? name.first : name.second
      let byte = UInt8(truncatingIfNeeded: half >> UInt64(56 - index % 8 * 8))
      if byte == 0 { break }
      isPlain = isPlain && byte >= 0x20 && byte < 0x7f && byte != 0x22 && byte != 0x5c
      bytes.append(byte)
    }
    bytes.append(0x22)
    if !isPlain {
      bytes.removeSubrange(start...)
      string(name.text)
    }
  }

  private mutating func escape(_ scalar: Unicode.Scalar) {
    switch scalar {
    case "\"", "\\":
      bytes.append(0x5c)
      bytes.append(UInt8(truncatingIfNeeded: scalar.value))
    case _ where scalar.isUnsafeToShow:
      unicodeEscape(scalar)
    default:
      bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
    }
  }

  private mutating func unicodeEscape(_ scalar: Unicode.Scalar) {
    for unit in String(scalar).utf16 {
      raw("\\u")
      for shift in [12, 8, 4, 0] {
        let digit = UInt8(truncatingIfNeeded: unit >> UInt16(shift)) & 15
        bytes.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
      }
    }
  }
}

extension Unicode.Scalar {
  /// Whether showing this character could forge a line, move the cursor or reorder what is around it.
  var isUnsafeToShow: Bool {
    switch value {
    case 0..<0x20, 0x7f...0x9f: true  // C0, DEL, C1
    case 0x61c, 0x200e, 0x200f, 0x2028...0x202e, 0x2066...0x2069, 0xfeff: true  // separators, bidi, byte order mark
    case 0xe0000...0xe007f: true  // tags, invisible
    default: false
    }
  }
}

extension String {
  /// This text with every character that could forge output written as `\u{…}`.
  package var shownSafely: String {
    guard unicodeScalars.contains(where: \.isUnsafeToShow) else { return self }
    var result = ""
    for scalar in unicodeScalars {
      if scalar.isUnsafeToShow {
        result += "\\u{" + String(scalar.value, radix: 16) + "}"
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
