// YAML text to trees: the only place that knows Yams, and where hostile YAML ends.

internal import Yams

/// Reads the YAML documents of one file.
struct YAMLReader {
  private let file: String
  private(set) var documents: [DocumentNode] = []
  private(set) var errors: [PolicyError] = []

  /// Reads all documents up to the first that is no YAML.
  init(file: String, bytes: [UInt8]) {
    self.file = file
    if let text = decode(bytes), isFreeOfAliases(text) { parse(text) }
  }

  private mutating func fail(_ line: Int, _ column: Int, _ message: String, _ remedy: String) {
    errors.append(PolicyError(SourceLocation(file: file, line: line, column: column), "", message, remedy))
  }

  private mutating func decode(_ bytes: [UInt8]) -> String? {
    guard bytes.count <= PolicyParser.maximumFileSize else {
      let limit = PolicyParser.maximumFileSize
      fail(1, 1, "the file has \(bytes.count) bytes; at most \(limit) are read", "split the file")
      return nil
    }
    func line(at index: Int) -> Int { bytes[..<index].count { $0 == UInt8(ascii: "\n") } + 1 }
    if let index = bytes.firstIndex(of: 0) {
      fail(line(at: index), 0, "the file holds a NUL byte", "remove it: policy documents are text")
      return nil
    }
    let mark: [UInt8] = [0xef, 0xbb, 0xbf]
    guard let text = String(validating: bytes.starts(with: mark) ? bytes[3...] : bytes[...], as: UTF8.self) else {
      fail(line(at: YAMLReader.firstInvalid(bytes)), 0, "the file is not UTF-8", "save it as UTF-8")
      return nil
    }
    return text
  }

  /// The index of the first byte of the line that is not UTF-8.
  private static func firstInvalid(_ bytes: [UInt8]) -> Int {
    var start = 0
    for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      if String(validating: line, as: UTF8.self) == nil { return start }
      start += line.count + 1
    }
    return 0
  }

  /// Counts what looks like an alias of an anchor before it.
  ///
  /// Anchors are refused node by node below. But composing already hashes the keys of mappings, and hashing an alias
  /// of aliases takes exponential time: so a text with more than a few is refused before it is composed. A few may
  /// just be words in comments and quotes.
  private mutating func isFreeOfAliases(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    let few = 16
    var anchors: Set<[UInt8]> = []
    var aliases = 0
    var line = 1
    var before = UInt8(ascii: "\n")
    for (index, byte) in bytes.enumerated() {
      if byte == UInt8(ascii: "&") || byte == UInt8(ascii: "*"), YAMLReader.mayPrecedeNode(before) {
        // Names are letters, digits, `_` and `-` to libyaml. Cutting long ones only makes more of them equal.
        let rest = bytes[(index + 1)...].prefix(32)
        let name = Array(rest.prefix { Label.isNameByte($0) && $0 != UInt8(ascii: ".") })
        if byte == UInt8(ascii: "&") { anchors.insert(name) } else if anchors.contains(name) { aliases += 1 }
        if aliases > few || anchors.count > 4096 {
          fail(line, 0, YAMLReader.anchorMessage, YAMLReader.anchorRemedy)
          return false
        }
      }
      if byte == UInt8(ascii: "\n") { line += 1 }
      before = byte
    }
    return true
  }

  /// Blanks, YAML's own signs, and everything beyond ASCII, where YAML has more line breaks.
  private static func mayPrecedeNode(_ byte: UInt8) -> Bool {
    byte <= 32 || byte >= 128 || "[]{},:-?!\"'".utf8.contains(byte)
  }

  private static let anchorMessage = "YAML anchors (&) and aliases (*) are not read"
  private static let anchorRemedy = "write the value out, or put it in quotes if it is text"

  private mutating func parse(_ text: String) {
    do {
      // Without resolver rules: what a plain word means is ours to say, not YAML's (`no` is a fine label).
      let parser = try Yams.Parser(yaml: text, resolver: .basic, encoding: .utf8)
      // Nodes hold their anchors weakly; the parser keeps them alive.
      try withExtendedLifetime(parser) {
        while let root = try parser.nextRoot() {
          let faults = errors.count
          guard let document = convert(root), errors.count == faults, !document.isNothing else { continue }
          documents.append(document)
        }
      }
    } catch let error as YamlError {
      report(error, text)
    } catch {
      fail(1, 1, "the file is no YAML: \(error)", "correct it")
    }
  }

  private mutating func report(_ error: YamlError, _ text: String) {
    switch error {
    case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      let during = context.map { " \($0.text)" } ?? ""
      fail(mark.line, mark.column, "the file is no YAML: \(problem)\(during)", "correct the line or the one before it")
    case .duplicatedKeysInMapping(let keys, let context):
      fail(
        context.mark.line, context.mark.column,
        "a mapping holds \(keys.prefix(5).map(\.shown).joined(separator: ", ")) more than once", "keep one of them")
    case .reader(let problem, let offset, _, _):
      let line = text.prefix(offset ?? 0).count { $0.isNewline } + 1
      fail(line, 0, "the file is no YAML: \(problem)", "remove the character")
    default: fail(1, 1, "the file is no YAML", "correct it")
    }
  }

  private mutating func convert(_ node: Node) -> DocumentNode? {
    let location = SourceLocation(file: file, line: node.mark?.line ?? 1, column: node.mark?.column ?? 1)
    if node.anchor != nil || node.alias != nil {
      fail(location.line, location.column, YAMLReader.anchorMessage, YAMLReader.anchorRemedy)
      return nil
    }
    switch node {
    case .scalar(let scalar):
      guard isAllowed(scalar.tag, location) else { return nil }
      return DocumentNode(location: location, content: .text(scalar.string, isPlain: scalar.style == .plain))
    case .sequence(let sequence):
      guard isAllowed(sequence.tag, location) else { return nil }
      return DocumentNode(location: location, content: .list(sequence.compactMap { convert($0) }))
    case .mapping(let mapping):
      guard isAllowed(mapping.tag, location) else { return nil }
      var entries: [DocumentNode.Entry] = []
      for (key, value) in mapping {
        guard let key = convert(key) else { continue }
        guard case .text(let name, _) = key.content else {
          fail(key.location.line, key.location.column, "a field name must be text, not \(key.kind)", "write a name")
          continue
        }
        if let value = convert(value) {
          entries.append(DocumentNode.Entry(key: name, location: key.location, value: value))
        }
      }
      return DocumentNode(location: location, content: .mapping(entries))
    case .alias: return nil
    }
  }

  private mutating func isAllowed(_ tag: Tag, _ location: SourceLocation) -> Bool {
    let harmless: [Tag.Name] = [.implicit, .nonSpecific, .str, .seq, .map]
    if harmless.contains(where: { $0.rawValue == tag.description }) { return true }
    fail(location.line, location.column, "YAML tags (!) are not read", "remove the tag, or put the value in quotes")
    return false
  }
}
