// JSON as it is written: a list of bytes that knows where a comma belongs.

/// Writes JSON straight into bytes: a host has a hundred thousand identities, and `Codable` takes 7 µs for each.
struct JSONText {
  private(set) var bytes: [UInt8] = []
  /// The last byte of what was taken out.
  private var lastTaken: UInt8?

  /// Takes out what was written so far, for whoever puts the parts together.
  mutating func take() -> [UInt8] {
    defer {
      lastTaken = bytes.last ?? lastTaken
      bytes.removeAll(keepingCapacity: true)
    }
    return bytes
  }

  /// Writes `{…}`.
  mutating func object<Failure>(_ body: (inout JSONText) throws(Failure) -> Void) throws(Failure) {
    separate()
    bytes.append(UInt8(ascii: "{"))
    try body(&self)
    bytes.append(UInt8(ascii: "}"))
  }

  /// Writes `[…]`, one element per call of `element`.
  mutating func array<Element, Failure>(
    _ elements: some Sequence<Element>, _ element: (inout JSONText, Element) throws(Failure) -> Void
  ) throws(Failure) {
    separate()
    bytes.append(UInt8(ascii: "["))
    for each in elements { try element(&self, each) }
    bytes.append(UInt8(ascii: "]"))
  }

  /// Writes a key; its value comes next.
  mutating func key(_ name: String) {
    string(name)
    bytes.append(UInt8(ascii: ":"))
  }

  /// Writes a number.
  mutating func number(_ value: some BinaryInteger) {
    separate()
    bytes.append(contentsOf: "\(value)".utf8)
  }

  /// Writes a truth value.
  mutating func bool(_ value: Bool) {
    separate()
    bytes.append(contentsOf: (value ? "true" : "false").utf8)
  }

  /// Writes text, with everything escaped that must be.
  mutating func string(_ text: String) { string(utf8: text.utf8) }

  /// Writes UTF-8.
  mutating func string(utf8 text: some Sequence<UInt8>) {
    separate()
    bytes.append(UInt8(ascii: "\""))
    for byte in text {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(byte)
      case 0..<32:
        bytes.append(contentsOf: "\\u00".utf8)
        for digit in [byte >> 4, byte & 15] { bytes.append(digit < 10 ? 48 + digit : 87 + digit) }
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }

  /// Writes a value that is JSON already.
  mutating func raw(_ json: some Sequence<UInt8>) {
    separate()
    bytes.append(contentsOf: json)
  }

  /// A comma before everything that follows a value.
  private mutating func separate() {
    switch bytes.last ?? lastTaken {
    case nil, UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: ":"): break
    default: bytes.append(UInt8(ascii: ","))
    }
  }
}

extension JSONText {
  /// Writes a key and its text.
  mutating func member(_ key: String, _ value: String) {
    self.key(key)
    string(value)
  }

  /// Writes a key and its number.
  mutating func member(_ key: String, _ value: some BinaryInteger) {
    self.key(key)
    number(value)
  }

  /// Writes a key and its truth value.
  mutating func member(_ key: String, _ value: Bool) {
    self.key(key)
    bool(value)
  }
}
