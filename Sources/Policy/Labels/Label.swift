// One label: a key in kubectl's grammar and a printable value.

/// One `key=value` that a workload, host or network carries.
///
/// Keys follow kubectl's grammar: an optional DNS prefix with `/`, then a name of at most 63 of `[A-Za-z0-9._-]`.
/// Values are printable UTF-8 of at most 253 bytes. Two values are equal only when their bytes are: Swift's own
/// string equality would merge values that differ in Unicode normalisation, and so two identities.
package struct Label: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The key, ASCII.
  package let key: String
  let exactValue: ExactText

  /// The value, at most 253 bytes of printable UTF-8; may be empty.
  package var value: String { exactValue.text }

  /// Checks both parts.
  package init(_ key: String, _ value: String) throws(LabelError) {
    try Label.checkKey(key)
    try Label.checkValue(value, key: key)
    self.init(uncheckedKey: key, value: value)
  }

  init(uncheckedKey key: String, value: String) {
    self.key = key
    exactValue = ExactText(value)
  }

  /// Whether only the agent may set this key: `sallyport.…`, `container.…` and `k8s.…`.
  package static func isReserved(_ key: String) -> Bool {
    key.hasPrefix("sallyport.") || key.hasPrefix("container.") || key.hasPrefix("k8s.")
  }

  /// Orders by key, then by the bytes of the value.
  package static func < (left: Label, right: Label) -> Bool {
    left.key == right.key ? left.exactValue < right.exactValue : left.key < right.key
  }

  /// `key=value`, the value quoted where it would be ambiguous.
  package var description: String { "\(key)=\(exactValue.quotedIfNeeded)" }

  /// Checks a key against kubectl's grammar.
  package static func checkKey(_ key: String) throws(LabelError) {
    // Nearly all keys, and a hundred thousand sets of them are read back before an agent is ready.
    if isPlainName(key) { return }
    func fail(_ problem: String) -> LabelError { LabelError(subject: "label key \(key.shown)", problem: problem) }
    let parts = key.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    guard let name = parts.last, parts.count <= 2 else { throw fail("has more than one `/`") }
    guard !name.isEmpty else { throw fail("has an empty name") }
    guard name.count <= 63 else { throw fail("has a name of \(name.count) bytes; at most 63 are allowed") }
    guard isAlphanumeric(name.first), isAlphanumeric(name.last) else {
      throw fail("must begin and end with a letter or digit")
    }
    guard name.allSatisfy({ isNameByte($0) }) else { throw fail("may hold only letters, digits, `-`, `_` and `.`") }
    if parts.count == 2 { try checkPrefix(parts[0], fail) }
  }

  /// Whether a key without prefix has nothing wrong, found out without allocating anything.
  private static func isPlainName(_ key: String) -> Bool {
    var count = 0
    var last: UInt8?
    for byte in key.utf8 {
      guard isNameByte(byte), count > 0 || isAlphanumeric(byte) else { return false }
      count += 1
      last = byte
    }
    return (1...63).contains(count) && isAlphanumeric(last)
  }

  private static func checkPrefix(
    _ prefix: Substring.UTF8View, _ fail: (String) -> LabelError
  ) throws(LabelError) {
    guard !prefix.isEmpty, prefix.count <= 253 else { throw fail("has a prefix that is empty or over 253 bytes") }
    for part in prefix.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
      let lowercase = part.allSatisfy { isAlphanumeric($0) && !(65...90).contains($0) || $0 == UInt8(ascii: "-") }
      guard lowercase, isAlphanumeric(part.first), isAlphanumeric(part.last) else {
        throw fail("has a prefix that is not a lower-case DNS name")
      }
    }
  }

  /// Checks a value: at most 253 bytes and no control characters.
  package static func checkValue(_ value: String, key: String) throws(LabelError) {
    let count = value.utf8.count
    guard count <= 253 else {
      throw LabelError(subject: "value of label \(key)", problem: "has \(count) bytes; at most 253 are allowed")
    }
    // What is printable ASCII needs no look at the tables of Unicode.
    guard value.utf8.allSatisfy({ (32...126).contains($0) }) || value.unicodeScalars.allSatisfy(isPrintable) else {
      throw LabelError(subject: "value of label \(key)", problem: "holds a control character: \(value.shown)")
    }
  }

  /// What may stand in a label value or a name: nothing that a terminal or a log would act upon.
  static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .lineSeparator, .paragraphSeparator, .unassigned: false
    default: true
    }
  }

  static func isAlphanumeric(_ byte: UInt8?) -> Bool {
    switch byte {
    case .some(48...57), .some(65...90), .some(97...122): true
    default: false
    }
  }

  static func isNameByte(_ byte: UInt8) -> Bool {
    isAlphanumeric(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".")
  }
}

/// A label, selector or name that breaks its grammar.
package struct LabelError: Error, Equatable, CustomStringConvertible {
  /// What was looked at, such as `label key "a b"`.
  package let subject: String
  /// What is wrong with it.
  package let problem: String

  /// One line.
  package var description: String { "\(subject) \(problem)" }
}
