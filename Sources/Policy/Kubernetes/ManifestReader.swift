// What all Kubernetes documents have in common: metadata, names, labels and selectors, checked as the API checks them.

/// The metadata of an object.
struct ObjectMetadata {
  var name: String
  /// `default` if the document names none; empty for what has none.
  var namespace: String
  var labels: LabelSet
  var annotations: [String: String]
  /// Whether the document itself names the namespace.
  var namesNamespace = true
}

extension DocumentReader {
  /// The fields of a mapping; `field: null` is as if it were not written.
  mutating func manifest(_ node: DocumentNode, _ field: String, known: [String]) -> [String: DocumentNode]? {
    fields(node, field, known: known)?.filter { !$0.value.isNothing }
  }

  /// What the API server and its clients keep in metadata; all but the first four say nothing to policy.
  private static let metadataFields = [
    "name", "namespace", "labels", "annotations", "generateName", "uid", "resourceVersion", "generation",
    "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences", "finalizers", "selfLink",
    "managedFields", "clusterName",
  ]

  /// Reads `metadata`; nil if there is no usable name.
  mutating func objectMetadata(
    _ node: DocumentNode?, of document: DocumentNode, isNamespaced: Bool, nameIsLabel: Bool = false
  ) -> ObjectMetadata? {
    guard let node, let fields = manifest(node, "metadata", known: Self.metadataFields) else {
      if node == nil { fail(document.location, "metadata", "is missing", "write `metadata: {name: web}`") }
      return nil
    }
    let labels = fields["labels"].map { ownLabels($0, "metadata.labels") } ?? .empty
    var annotations: [String: String] = [:]
    if let node = fields["annotations"] {
      for entry in entries(node, "metadata.annotations", like: "owner: team-a") ?? [] {
        if case .text(let text, _) = entry.value.content { annotations[entry.key] = text }
      }
    }
    var namespace = ""
    if let node = fields["namespace"], !node.isText("") {
      // The empty name is as if it were not written.
      if isNamespaced {
        namespace = dnsName(node, "metadata.namespace", isLabel: true) ?? ""
      } else {
        fail(node.location, "metadata.namespace", "objects of this kind have no namespace", "remove it")
      }
    } else if isNamespaced {
      namespace = "default"
    }
    guard let name = fields["name"] else {
      fail(node.location, "metadata.name", "is missing", "give the object a name")
      return nil
    }
    guard let name = dnsName(name, "metadata.name", isLabel: nameIsLabel), !namespace.isEmpty || !isNamespaced else {
      return nil
    }
    let names = fields["namespace"].map { !$0.isText("") } ?? false
    return ObjectMetadata(
      name: name, namespace: namespace, labels: labels, annotations: annotations, namesNamespace: names)
  }

  /// A name as RFC 1123 has it: a label of at most 63 bytes, or several with dots of at most 253.
  mutating func dnsName(_ node: DocumentNode, _ field: String, isLabel: Bool) -> String? {
    guard let name = string(node, field, like: "web") else { return nil }
    let parts = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    let isGood = parts.allSatisfy { part in
      let allowed = part.allSatisfy { isLowercaseAlphanumeric($0) || $0 == UInt8(ascii: "-") }
      return allowed && isLowercaseAlphanumeric(part.first) && isLowercaseAlphanumeric(part.last)
    }
    guard isGood, name.utf8.count <= (isLabel ? 63 : 253), parts.count == 1 || !isLabel else {
      fail(
        node.location, field, "\(name.shown) is not a \(isLabel ? "DNS label" : "DNS name")",
        "use at most \(isLabel ? 63 : 253) lower-case letters, digits and `-`\(isLabel ? "" : " and `.`"), a letter or "
          + "digit first and last")
      return nil
    }
    return name
  }

  private func isLowercaseAlphanumeric(_ byte: UInt8?) -> Bool {
    Label.isAlphanumeric(byte) && !(65...90).contains(byte ?? 0)
  }

