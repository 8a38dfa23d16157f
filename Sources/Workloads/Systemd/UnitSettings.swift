// What an operator wrote about a unit for the agent: the section [X-Sallyport] of unit files.
package import Policy

/// The section `[X-Sallyport]` of a unit and its drop-ins, merged; systemd itself ignores sections that begin with `X-`
/// (systemd.unit(5)).
/// ```
/// [X-Sallyport]
/// Labels=app=web tier=front "team=north west"
/// Mode=observe
/// Children=reject-until-labelled
/// ```
package struct UnitSettings: Sendable, Equatable {
  /// `Labels=`: words as in `Environment=`; several assignments add up, an empty one forgets those before it.
  package var labels: LabelSet
  /// `Mode=`: `enforce` or `observe`; the last one holds, an empty one means enforce.
  package var observe: Bool
  /// `Children=`: `inherit` or `reject-until-labelled`; the last one holds, an empty one means inherit.
  package var rejectsUnlabelledChildren: Bool

  package init(labels: LabelSet = .empty, observe: Bool = false, rejectsUnlabelledChildren: Bool = false) {
    self.labels = labels
    self.observe = observe
    self.rejectsUnlabelledChildren = rejectsUnlabelledChildren
  }

  /// The name of the section.
  package static let section = "X-Sallyport"

  /// Whether a file has the section at all.
  static func isMentioned(in text: String) -> Bool {
    text.split(whereSeparator: \.isNewline).contains { trimmed($0) == "[\(section)]" }
  }

  /// Lays what one more file says over this; nothing of the file is used when anything in its section is wrong.
  package mutating func read(_ text: String, file: String) throws(UnitSettingsError) {
    var new = self
    var isOurs = false
    for line in Self.logicalLines(text) {
      if line.text.hasPrefix("[") {
        isOurs = line.text == "[\(Self.section)]"
      } else if isOurs {
        try new.assign(line.text, file: file, line: line.number)
      }
    }
    self = new
  }

  private mutating func assign(_ line: String, file: String, line number: Int) throws(UnitSettingsError) {
    func fail(_ problem: String, _ remedy: String) -> UnitSettingsError {
      UnitSettingsError(file: file, line: number, problem: problem, remedy: remedy)
    }
    guard let equals = line.firstIndex(of: "=") else {
      throw fail("\(line.shortened) is no assignment", "write KEY=VALUE")
    }
    let key = Self.trimmed(line[..<equals])
    let value = Self.trimmed(line[line.index(after: equals)...])
    switch key {
    case "Labels":
      guard !value.isEmpty else { return labels = .empty }
      for word in try Self.words(value, fail) {
        guard word.contains("=") else { throw fail("\(word.shortened) is no label", "write Labels=KEY=VALUE …") }
        let label: LabelSet
        do { label = try LabelSet(word: word) } catch { throw fail("\(error)", "write Labels=KEY=VALUE …") }
        if let key = label.labels.first?.key, Label.isReserved(key) {
          throw fail("label key \(key) is set by the agent alone", "use a key of your own")
        }
        labels = labels.merging(label)
      }
    case "Mode":
      guard let mode = ["": false, "enforce": false, "observe": true][value] else {
        throw fail("\(value.shortened) is no mode", "write Mode=enforce or Mode=observe")
      }
      observe = mode
    case "Children":
      guard let rejects = ["": false, "inherit": false, "reject-until-labelled": true][value] else {
        throw fail(
          "\(value.shortened) is nothing that children can do", "write Children=inherit or reject-until-labelled")
      }
      rejectsUnlabelledChildren = rejects
    default:
      throw fail("there is no key \(key.shortened)", "the section has Labels, Mode and Children")
    }
  }

  /// Lines without comments and blanks, those that end in `\` joined with the next one (systemd.syntax(7)).
  private static func logicalLines(_ text: String) -> [(number: Int, text: String)] {
    var lines: [(number: Int, text: String)] = []
    var open: (number: Int, text: String)?
    for (index, raw) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let line = trimmed(raw)
      // A comment within a continued line is skipped, and the line goes on.
      if line.hasPrefix("#") || line.hasPrefix(";") { continue }
      let continues = line.hasSuffix("\\")
      let part = continues ? String(line.dropLast()) + " " : line
      let joined = (number: open?.number ?? index + 1, text: (open?.text ?? "") + part)
      open = continues ? joined : nil
      if !continues, !joined.text.isEmpty { lines.append(joined) }
    }
    if let open { lines.append(open) }
    return lines
  }

  /// Words between blanks; quotes hold blanks together.
  private static func words(
    _ text: String, _ fail: (String, String) -> UnitSettingsError
  ) throws(UnitSettingsError) -> [String] {
    var words: [String] = []
    var word: String?
    var quote: Character?
    for character in text {
      if let open = quote {
        if character == open { quote = nil } else { word?.append(character) }
      } else if character == "\"" || character == "'" {
        quote = character
        word = word ?? ""
      } else if character == " " || character == "\t" {
        if let word { words.append(word) }
        word = nil
      } else {
        word = (word ?? "") + String(character)
      }
    }
    guard quote == nil else { throw fail("a quote is not closed", "close it on the same line") }
    return words + [word].compactMap { $0 }
  }

  private static func trimmed(_ text: some StringProtocol) -> String {
    let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\r" }
    let start = text.drop(while: isBlank)
    return String(start.reversed().drop(while: isBlank).reversed())
  }
}

/// A section that cannot be used.
package struct UnitSettingsError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The file.
  package let file: String
  /// The line, from 1; 0 for the file as a whole.
  package let line: Int
  /// What is wrong with it.
  package let problem: String
  /// What to do about it.
  package let remedy: String

  /// `FILE:LINE: PROBLEM; REMEDY`.
  package var description: String { "\(file):" + (line > 0 ? "\(line): " : " ") + "\(problem); \(remedy)" }
}

extension LabelSet {
  /// One label, `KEY=VALUE`, the value as it stands.
  fileprivate init(word: String) throws(LabelError) {
    let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    try self.init([try Label(parts[0], parts.count > 1 ? parts[1] : "")])
  }
}

extension String {
  /// At most 80 characters, quoted, for messages.
  fileprivate var shortened: String { String(prefix(80)).debugDescription }
}
