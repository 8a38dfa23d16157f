// The text of a file by lines: where something is, and what stands there.

/// The bytes of a document, by lines.
struct SourceLines {
  private let bytes: [UInt8]
  /// The text without a byte order mark.
  var text: ArraySlice<UInt8> { bytes.starts(with: [0xef, 0xbb, 0xbf]) ? bytes[3...] : bytes[...] }

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// The line of a byte, from 1.
  func number(at index: Int) -> Int { bytes[..<index].count { $0 == UInt8(ascii: "\n") } + 1 }

  /// The index of the first byte of the first line that is not UTF-8.
  func firstInvalid() -> Int {
    var start = 0
    for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      if String(validating: line, as: UTF8.self) == nil { return start }
      start += line.count + 1
    }
    return 0
  }

  /// The text of a line, counted from 1; empty if there is none.
  func line(_ number: Int) -> String {
    var current = 1
    var start = bytes.startIndex
    while current < number, let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
      start = end + 1
      current += 1
    }
    guard current == number else { return "" }
    return String(decoding: bytes[start...].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
  }
}

/// What to tell people of a text that is not YAML: the usual slips by name, libyaml's words for all others.
struct YAMLFaultText {
  let line: Int
  let message: String
  let remedy: String

  init(_ fault: YAMLFault, _ lines: SourceLines) {
    let slips = [fault.line, fault.line - 1].filter { $0 > 0 }.map { (number: $0, text: lines.line($0)) }
    if let tabbed = slips.first(where: { $0.text.prefix { $0 == " " || $0 == "\t" }.contains("\t") }) {
      line = tabbed.number
      message = "line \(tabbed.number) is indented with a tab"
      remedy = "YAML allows only spaces"
      return
    }
    line = fault.line
    let during = fault.context.isEmpty ? "" : " \(fault.context)"
    if let word = Self.unquoted(fault, slips.first?.text ?? "") {
      message = "a value that begins with `\(word.prefix(1))` must be quoted"
      remedy = "write \(word.quoted)"
    } else {
      message = "not valid YAML: \(fault.problem)\(during)"
      let isShifted = fault.problem.contains("mapping values are not allowed")
      remedy =
        isShifted
        ? "check the indentation: fields of one mapping begin in the same column"
        : "fix the syntax on this line or the one before"
    }
  }

  /// The word at a fault that begins with a sign that means something else to YAML.
  private static func unquoted(_ fault: YAMLFault, _ line: String) -> String? {
    let isToken = fault.problem.contains("cannot start any token")
    guard
      fault.context.contains("tag") || fault.context.contains("alias") || fault.context.contains("anchor") || isToken
    else { return nil }
    var rest = Substring(line)
    while let start = rest.firstIndex(where: { "!*&@`%".contains($0) }) {
      let word = rest[start...].prefix { !" ,]}#".contains($0) }
      let before = rest[..<start].last
      if before.map({ " [{,:-".contains($0) }) ?? true, word.count > 1 { return String(word) }
      rest = rest[word.endIndex...].dropFirst(word.isEmpty ? 1 : 0)
    }
    return nil
  }
}