  /// Text; what YAML takes for a number or a truth is none, since the API refuses it.
  mutating func string(_ node: DocumentNode, _ field: String, like example: String) -> String? {
    guard let text = text(node, field, like: example) else { return nil }
    if case .text(_, isPlain: true) = node.content, YAMLType.isOther(text) {
      fail(node.location, field, "\(text) is not text to YAML, and the Kubernetes API refuses it", "put it in quotes")
      return nil
    }
    return text
  }

  /// A whole number in a range.
  mutating func number(_ node: DocumentNode, _ field: String, in range: ClosedRange<Int>) -> Int? {
    if case .text(let text, isPlain: true) = node.content, YAMLType.isOddNumber(text) {
      fail(
        node.location, field, "\(text) is not a decimal number\(YAMLType.reading(text))",
        "write it in decimal digits, from \(range.lowerBound) to \(range.upperBound)")
      return nil
    }
    var number: Int?
    if case .text(let text, isPlain: true) = node.content, text.utf8.count <= 12 { number = Int(text) }
    guard let number, range.contains(number) else {
      fail(
        node.location, field,
        "must be a whole number from \(range.lowerBound) to \(range.upperBound), not \(node.kind)",
        "write it without quotes")
      return nil
    }
    return number
  }

  /// `true` or `false`, as the API takes them: not in quotes, and not YAML's other words for them.
  mutating func truth(_ node: DocumentNode, _ field: String) -> Bool? {
    if case .text(let text, isPlain: true) = node.content, text == "true" || text == "false" { return text == "true" }
    fail(node.location, field, "\(node.kind) is not true or false", "write `true` or `false`, without quotes")
    return nil
  }

  /// The labels of an object.
  mutating func ownLabels(_ node: DocumentNode, _ field: String) -> LabelSet {
    var labels: [Label] = []
    for entry in entries(node, field, like: "app: web") ?? [] {
      let path = DocumentReader.join(field, entry.key)
      guard let value = labelValue(entry.value, path), isLabelKey(entry.key, entry.location, path) else { continue }
      labels.append(Label(uncheckedKey: entry.key, value: value))
    }
    return LabelSet(sorted: labels.sorted())
  }

  private mutating func isLabelKey(_ key: String, _ location: SourceLocation, _ field: String) -> Bool {
    do throws(LabelError) {
      // Under the longer key it has here as well.
      try Label.checkKey(key)
      try Label.checkKey(PodLabel.own(key))
      return true
    } catch {
      fail(location, field, error.description, "write it like app or example.com/app")
      return false
    }
  }

  /// At most 63 letters, digits, `-`, `_` and `.`, a letter or digit first and last; or nothing at all.
  private mutating func labelValue(_ node: DocumentNode, _ field: String) -> String? {
    if case .text("", isPlain: false) = node.content { return "" }
    guard let value = string(node, field, like: "web") else { return nil }
    let ends = Label.isAlphanumeric(value.utf8.first) && Label.isAlphanumeric(value.utf8.last)
    guard value.isEmpty || ends, value.utf8.count <= 63, value.utf8.allSatisfy({ Label.isNameByte($0) }) else {
      fail(
        node.location, field, "\(value.shown) is not a label value",
        "use at most 63 letters, digits, `-`, `_` and `.`, a letter or digit first and last")
      return nil
    }
    return value
  }

  /// `{matchLabels: …, matchExpressions: …}`; an empty one matches everything.
  ///
  /// Nil, with an error, if it cannot be read.
  mutating func labelSelector(_ node: DocumentNode, _ field: String) -> Selector? {
    let count = errors.count
    guard let fields = manifest(node, field, known: ["matchLabels", "matchExpressions"]) else { return nil }
    var requirements: [Requirement] = []
    if let node = fields["matchLabels"] {
      requirements += ownLabels(node, "\(field).matchLabels").labels.map { Requirement($0) }
    }
    if let node = fields["matchExpressions"] {
      let example = "{key: app, operator: In, values: [web]}"
      for (index, item) in (list(node, "\(field).matchExpressions", like: example) ?? []).enumerated() {
        if let made = labelExpression(item, "\(field).matchExpressions[\(index)]") { requirements.append(made) }
      }
    }
    return errors.count == count ? Selector(requirements) : nil
  }

