// The tree of a document: only text, lists and mappings, each with its place.

/// One value of a document.
struct DocumentNode {
  /// What the value is.
  enum Content {
    /// The text as written, whatever type YAML would give it; `isPlain` if it stood without quotes.
    case text(String, isPlain: Bool)
    case list([DocumentNode])
    case mapping([Entry])
  }

  /// One field of a mapping.
  struct Entry {
    let key: String
    let location: SourceLocation
    let value: DocumentNode
  }

  let location: SourceLocation
  let content: Content

  /// Whether nothing was written: `field:`, `field: ~` or `field: null`.
  var isNothing: Bool {
    guard case .text(let text, isPlain: true) = content else { return false }
    return ["", "~", "null", "Null", "NULL"].contains(text)
  }

  /// The value as another field's: one that is meant for a list of many is often written as one.
  func asMeant(of name: String, for field: String) -> DocumentNode {
    guard case .text(let text, _) = content, field == "\(name)s", text != "any" else { return self }
    return DocumentNode(location: location, content: .list([self]))
  }

  /// What messages call it.
  var kind: String {
    switch content {
    case _ where isNothing: "nothing"
    case .text(let text, _): text.utf8.count <= 40 ? text.shown : "a text"
    case .list: "a list"
    case .mapping: "a mapping"
    }
  }
}
