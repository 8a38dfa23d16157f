// Patterns over paths and unit names.

/// A shell pattern: `*` and `?` stop at `/`, `**` does not.
public struct Glob: Sendable, Hashable, CustomStringConvertible {
  /// The pattern as written.
  public let pattern: String

  /// Takes the pattern as written.
  public init(_ pattern: String) { self.pattern = pattern }

  /// The pattern as written.
  public var description: String { pattern }

  /// Whether the whole text matches, byte by byte.
  public func matches(_ text: String) -> Bool { matches(Array(text.utf8)) }

  /// Whether all the bytes match: names of cgroups need not be UTF-8.
  public func matches(_ text: [UInt8]) -> Bool {
    let pattern = Array(pattern.utf8)
    // Positions of the pattern that are reachable after each byte of the text: no backtracking, so no blow-up.
    var reachable = closure([0], pattern)
    for byte in text {
      var next: Set<Int> = []
      for position in reachable where position < pattern.count {
        switch pattern[position] {
        case UInt8(ascii: "*"):
          if byte != UInt8(ascii: "/") || isDouble(position, pattern) { next.insert(position) }
        case UInt8(ascii: "?"): if byte != UInt8(ascii: "/") { next.insert(position + 1) }
        case byte: next.insert(position + 1)
        default: break
        }
      }
      reachable = closure(next, pattern)
    }
    return reachable.contains(pattern.count)
  }

  private func isDouble(_ position: Int, _ pattern: [UInt8]) -> Bool {
    let star = UInt8(ascii: "*")
    return (position + 1 < pattern.count && pattern[position + 1] == star)
      || (position > 0 && pattern[position - 1] == star)
  }

  private func closure(_ positions: Set<Int>, _ pattern: [UInt8]) -> Set<Int> {
    var out = positions
    for var position in positions {
      while position < pattern.count, pattern[position] == UInt8(ascii: "*") {
        position += 1
        out.insert(position)
      }
    }
    return out
  }
}
