// How selectors and label sets are written: kubectl's grammar, with quotes for values that it could not hold.

extension Selector {
  /// Reads `app=web,tier in (a,b),env!=dev,zone notin (x),owner,!legacy`; the empty text matches everything.
  ///
  /// This is kubectl's grammar. Values may besides stand in double quotes, with `\"` and `\\`.
  package init(parsing text: String) throws(LabelError) {
    var reader = SelectorReader(text)
    var requirements: [Requirement] = []
    try reader.advance()
    if reader.token != .end {
      requirements.append(try reader.requirement())
      while reader.token == .symbol(",") {
        try reader.advance()
        requirements.append(try reader.requirement())
      }
      if reader.token != .end { throw reader.unexpected("`,` or the end") }
    }
    self.init(requirements)
  }
}

extension LabelSet {
  /// Reads `k=v,k2=v2`; the empty text is the empty set.
  ///
  /// The first `=` ends the key, so values may hold more of them; a value with a comma stands in double quotes.
  package init(parsing text: String) throws(LabelError) {
    var labels: [Label] = []
    var rest = Substring(text).unicodeScalars
    while !rest.isEmpty {
      guard let equals = rest.firstIndex(of: "=") else {
        throw LabelError(subject: "label \(String(rest).shown)", problem: "has no `=`")
      }
      let key = rest[..<equals].trimmed
      rest = rest[rest.index(after: equals)...]
      var value = ""
      if let quoted = try QuotedText.read(&rest) {
        value = quoted
        rest = rest.drop { $0 == " " }
      } else {
        // `app==web` is a selector; as a label it would quietly be the value `=web`.
        if rest.first == "=" {
          throw LabelError(subject: "label \(key)", problem: "is given with `==`; write one `=`, or quote the value")
        }
        let end = rest.firstIndex(of: ",") ?? rest.endIndex
        value = rest[..<end].trimmed
        rest = rest[end...]
      }
      labels.append(try Label(key, value))
      guard let comma = rest.popFirst() else { break }
      guard comma == "," else {
        throw LabelError(subject: "label \(key)", problem: "is followed by `\(comma)` in place of `,`")
      }
      if rest.isEmpty { throw LabelError(subject: "labels \(text.shown)", problem: "end in a comma") }
    }
    try self.init(labels)
  }
}

/// Text is read by scalars: a character may be a comma with an accent on it.
///
/// Made from a `Substring`: `Scalars(…)` of a string's own scalars would copy them one by one.
private typealias Scalars = Substring.UnicodeScalarView

extension Scalars {
  fileprivate var trimmed: String {
    var part = self.drop { $0 == " " || $0 == "\t" }
    while part.last == " " || part.last == "\t" { part.removeLast() }
    return String(part)
  }
}

/// Text in double quotes.
private enum QuotedText {
  /// Takes `"…"` from the front, nil if there is none; `\` keeps the scalar after it.
  static func read(_ rest: inout Scalars) throws(LabelError) -> String? {
    guard rest.first == "\"" else { return nil }
    let whole = rest
    rest.removeFirst()
    var out = String.UnicodeScalarView()
    while let scalar = rest.popFirst() {
      if scalar == "\"" { return String(out) }
      if scalar != "\\" {
        out.append(scalar)
      } else if let next = rest.popFirst() {
        out.append(next)
      }
    }
    throw LabelError(subject: "value \(String(whole).shown)", problem: "has no closing quote")
  }
}

/// Cuts a selector into words, quoted values and symbols, one token ahead.
private struct SelectorReader {
  enum Token: Equatable {
    case word(String)
    case quoted(String)
    case symbol(String)
    case end
  }

  private let text: String
  private var rest: Scalars
  private(set) var token = Token.end

  init(_ text: String) {
    self.text = text
    rest = Substring(text).unicodeScalars
  }

  mutating func advance() throws(LabelError) {
    rest = rest.drop { SelectorReader.blanks.contains($0) }
    if let quoted = try QuotedText.read(&rest) {
      token = .quoted(quoted)
      return
    }
    guard let first = rest.first else {
      token = .end
      return
    }
    if SelectorReader.symbols.contains(first) {
      rest.removeFirst()
      let isDouble = (first == "=" || first == "!") && rest.first == "="
      if isDouble { rest.removeFirst() }
      token = .symbol(isDouble ? "\(first)=" : String(first))
      return
    }
    let word = rest.prefix { !SelectorReader.blanks.contains($0) && !SelectorReader.symbols.contains($0) && $0 != "\"" }
    rest = rest[word.endIndex...]
    token = .word(String(word))
  }

  private static let blanks: [Unicode.Scalar] = [" ", "\t", "\n", "\r"]
  private static let symbols: [Unicode.Scalar] = ["=", "!", "(", ")", ",", "<", ">"]

  func unexpected(_ expected: String) -> LabelError {
    let found =
      switch token {
      case .word(let word): "`\(word)`"
      case .quoted(let value): value.shown
      case .symbol(let symbol): "`\(symbol)`"
      case .end: "the end"
      }
    return LabelError(subject: "selector \(text.shown)", problem: "has \(found) where \(expected) is expected")
  }

  mutating func requirement() throws(LabelError) -> Requirement {
    let negated = token == .symbol("!")
    if negated { try advance() }
    guard case .word(let key) = token else { throw unexpected(negated ? "a key" : "a key or `!`") }
    try Label.checkKey(key)
    try advance()
    if negated { return try Requirement(key, .doesNotExist) }
    switch token {
    case .symbol("="), .symbol("=="): return try Requirement(key, .isIn, [try value()])
    case .symbol("!="): return try Requirement(key, .notIn, [try value()])
    case .word("in"): return try Requirement(key, .isIn, try values())
    case .word("notin"): return try Requirement(key, .notIn, try values())
    case .end, .symbol(","): return try Requirement(key, .exists)
    default: throw unexpected("an operator (`=`, `!=`, `in`, `notin`) or `,`")
    }
  }

  /// What follows an equals sign; nothing at all is the empty value, as in kubectl.
  private mutating func value() throws(LabelError) -> String {
    try advance()
    switch token {
    case .word(let text), .quoted(let text):
      try advance()
      return text
    case .end, .symbol(","): return ""
    default: throw unexpected("a value")
    }
  }

  /// `(a,b)`; an empty place is the empty value, as in kubectl.
  private mutating func values() throws(LabelError) -> [String] {
    try advance()
    guard token == .symbol("(") else { throw unexpected("`(`") }
    var out: [String] = []
    var pending = ""
    try advance()
    while true {
      switch token {
      case .word(let text), .quoted(let text):
        pending = text
        try advance()
        guard token == .symbol(",") || token == .symbol(")") else { throw unexpected("`,` or `)`") }
      case .symbol(","):
        out.append(pending)
        pending = ""
        try advance()
      case .symbol(")"):
        out.append(pending)
        try advance()
        return out
      default: throw unexpected("`)`")
      }
    }
  }
}
