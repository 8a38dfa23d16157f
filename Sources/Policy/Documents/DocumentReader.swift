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
  ///
  /// One whose name is nearly that of a known field, or another product's word for it, counts as that field: then no error
  /// follows from the first.
  mutating func fields(
    _ node: DocumentNode, _ field: String, known: [String], like template: Template? = nil
  ) -> [String: DocumentNode]? {
    guard case .mapping(let entries) = node.content else {
      let remedy =
        template.map { "write it like \($0.text)" } ?? "write a mapping with \(known.joined(separator: ", "))"
      failShape(node, field, "a mapping", remedy)
      return nil
    }
    var out: [String: DocumentNode] = [:]
    var meant: [String: DocumentNode] = [:]
    for entry in entries {
      if known.contains(entry.key) {
        out[entry.key] = entry.value
      } else {
        let near = DocumentReader.meantField(entry.key, in: known)
        if let near { meant[near] = entry.value.asMeant(of: entry.key, for: near) }
        fail(
          entry.location, DocumentReader.join(field, entry.key), "there is no such field",
          near.map { "did you mean `\($0)`?" } ?? DocumentReader.fieldRemedy(entry.key, known)
            ?? "known here: \(known.joined(separator: ", "))")
      }
    }
    return out.merging(meant) { own, _ in own }
  }

  /// All entries of a mapping.
  mutating func entries(
    _ node: DocumentNode, _ field: String, like example: @autoclosure () -> String
  ) -> [DocumentNode.Entry]? {
    guard case .mapping(let entries) = node.content else {
      failShape(node, field, "a mapping", "write it like {\(example())}")
      return nil
    }
    return entries
  }

  mutating func list(_ node: DocumentNode, _ field: String, like example: String) -> [DocumentNode]? {
    guard case .list(let items) = node.content else {
      failShape(node, field, "a list", "write it like [\(example)]")
      return nil
    }
    return items
  }

  /// Text as written, without control characters.
  mutating func text(_ node: DocumentNode, _ field: String, like example: String) -> String? {
    guard case .text(let text, _) = node.content, !node.isNothing else {
      failShape(node, field, "text", "write it like \(example)")
      return nil
    }
    guard text.unicodeScalars.allSatisfy(Label.isPrintable) else {
      fail(node.location, field, "holds a control character: \(text.shown)", "remove it")
      return nil
    }
    return text
  }

  /// A name of a document: what may stand in logs, metrics and records without quotes.
  mutating func name(_ node: DocumentNode, _ field: String) -> String? {
    guard let name = text(node, field, like: "web") else { return nil }
    let allowed = name.utf8.allSatisfy { Label.isNameByte($0) || $0 == UInt8(ascii: "/") }
    guard allowed, (1...253).contains(name.utf8.count), Label.isAlphanumeric(name.utf8.first) else {
      fail(
        node.location, field, "\(name.shown) is not a valid name",
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
