// Patterns over paths and unit names.

/// A shell pattern: `*` and `?` stop at `/`, `**` does not.
package struct Glob: Sendable, Hashable, CustomStringConvertible {
  private enum Step: Hashable {
    case byte(UInt8)
    case one
    case many
    case manyAndSlashes
  }

  /// The pattern as written.
  package let pattern: String
  /// What must stand at the beginning, compared before anything else: most patterns fail there.
  private let prefix: [UInt8]
  /// What comes after the prefix.
  private let steps: [Step]

  /// Takes the pattern as written.
  package init(_ pattern: String) {
    self.pattern = pattern
    let (star, question) = (UInt8(ascii: "*"), UInt8(ascii: "?"))
    prefix = Array(pattern.utf8.prefix { $0 != star && $0 != question })
    var steps: [Step] = []
    for byte in pattern.utf8.dropFirst(prefix.count) {
      switch (byte, steps.last) {
      case (star, .many): steps[steps.count - 1] = .manyAndSlashes
      case (star, .manyAndSlashes): break
      case (star, _): steps.append(.many)
      case (question, _): steps.append(.one)
      default: steps.append(.byte(byte))
      }
    }
    self.steps = steps
  }

  /// The pattern as written.
  package var description: String { pattern }

  /// Whether the whole text matches, byte by byte.
  package func matches(_ text: String) -> Bool { matches(Array(text.utf8)) }

  /// Whether all the bytes match: names of cgroups need not be UTF-8.
  package func matches(_ text: [UInt8]) -> Bool {
    guard text.starts(with: prefix) else { return false }
    // Which steps may come next, after each byte of the text: no backtracking, so no pattern that takes for ever.
    var reachable = [Bool](repeating: false, count: steps.count + 1)
    reachable[0] = true
    skipStars(&reachable)
    for byte in text.dropFirst(prefix.count) {
      var next = [Bool](repeating: false, count: steps.count + 1)
      for (position, step) in steps.enumerated() where reachable[position] {
        switch step {
        case .byte(let own): if own == byte { next[position + 1] = true }
        case .one: if byte != UInt8(ascii: "/") { next[position + 1] = true }
        case .many: if byte != UInt8(ascii: "/") { next[position] = true }
        case .manyAndSlashes: next[position] = true
        }
      }
      skipStars(&next)
      reachable = next
    }
    return reachable[steps.count]
  }

  /// Stars may stand for nothing.
  private func skipStars(_ reachable: inout [Bool]) {
    for (position, step) in steps.enumerated() where reachable[position] && (step == .many || step == .manyAndSlashes) {
      reachable[position + 1] = true
    }
  }
}
