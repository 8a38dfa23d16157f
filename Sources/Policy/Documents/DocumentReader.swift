// Takes typed values out of document trees, and keeps everything that is wrong with them.

/// Collects errors and warnings while fields are read; a field that cannot be read is nil and has an error.
struct DocumentReader {
  private(set) var errors: [PolicyError] = []
  private(set) var warnings: [PolicyError] = []

  mutating func fail(_ location: SourceLocation, _ field: String, _ message: String, _ remedy: String) {
    errors.append(PolicyError(location, field, message, remedy))
  }

  mutating func warn(_ location: SourceLocation, _ field: String, _ message: String, _ remedy: String) {
    warnings.append(PolicyError(location, field, message, remedy))
  }

  mutating func add(_ others: [PolicyError]) { errors.append(contentsOf: others) }

  /// Says one thing of a file in place of all that was wrong with it.
  mutating func replaceErrors(of file: String, by error: PolicyError) {
    errors.removeAll { $0.file == file }
    errors.append(error)
  }

  /// Takes over what another reader found wrong.
  mutating func add(_ other: DocumentReader) {
    errors += other.errors
    warnings += other.warnings
  }

  /// The fields of a mapping, those that are not known being errors.
  mutating func fields(_ node: DocumentNode, _ field: String, known: [String]) -> [String: DocumentNode]? {
    guard let entries = entries(node, field, like: known.map { "\($0): …" }.joined(separator: ", ")) else {
      return nil
    }
    var out: [String: DocumentNode] = [:]
    for entry in entries {
      if known.contains(entry.key) {
        out[entry.key] = entry.value
      } else {
        let near = Spelling.nearest(to: entry.key, in: known)
        fail(
          entry.location, DocumentReader.join(field, entry.key), "there is no such field",
          near.map { "did you mean `\($0)`?" } ?? "known here: \(known.joined(separator: ", "))")
      }
    }
    return out
  }

  /// All entries of a mapping.
  mutating func entries(
    _ node: DocumentNode, _ field: String, like example: @autoclosure () -> String
  ) -> [DocumentNode.Entry]? {
    guard case .mapping(let entries) = node.content else {
      fail(node.location, field, "must be a mapping, not \(node.kind)", "write it like {\(example())}")
      return nil
    }
    return entries
  }

  mutating func list(_ node: DocumentNode, _ field: String, like example: String) -> [DocumentNode]? {
    guard case .list(let items) = node.content else {
      fail(node.location, field, "must be a list, not \(node.kind)", "write it like [\(example)]")
      return nil
    }
    return items
  }

  /// Text as written, without control characters.
  mutating func text(_ node: DocumentNode, _ field: String, like example: String) -> String? {
    guard case .text(let text, _) = node.content, !node.isNothing else {
      fail(node.location, field, "must be text, not \(node.kind)", "write it like \(example)")
      return nil
    }
    guard text.unicodeScalars.allSatisfy(Label.isPrintable) else {
      fail(node.location, field, "holds a control character: \(text.shown)", "remove it")
      return nil
    }
    return text
  }

  /// One of some words.
  mutating func choice<Value>(
    _ node: DocumentNode, _ field: String, _ choices: [(String, Value)]
  ) -> Value? {
    let words = choices.map(\.0)
    guard case .text(let text, _) = node.content, let found = choices.first(where: { $0.0 == text }) else {
      var near: String?
      if case .text(let text, _) = node.content { near = Spelling.nearest(to: text, in: words) }
      let list = words.joined(separator: " or ")
      fail(node.location, field, "must be \(list), not \(node.kind)", "write `\(near ?? words[0])`")
      return nil
    }
    return found.1
  }

  /// A name of a document: what may stand in logs, metrics and records without quotes.
  mutating func name(_ node: DocumentNode, _ field: String) -> String? {
    guard let name = text(node, field, like: "web") else { return nil }
    let allowed = name.utf8.allSatisfy { Label.isNameByte($0) || $0 == UInt8(ascii: "/") }
    guard allowed, (1...253).contains(name.utf8.count), Label.isAlphanumeric(name.utf8.first) else {
      fail(
        node.location, field, "\(name.shown) is no name",
        "use 1 to 253 letters, digits, `-`, `_`, `.` and `/`, a letter or digit first")
      return nil
    }
    return name
  }

  /// Labels that people may set.
  mutating func labels(_ node: DocumentNode, _ field: String) -> LabelSet? {
    guard let entries = entries(node, field, like: "app: web") else { return nil }
    var labels: [Label] = []
    for entry in entries {
      let path = DocumentReader.join(field, entry.key)
      // Any scalar is the text as written: `yes` and `1` are labels, not a truth and a number.
      guard case .text(let value, _) = entry.value.content else {
        fail(entry.value.location, path, "must be text, not \(entry.value.kind)", "write it like app: web")
        continue
      }
      do throws(LabelError) {
        let label = try Label(entry.key, value)
        if Label.isReserved(label.key) {
          fail(
            entry.location, path, "keys that begin with sallyport., container. or k8s. are set by the agent alone",
            "use a key of your own")
        } else {
          labels.append(label)
        }
      } catch {
        fail(entry.location, path, error.description, "use printable text of at most 253 bytes, and a key like app")
      }
    }
    return LabelSet(sorted: labels.sorted())
  }

  /// The path of a field within another; odd names are quoted.
  static func join(_ field: String, _ name: String) -> String {
    let plain = !name.isEmpty && name.utf8.allSatisfy { Label.isNameByte($0) || $0 == UInt8(ascii: "/") }
    let shown = plain ? name : String(name.unicodeScalars.prefix(64)).shown
    return field.isEmpty ? shown : "\(field).\(shown)"
  }
}
