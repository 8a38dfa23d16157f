// YAML text to trees, document by document and item by item, and where hostile YAML ends.

/// A part of a YAML stream that is complete.
enum YAMLPart {
  /// A document; the items of its field `items` that came as parts of their own are left out of it.
  case document(DocumentNode)
  /// An object of a document's field `items`: what `kubectl get` prints may be as large as a cluster.
  case item(DocumentNode)
}

/// Reads the YAML documents of one file.
struct YAMLReader {
  /// The most values that aliases may stand for in one document.
  static let mostAliasedValues = 100_000
  /// How deep lists and mappings may stand in each other.
  static let deepest = 200

  private struct Composed {
    let node: DocumentNode
    /// How many values it is, itself included.
    let size: Int
    /// How many levels it has.
    let depth: Int
  }

  private let file: String
  private let lines: SourceLines
  private(set) var errors: [PolicyError] = []
  private var anchors: [String: Composed] = [:]
  private var aliased = 0

  /// Reads all documents up to the first that is not YAML; `take` gets those in which nothing is wrong.
  static func read(file: String, bytes: [UInt8], _ take: (YAMLPart) -> Void) -> [PolicyError] {
    var reader = YAMLReader(file: file, lines: SourceLines(bytes))
    if reader.isText(bytes) { reader.readDocuments(take) }
    return reader.errors
  }

  /// All documents of a file, where none can be large.
  static func documents(file: String, bytes: [UInt8]) -> (documents: [DocumentNode], errors: [PolicyError]) {
    var documents: [DocumentNode] = []
    let errors = read(file: file, bytes: bytes) { part in
      switch part {
      case .document(let node), .item(let node): documents.append(node)
      }
    }
    return (documents, errors)
  }

  private init(file: String, lines: SourceLines) {
    self.file = file
    self.lines = lines
  }

  private mutating func fail(_ line: Int, _ column: Int, _ message: String, _ remedy: String) {
    errors.append(PolicyError(SourceLocation(file: file, line: line, column: column), "", message, remedy))
  }

  private mutating func isText(_ bytes: [UInt8]) -> Bool {
    guard bytes.count <= PolicyParser.maximumFileSize else {
      let limit = PolicyParser.maximumFileSize
      fail(1, 1, "the file has \(bytes.count) bytes; at most \(limit) are read", "split the file")
      return false
    }
    if let index = bytes.firstIndex(of: 0) {
      fail(lines.number(at: index), 0, "the file holds a NUL byte", "remove it: policy documents are text")
      return false
    }
    guard String(validating: bytes, as: UTF8.self) != nil else {
      fail(lines.number(at: lines.firstInvalid()), 0, "the file is not UTF-8", "save it as UTF-8")
      return false
    }
    return true
  }

  // MARK: Documents

  private mutating func readDocuments(_ take: (YAMLPart) -> Void) {
    do throws(YAMLFault) {
      var reader = self
      defer { errors = reader.errors }
      try YAMLEvents.read(lines.text) { events throws(YAMLFault) in
        while true {
          let event = try events.next()
          switch event.kind {
          case .streamEnd: return
          case .documentStart: try reader.readDocument(events, take)
          default: continue
          }
        }
      }
    } catch {
      let told = YAMLFaultText(error, lines)
      fail(told.line, error.column, told.message, told.remedy)
    }
  }

  private mutating func readDocument(_ events: YAMLEvents, _ take: (YAMLPart) -> Void) throws(YAMLFault) {
    let faults = errors.count
    anchors = [:]
    aliased = 0
    let root = try compose(try events.next(), events, depth: 0, take)
    if let root, errors.count == faults, !root.node.isNothing { take(.document(root.node)) }
  }

  // MARK: Nodes

  /// The node that begins with an event; nil, with an error, if it cannot be read.
  private mutating func compose(
    _ event: YAMLEvents.Event, _ events: YAMLEvents, depth: Int, _ take: (YAMLPart) -> Void
  ) throws(YAMLFault) -> Composed? {
    let location = SourceLocation(file: file, line: event.line, column: event.column)
    if depth > Self.deepest {
      throw YAMLFault(
        problem: "lists and mappings stand more than \(Self.deepest) deep in each other", context: "", line: event.line,
        column: event.column)
    }
    switch event.kind {
    case .alias(let name): return alias(name, location, depth)
    case .scalar(let text, let isPlain, let tag, let anchor):
      guard isAllowed(tag, text, location) else { return nil }
      let node = DocumentNode(location: location, content: .text(text, isPlain: isPlain))
      return noted(anchor, Composed(node: node, size: 1, depth: 0))
    case .listStart(let tag, let anchor):
      let isGood = isAllowed(tag, nil, location)
      let list = try composeList(location, events, depth) { _ in false }
      return isGood ? noted(anchor, list) : nil
    case .mappingStart(let tag, let anchor):
      let isGood = isAllowed(tag, nil, location)
      let mapping = try composeMapping(location, events, depth, take)
      return isGood ? noted(anchor, mapping) : nil
    default: return nil
    }
  }

  private mutating func noted(_ anchor: String?, _ composed: Composed) -> Composed {
    if let anchor { anchors[anchor] = composed }
    return composed
  }

