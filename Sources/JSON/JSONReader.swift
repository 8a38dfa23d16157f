// JSON read once from front to back: what nobody asks for is skipped, not built.

/// What is wrong with a JSON text, and where.
package struct JSONFault: Error, Equatable, CustomStringConvertible {
  package var problem: String
  /// In bytes from the start.
  package var offset: Int

  package var description: String { "not the JSON that was expected: \(problem) at byte \(offset)" }
}

/// A cursor over JSON (RFC 8259).
///
/// Container files are read in the loop that every event goes through, for five strings out of ten kilobytes, and a
/// snapshot of a hundred thousand identities before anything is enforced: `Codable` would build all of it. Nesting is
/// bounded, and of equal keys the later one holds, as with Go's decoder that the engines themselves use.
package struct JSONReader {
  private let bytes: [UInt8]
  private var index = 0
  private var depth = 0
  private static let deepest = 64

  /// Begins at the first byte.
  package init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Begins where another cursor over the same text stood.
  package init(_ bytes: [UInt8], at position: Int) {
    self.bytes = bytes
    index = position
  }

  /// Reads an object, if the value is one, and calls `member` for every key; what `member` does not read is skipped.
  ///
  /// Any other value is skipped, so `null` is an empty object.
  package mutating func object(
    _ member: (inout JSONReader, String) throws(JSONFault) -> Void
  ) throws(JSONFault) {
    guard try peek() == UInt8(ascii: "{") else { return try skip() }
    try enter()
    if try take(UInt8(ascii: "}")) { return depth -= 1 }
    repeat {
      guard try peek() == UInt8(ascii: "\"") else { throw fault("a key is missing") }
      let key = try text()
      guard try take(UInt8(ascii: ":")) else { throw fault("a colon is missing") }
      _ = try peek()
      let start = index
      try member(&self, key)
      if index == start { try skip() }
    } while try take(UInt8(ascii: ","))
    guard try take(UInt8(ascii: "}")) else { throw fault("an object does not end") }
    depth -= 1
  }

  /// The same for an array.
  package mutating func array(_ element: (inout JSONReader) throws(JSONFault) -> Void) throws(JSONFault) {
    guard try peek() == UInt8(ascii: "[") else { return try skip() }
    try enter()
    if try take(UInt8(ascii: "]")) { return depth -= 1 }
    repeat {
      _ = try peek()
      let start = index
      try element(&self)
      if index == start { try skip() }
    } while try take(UInt8(ascii: ","))
    guard try take(UInt8(ascii: "]")) else { throw fault("an array does not end") }
    depth -= 1
  }

  /// Reads a string; any other value is skipped and gives nil.
  package mutating func string() throws(JSONFault) -> String? {
    if try peek() == UInt8(ascii: "\"") { return try text() }
    try skip()
    return nil
  }

  /// Reads a number; nil for what is none or does not fit.
  package mutating func integer() throws(JSONFault) -> Int? {
    let first = try peek()
    guard first == UInt8(ascii: "-") || (48...57).contains(first) else {
      try skip()
      return nil
    }
    let start = index
    try skip()
    return Int(String(decoding: bytes[start..<index], as: UTF8.self))
  }

  /// Reads a truth value; false for anything else.
  package mutating func boolean() throws(JSONFault) -> Bool {
    let isTrue = try peek() == UInt8(ascii: "t")
    try skip()
    return isTrue
  }

  /// Reads an object of strings, such as labels; members of other kinds are left out.
  package mutating func strings() throws(JSONFault) -> [String: String] {
    var result: [String: String] = [:]
    try object { reader, key throws(JSONFault) in
      if let value = try reader.string() { result[key] = value }
    }
    return result
  }

  /// Checks that nothing follows.
  package func end() throws(JSONFault) {
    guard bytes[index...].allSatisfy({ [9, 10, 13, 32].contains($0) }) else { throw fault("something follows") }
  }

  /// Moves behind the next value; gives where it stands, for another decoder.
  package mutating func raw() throws(JSONFault) -> ArraySlice<UInt8> {
    _ = try peek()
    let start = index
    try skip()
    return bytes[start..<index]
  }

  /// Moves behind the next object and gives where it stands, for a cursor that reads it later.
  ///
  /// Only strings and brackets are told apart: of a hundred thousand objects nothing is built, nor checked yet.
  package mutating func leap() throws(JSONFault) -> Range<Int> {
    guard try peek() == UInt8(ascii: "{") else { throw fault("an object is missing") }
    let text = bytes
    let start = index
    // Not the member: that would be loaded and stored for every byte.
    var place = start
    var open = 0
    while place < text.count {
      let byte = text[place]
      place += 1
      switch byte {
      case UInt8(ascii: "\""):
        while place < text.count, text[place] != UInt8(ascii: "\"") {
          place += text[place] == UInt8(ascii: "\\") ? 2 : 1
        }
        place += 1
      case UInt8(ascii: "{"), UInt8(ascii: "["): open += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        open -= 1
        if open == 0 {
          index = place
          return start..<place
        }
      default: break
      }
    }
    throw fault("an object does not end")
  }

  /// Moves behind the next value.
  package mutating func skip() throws(JSONFault) {
    switch try peek() {
    case UInt8(ascii: "{"): try object { _, _ throws(JSONFault) in }
    case UInt8(ascii: "["): try array { _ throws(JSONFault) in }
    case UInt8(ascii: "\""): try skipText()
    case UInt8(ascii: "t"): try word("true")
    case UInt8(ascii: "f"): try word("false")
    case UInt8(ascii: "n"): try word("null")
    case UInt8(ascii: "-"), 48...57:
      while index < bytes.count, isNumberByte(bytes[index]) { index += 1 }
    default: throw fault("no value begins so")
    }
  }

  // MARK: Parts

  private func isNumberByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 48...57, UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): true
    default: false
    }
  }

  private mutating func word(_ word: StaticString) throws(JSONFault) {
    let expected = Array("\(word)".utf8)
    guard bytes[index...].starts(with: expected) else { throw fault("no value begins so") }
    index += expected.count
  }

  private mutating func text() throws(JSONFault) -> String {
    let start = index + 1
    var end = start
    // Nearly all strings hold no escape and can be taken as they stand.
    while end < bytes.count, bytes[end] != UInt8(ascii: "\""), bytes[end] != UInt8(ascii: "\\") { end += 1 }
    if end < bytes.count, bytes[end] == UInt8(ascii: "\"") {
      index = end + 1
      return String(decoding: bytes[start..<end], as: UTF8.self)
    }
    index = start
    var plain: [UInt8] = []
    while true {
      let byte = try next()
      switch byte {
      case UInt8(ascii: "\""): return String(decoding: plain, as: UTF8.self)
      case UInt8(ascii: "\\"): try escape(&plain)
      default: plain.append(byte)
      }
    }
  }

  private mutating func skipText() throws(JSONFault) {
    index += 1
    while true {
      switch try next() {
      case UInt8(ascii: "\""): return
      case UInt8(ascii: "\\"): _ = try next()
      default: break
      }
    }
  }

  private mutating func escape(_ plain: inout [UInt8]) throws(JSONFault) {
    switch try next() {
    case UInt8(ascii: "b"): plain.append(8)
    case UInt8(ascii: "t"): plain.append(9)
    case UInt8(ascii: "n"): plain.append(10)
    case UInt8(ascii: "f"): plain.append(12)
    case UInt8(ascii: "r"): plain.append(13)
    case UInt8(ascii: "u"):
      var code = try hexadecimal()
      if (0xD800..<0xDC00).contains(code), index + 1 < bytes.count, bytes[index] == UInt8(ascii: "\\"),
        bytes[index + 1] == UInt8(ascii: "u")
      {
        index += 2
        let low = try hexadecimal()
        code = (0xDC00..<0xE000).contains(low) ? 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00) : 0xFFFD
      }
      // Half of a surrogate pair is no character: the replacement character, as Go writes it.
      plain.append(contentsOf: String(Unicode.Scalar(code) ?? "\u{FFFD}").utf8)
    case let byte where [UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/")].contains(byte): plain.append(byte)
    default: throw fault("an unknown escape")
    }
  }

  private mutating func hexadecimal() throws(JSONFault) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      let byte = try next()
      switch byte {
      case 48...57: code = code << 4 | UInt32(byte - 48)
      case 65...70: code = code << 4 | UInt32(byte - 55)
      case 97...102: code = code << 4 | UInt32(byte - 87)
      default: throw fault("no hexadecimal digit")
      }
    }
    return code
  }

  private mutating func enter() throws(JSONFault) {
    index += 1
    depth += 1
    if depth > Self.deepest { throw fault("more than \(Self.deepest) levels") }
  }

  private mutating func peek() throws(JSONFault) -> UInt8 {
    while index < bytes.count {
      switch bytes[index] {
      case 9, 10, 13, 32: index += 1
      case let byte: return byte
      }
    }
    throw fault("the text ends")
  }

  private mutating func take(_ byte: UInt8) throws(JSONFault) -> Bool {
    guard try peek() == byte else { return false }
    index += 1
    return true
  }

  private mutating func next() throws(JSONFault) -> UInt8 {
    guard index < bytes.count else { throw fault("a string does not end") }
    defer { index += 1 }
    return bytes[index]
  }

  /// What is wrong where the cursor stands.
  package func fault(_ problem: String) -> JSONFault { JSONFault(problem: problem, offset: index) }
}
