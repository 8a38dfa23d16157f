// What people meant by what they wrote: the remedies for usual slips in native documents.

extension DocumentReader {
  /// Says that a field holds something else than it must.
  mutating func failShape(_ node: DocumentNode, _ field: String, _ shape: String, _ remedy: String) {
    if node.isNothing {
      fail(node.location, field, "is empty", remedy.replacingWriteByExpected)
    } else {
      fail(node.location, field, "must be \(shape), not \(node.kind)", remedy)
    }
  }

  /// One of some words that name a `noun`.
  mutating func choice<Value>(
    _ node: DocumentNode, _ field: String, as noun: String? = nil, _ choices: [(String, Value)]
  ) -> Value? {
    let words = choices.map(\.0)
    guard case .text(let text, _) = node.content, !node.isNothing else {
      failShape(node, field, "a word", "write \(Self.list(words))")
      return nil
    }
    if let found = choices.first(where: { $0.0 == text }) { return found.1 }
    let name = noun ?? Self.noun(of: field)
    let isKind = name == "kind"
    let message =
      isKind
      ? "unknown kind \(node.kind)"
      : "\(node.kind) is not \(name.first.map { "aeiou".contains($0) } ?? false ? "an" : "a") \(name)"
    if let meant = Spelling.synonym(of: text, in: words, among: Spelling.values) {
      let isSure = name == "action" || meant.lowercased() == text.lowercased()
      let remedy = isKind || !isSure ? "did you mean `\(meant)`?" : "write `\(meant)`"
      fail(node.location, field, message, remedy)
    } else if let near = Spelling.nearest(to: text, in: words) {
      fail(node.location, field, message, "did you mean `\(near)`?")
    } else {
      fail(node.location, field, message, "write \(Self.list(words))")
    }
    return nil
  }

  /// `a`, `b` or `c`.
  private static func list(_ words: [String]) -> String {
    let quoted = words.map { "`\($0)`" }
    return quoted.count < 2
      ? quoted.joined() : quoted.dropLast().joined(separator: ", ") + " or " + quoted[quoted.count - 1]
  }

  /// What the last part of a field's path is called.
  private static func noun(of field: String) -> String {
    let last = field.split(separator: ".").last.map(String.init) ?? field
    let name = last.prefix { $0 != "[" }
    switch name {
    case "incoming", "outgoing": return "action"
    case "policyTypes": return "policy type"
    case "log": return "boolean"
    default: return String(name)
    }
  }

  /// The known field that is meant by an unknown one.
  static func meantField(_ name: String, in known: [String]) -> String? {
    Spelling.synonym(of: name, in: known, among: Spelling.fields) ?? Spelling.nearest(to: name, in: known)
  }

  /// What to write in place of a field that there is not, where no other field means the same.
  static func fieldRemedy(_ name: String, _ known: [String]) -> String? {
    let lower = name.lowercased()
    if known.contains("executables"), ["image", "images"].contains(lower) {
      return "write `labels: container.image=nginx`"
    }
    if known.contains("cidrs"), ["dns", "domains", "fqdn", "fqdns", "hosts", "hostnames", "names"].contains(lower) {
      return "names are not looked up here: write `cidrs`"
    }
    if known.contains("subject"), lower == "rules" { return "write them in `incoming` and `outgoing`" }
    return nil
  }

  // MARK: Peers

  /// Words that people write for everybody.
  private static let everybody: Set<String> = ["any", "all", "*", "everyone", "everybody", "anyone", "everything", ""]

  /// The remedy for text where a list of peers, or one of them, belongs.
  static func peerRemedy(_ text: String, inList: Bool) -> String {
    if everybody.contains(text.lowercased()) { return "write `\(Template.anyPeer.text)`" }
    if let remedy = addressRemedy(text) { return remedy }
    // Selectors need quotes here only where a comma would end them.
    if let selector = try? Selector(parsing: text), !text.contains(" ") {
      let shown = selector.description.contains(",") ? text.quoted : text
      return "write " + (inList ? "{selector: \(shown)}" : "[{selector: \(shown)}]")
    }
    return "write it like " + (inList ? Template.onePeer.text : Template.peers.text)
  }

  /// The remedy for an address where labels or a name belong; nil for other text.
  static func addressRemedy(_ text: String) -> String? {
    let bare = text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : text
    let isAddress = (try? IPAddress(parsing: bare)) != nil
    let prefix = try? IPPrefix(parsing: bare)
    guard isAddress || prefix != nil else { return nil }
    let cidr = prefix ?? (try? IPAddress(parsing: bare)).map { IPPrefix($0) }
    let shown = cidr.map { "\($0)" } ?? bare
    return "define an ExternalNetwork with cidrs: [\(shown.contains(":") ? shown.quoted : shown)], and write "
      + "{network: NAME} here"
  }

  /// What is said of a peer with `cidr`, `ipBlock` or `address`: addresses have names here.
  mutating func failAddressPeer(_ entry: DocumentNode.Entry, _ field: String) {
    var value: String?
    if case .text(let text, _) = entry.value.content { value = text }
    if case .mapping = entry.value.content { value = entry.value.plainText("cidr") }
    fail(
      entry.location, DocumentReader.join(field, entry.key), "addresses do not stand in rules",
      value.flatMap(Self.addressRemedy) ?? "define an ExternalNetwork with them, and write {network: NAME} here")
  }

  static let addressFields: Set<String> = [
    "cidr", "cidrs", "ipblock", "ip", "ips", "address", "addresses", "networks", "subnet",
  ]

  // MARK: Selectors

  /// The remedy for a selector that cannot be read.
  static func selectorRemedy(_ text: String) -> String {
    if text.contains("||") || text.contains(" or ") {
      return "there is no `or`: write two peers, or app in (web,api) for values of one key"
    }
    if text.contains("'") { return "write values with blanks in double quotes, like app in (web,\"x y\")" }
    if text.contains("&&") || text.contains(" and ") { return "join requirements by a comma: app=web,tier=a" }
    if text.unicodeScalars.contains(where: { "\u{201c}\u{201d}\u{2018}\u{2019}".unicodeScalars.contains($0) }) {
      return "replace the typographic quotes by \" or remove them"
    }
    if text.contains(" IN ") || text.contains(" NOTIN ") || text.contains(" In ") || text.contains(" NotIn ") {
      return "write `in` and `notin` in lower case, like tier in (a,b)"
    }
    return "write it like \(Template.selector.text)"
  }

  /// What is odd about a selector that can be read.
  mutating func warnOfSelector(_ selector: Selector, _ location: SourceLocation, _ field: String) {
    for (problem, remedy) in SelectorReview.problems(of: selector) { warn(location, field, problem, remedy) }
  }
}

extension String {
  /// Remedies begin with `write`; of something that is not there, with what is expected.
  fileprivate var replacingWriteByExpected: String {
    if hasPrefix("write it like ") { return "expected something like " + dropFirst("write it like ".count) }
    if hasPrefix("write ") { return "expected " + dropFirst("write ".count) }
    return self
  }
}