  private mutating func labelExpression(_ node: DocumentNode, _ field: String) -> Requirement? {
    guard let fields = manifest(node, field, known: ["key", "operator", "values"]) else { return nil }
    guard let keyNode = fields["key"], let wordNode = fields["operator"] else {
      fail(node.location, field, "must have key and operator", "write it like {key: app, operator: Exists}")
      return nil
    }
    let words: [(String, Requirement.Operator)] = [
      ("In", .isIn), ("NotIn", .notIn), ("Exists", .exists), ("DoesNotExist", .doesNotExist),
    ]
    let key = string(keyNode, "\(field).key", like: "app")
    let word = choice(wordNode, "\(field).operator", words)
    var values: [String] = []
    var isWhole = true
    if let node = fields["values"] {
      guard let items = list(node, "\(field).values", like: "web") else { return nil }
      for (index, item) in items.enumerated() {
        if let value = labelValue(item, "\(field).values[\(index)]") { values.append(value) } else { isWhole = false }
      }
    }
    guard let key, isLabelKey(key, keyNode.location, "\(field).key"), let word, isWhole else { return nil }
    do throws(LabelError) {
      return try Requirement(key, word, values)
    } catch {
      fail(
        (fields["values"] ?? node).location, "\(field).values", error.description,
        "In and NotIn need values, Exists and DoesNotExist take none")
      return nil
    }
  }
}

/// What YAML 1.1, which the tools of Kubernetes read, takes a plain word for.
enum YAMLType {
  private static let truths: Set<String> = ["true", "false", "yes", "no", "on", "off", "y", "n"]

  /// Whether it is a number or a truth.
  static func isOther(_ word: String) -> Bool {
    if word.utf8.count <= 5, truths.contains(word.lowercased()) {
      // `yEs` is a word: all small, all large or the first large.
      let rest = word.dropFirst()
      return word == word.lowercased() || word == word.uppercased() || rest == rest.lowercased()[...]
    }
    return isNumber(word)
  }

  /// Whether it is a number to YAML, but not plain decimal digits: tools read it in different ways.
  static func isOddNumber(_ word: String) -> Bool {
    let digits = word.hasPrefix("-") ? word.dropFirst() : word[...]
    let isPlain = digits.utf8.allSatisfy { (48...57).contains($0) } && (digits.count == 1 || digits.first != "0")
    return isNumber(word) && !(isPlain && !digits.isEmpty)
  }

  /// What the tools of Kubernetes make of a number with leading zeros; empty for others.
  static func reading(_ word: String) -> String {
    guard word.hasPrefix("0"), word.utf8.allSatisfy({ (48...55).contains($0) }), let number = Int(word, radix: 8) else {
      return ""
    }
    return ": Kubernetes reads it as octal, \(number)"
  }

  private static func isNumber(_ word: String) -> Bool {
    var digits = Substring(word)
    if digits.first == "-" || digits.first == "+" { digits = digits.dropFirst() }
    guard let first = digits.utf8.first, (48...57).contains(first) || first == UInt8(ascii: ".") else { return false }
    let lower = digits.lowercased()
    if [".inf", ".nan"].contains(lower) { return true }
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where lower.hasPrefix(prefix) {
      return UInt64(lower.dropFirst(2), radix: radix) != nil
    }
    guard lower.utf8.contains(where: { (48...57).contains($0) }) else { return false }
    let isDecimal = lower.utf8.allSatisfy { (48...57).contains($0) || $0 == UInt8(ascii: "_") }
    return isDecimal || (Double(String(lower)) != nil && !lower.contains("p") && !lower.contains("n"))
  }
}