  /// What an alias stands for, so far as that does not grow out of bounds.
  private mutating func alias(_ name: String, _ location: SourceLocation, _ depth: Int) -> Composed? {
    guard let known = anchors[name] else {
      fail(
        location.line, location.column, "there is no anchor &\(name) before the alias *\(name)",
        "write the value out, or put it in quotes if it is text")
      return nil
    }
    aliased += known.size
    guard aliased <= Self.mostAliasedValues, depth + known.depth <= Self.deepest else {
      let message =
        aliased > Self.mostAliasedValues
        ? "aliases stand for more than \(Self.mostAliasedValues) values in this document"
        : "aliases make lists and mappings stand more than \(Self.deepest) deep in each other"
      // Once is enough.
      if errors.last?.message != message { fail(location.line, location.column, message, "write fewer values out") }
      return nil
    }
    return known
  }

  private mutating func composeList(
    _ location: SourceLocation, _ events: YAMLEvents, _ depth: Int, isTaken: (DocumentNode) -> Bool
  ) throws(YAMLFault) -> Composed {
    var items: [DocumentNode] = []
    var (size, deepest) = (1, 0)
    while true {
      let event = try events.next()
      if case .collectionEnd = event.kind { break }
      let faults = errors.count
      guard let item = try compose(event, events, depth: depth + 1, { _ in }) else { continue }
      size += item.size
      deepest = max(deepest, item.depth)
      if errors.count > faults || !isTaken(item.node) { items.append(item.node) }
    }
    let node = DocumentNode(location: location, content: .list(items))
    return Composed(node: node, size: size, depth: deepest + 1)
  }

  private mutating func composeMapping(
    _ location: SourceLocation, _ events: YAMLEvents, _ depth: Int, _ take: (YAMLPart) -> Void
  ) throws(YAMLFault) -> Composed {
    var mapping = MappingEntries()
    var (size, deepest) = (1, 0)
    while true {
      let event = try events.next()
      if case .collectionEnd = event.kind { break }
      let key = try compose(event, events, depth: depth + 1, { _ in })
      let start = try events.next()
      let value: Composed?
      if depth == 0, key?.node.isText("items") ?? false, case .listStart(nil, nil) = start.kind {
        value = try composeList(
          SourceLocation(file: file, line: start.line, column: start.column), events, depth + 1
        ) { item in
          guard item.plainText("apiVersion") != nil, item.plainText("kind") != nil else { return false }
          take(.item(item))
          return true
        }
      } else {
        value = try compose(start, events, depth: depth + 1, { _ in })
      }
      guard let key else { continue }
      guard case .text(let name, let isPlain) = key.node.content else {
        fail(
          key.node.location.line, key.node.location.column, "a field name must be text, not \(key.node.kind)",
          "write a name")
        continue
      }
      guard let value else { continue }
      size += value.size + 1
      deepest = max(deepest, value.depth)
      if name == "<<", isPlain {
        mapping.merge(value.node)
      } else if !mapping.add(DocumentNode.Entry(key: name, location: key.node.location, value: value.node)) {
        fail(
          key.node.location.line, key.node.location.column, "a mapping holds \(name.shown) more than once",
          "keep one of them")
      }
    }
    let node = DocumentNode(location: location, content: .mapping(mapping.all))
    return Composed(node: node, size: size, depth: deepest + 1)
  }

  private mutating func isAllowed(_ tag: String?, _ text: String?, _ location: SourceLocation) -> Bool {
    guard let tag, tag != "!" else { return true }
    let harmless = ["str", "seq", "map"].map { "tag:yaml.org,2002:\($0)" }
    if harmless.contains(tag) { return true }
    if tag.hasPrefix("!"), !tag.hasPrefix("!!"), let text {
      let meant = text.isEmpty ? tag : "\(tag) \(text)"
      fail(location.line, location.column, "a value that begins with `!` must be quoted", "write \(meant.quoted)")
    } else {
      fail(location.line, location.column, "YAML tags (!) are not read", "remove the tag, or put the value in quotes")
    }
    return false
  }
}

/// The entries of a mapping while it is read; what `<<` brings gives way to what is written.
private struct MappingEntries {
  private var own: [DocumentNode.Entry] = []
  private var merged: [DocumentNode.Entry] = []
  private var names: Set<String> = []

  var all: [DocumentNode.Entry] { own + merged.filter { !names.contains($0.key) } }

  /// False if there is one of that name.
  mutating func add(_ entry: DocumentNode.Entry) -> Bool {
    // Most mappings are short.
    let isNew = own.count < 8 ? !own.contains { $0.key == entry.key } : !names.contains(entry.key)
    guard isNew else { return false }
    own.append(entry)
    if own.count == 8 || !merged.isEmpty { names.formUnion(own.map(\.key)) }
    if own.count > 8 { names.insert(entry.key) }
    return true
  }

  mutating func merge(_ node: DocumentNode) {
    names.formUnion(own.map(\.key))
    switch node.content {
    case .mapping(let entries):
      for entry in entries where !merged.contains(where: { $0.key == entry.key }) { merged.append(entry) }
    case .list(let nodes): for node in nodes { merge(node) }
    case .text: break
    }
  }
}

extension DocumentNode {
  /// Whether it is this text.
  func isText(_ wanted: String) -> Bool {
    if case .text(wanted, _) = content { true } else { false }
  }
}
