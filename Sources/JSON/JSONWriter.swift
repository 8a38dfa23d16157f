// JSON written straight into bytes: no dictionaries, no Foundation, nothing allocated per value.

/// A growing buffer of JSON.
///
/// Text is escaped so that no value can end its string, its line, or steer the terminal that shows it. `raw`, `number` and
/// `string` append what they are given and nothing else, for callers that write their own punctuation; `object`, `array`
/// and `key` know where a comma belongs.
package struct JSONWriter: Sendable {
  /// What has been written.
  package private(set) var bytes: [UInt8] = []
  /// The last byte of what was taken out.
  private var lastTaken: UInt8?

  /// An empty buffer.
  package init(capacity: Int = 0) { bytes.reserveCapacity(capacity) }

  /// Forgets what was written and keeps the memory.
  package mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

  /// Takes out what was written so far, for whoever puts the parts together.
  package mutating func take() -> [UInt8] {
    defer {
      lastTaken = bytes.last ?? lastTaken
      bytes.removeAll(keepingCapacity: true)
    }
    return bytes
  }

  // MARK: As they are

  /// Appends punctuation and keys.
  package mutating func raw(_ text: StaticString) {
    // The literal's bytes live as long as the program.
    unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  /// Appends bytes that are JSON already.
  package mutating func raw(_ json: [UInt8]) { bytes.append(contentsOf: json) }

  /// Appends bytes that are JSON already.
  package mutating func raw(_ json: ArraySlice<UInt8>) { bytes.append(contentsOf: json) }

  /// Appends one byte.
  package mutating func raw(_ byte: UInt8) { bytes.append(byte) }

  // MARK: Values

  /// Appends a number.
  package mutating func number(_ value: UInt64) { digits(value, atLeast: 1) }

  /// Appends a number that may be negative.
  package mutating func number(_ value: some BinaryInteger) {
    if value < 0 { bytes.append(UInt8(ascii: "-")) }
    digits(UInt64(value.magnitude), atLeast: 1)
  }

  /// Appends a truth value.
  package mutating func bool(_ value: Bool) {
    if value { raw("true") } else { raw("false") }
  }

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
  package mutating func string(_ text: String) { string(utf8: text.utf8) }

  /// Appends UTF-8 as a quoted string.
  package mutating func string(utf8 text: some Collection<UInt8>) {
    let start = bytes.count
    bytes.append(0x22)
    bytes.append(contentsOf: text)
    // Nearly all strings hold nothing that must be escaped.
    if bytes[(start + 1)...].allSatisfy(\.isPlainInJSON) { return bytes.append(0x22) }
    bytes.removeSubrange((start + 1)...)
    for scalar in String(decoding: text, as: UTF8.self).unicodeScalars { escape(scalar) }
    bytes.append(0x22)
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

  // MARK: With commas

  /// Writes `{…}`.
  package mutating func object<Failure>(_ body: (inout JSONWriter) throws(Failure) -> Void) throws(Failure) {
    separate()
    bytes.append(UInt8(ascii: "{"))
    try body(&self)
    bytes.append(UInt8(ascii: "}"))
  }

  /// Writes `[…]`, one element per call of `element`.
  package mutating func array<Element, Failure>(
    _ elements: some Sequence<Element>, _ element: (inout JSONWriter, Element) throws(Failure) -> Void
  ) throws(Failure) {
    separate()
    bytes.append(UInt8(ascii: "["))
    for each in elements {
      separate()
      try element(&self, each)
    }
    bytes.append(UInt8(ascii: "]"))
  }

  /// Writes a key; its value comes next.
  package mutating func key(_ name: String) {
    separate()
    string(name)
    bytes.append(UInt8(ascii: ":"))
  }

  /// Writes a key and its text.
  package mutating func member(_ name: String, _ value: String) {
    key(name)
    string(value)
  }

  /// Writes a key and its number.
  package mutating func member(_ name: String, _ value: some BinaryInteger) {
    key(name)
    number(value)
  }

  /// Writes a key and its truth value.
  package mutating func member(_ name: String, _ value: Bool) {
    key(name)
    bool(value)
  }

  /// A comma before everything that follows a value.
  private mutating func separate() {
    switch bytes.last ?? lastTaken {
    case nil, UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: ":"), UInt8(ascii: ","): break
    default: bytes.append(UInt8(ascii: ","))
    }
  }
}

extension UInt8 {
  /// ASCII that stands for itself in a string and cannot steer a terminal.
  package var isPlainInJSON: Bool { self >= 0x20 && self < 0x7f && self != 0x22 && self != 0x5c }
}

extension Unicode.Scalar {
  /// Whether showing this character could forge a line, move the cursor or reorder what is around it.
  package var isUnsafeToShow: Bool {
    switch value {
    case 0..<0x20, 0x7f...0x9f: true  // C0, DEL, C1
    case 0x61c, 0x200e, 0x200f, 0x2028...0x202e, 0x2066...0x2069, 0xfeff: true  // separators, bidi, byte order mark
    case 0xe0000...0xe007f: true  // tags, invisible
    default: false
    }
  }
}
