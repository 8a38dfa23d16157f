// Documents of kind NetworkRuleSet.

extension DocumentReader {
  /// Reads `spec` of a rule set; what cannot be read has an error.
  mutating func ruleSet(_ name: String, _ spec: DocumentNode, at source: SourceLocation) -> RuleSet {
    var out = RuleSet(name: name, subject: .everything, source: source)
    guard let fields = fields(spec, "spec", known: ["subject", "incoming", "outgoing"], like: .ruleSet) else {
      return out
    }
    if let node = fields["subject"] {
      if let selector = selector(node, "spec.subject") { out.subject = selector }
    } else {
      fail(
        spec.location, "spec.subject", "is missing",
        "write `\(Template.subject.text)`, or `subject: \"\"` for everything")
    }
    if let node = fields["incoming"] { out.incoming = rules(node, "spec.incoming") }
    if let node = fields["outgoing"] { out.outgoing = rules(node, "spec.outgoing") }
    if fields["incoming"] == nil, fields["outgoing"] == nil {
      warn(spec.location, "spec", "has neither incoming nor outgoing rules", "add rules or remove the document")
    }
    return out
  }

  private mutating func rules(_ node: DocumentNode, _ field: String) -> [Rule] {
    let items = list(node, field, like: Template.oneRule.text) ?? []
    var names: [String: String] = [:]
    return items.enumerated().map { index, item in
      let path = "\(field)[\(index)]"
      let rule = rule(item, path)
      if !rule.name.isEmpty, let before = names.updateValue(path, forKey: rule.name) {
        warn(item.location, "\(path).name", "\(rule.name.shown) is already the name of \(before)", "rename one of them")
      }
      return rule
    }
  }

  private mutating func rule(_ node: DocumentNode, _ field: String) -> Rule {
    var out = Rule(action: .reject, peers: [], ports: [], source: node.location)
    let known = ["name", "action", "peers", "ports", "log", "mode"]
    guard let fields = fields(node, field, known: known, like: .oneRule) else { return out }
    if let node = fields["name"] { out.name = shortText(node, "\(field).name", like: "from-lb") ?? "" }
    if let node = fields["action"] {
      out.action = choice(node, "\(field).action", [("allow", .allow), ("reject", .reject)]) ?? .reject
    } else {
      fail(node.location, "\(field).action", "is missing", "write `action: allow` or `action: reject`")
    }
    if let node = fields["peers"] {
      out.peers = peers(node, "\(field).peers")
    } else {
      fail(node.location, "\(field).peers", "is missing", "write `peers: any`, or a list of selectors and networks")
    }
    if let node = fields["ports"] {
      out.ports = ports(node, "\(field).ports")
    } else {
      fail(node.location, "\(field).ports", "is missing", "write `ports: any`, or a list like [tcp/443]")
    }
    if let node = fields["log"] { out.log = choice(node, "\(field).log", [("true", true), ("false", false)]) ?? false }
    if let node = fields["mode"] { out.mode = mode(node, "\(field).mode") }
    return out
  }

  /// Text of at most 253 bytes.
  mutating func shortText(_ node: DocumentNode, _ field: String, like example: String) -> String? {
    guard let text = text(node, field, like: example) else { return nil }
    guard text.utf8.count <= 253 else {
      fail(node.location, field, "has \(text.utf8.count) bytes; at most 253 are allowed", "shorten it")
      return nil
    }
    return text
  }

  /// `enforce` or `observe`.
  mutating func mode(_ node: DocumentNode, _ field: String) -> Mode {
    choice(node, field, [("enforce", .enforce), ("observe", .observe)]) ?? .enforce
  }

  private mutating func peers(_ node: DocumentNode, _ field: String) -> [Peer] {
    if case .text("any", _) = node.content { return [.any] }
    if case .text(let text, _) = node.content, !node.isNothing {
      fail(node.location, field, "must be a list, not \(node.kind)", Self.peerRemedy(text, inList: false))
      return []
    }
    let example = Template.peers.text.dropFirst().dropLast()
    guard let items = list(node, field, like: String(example)) else { return [] }
    if items.isEmpty { warnEmpty(node, field) }
    return items.enumerated().compactMap { peer($1, "\(field)[\($0)]") }
  }

  private mutating func peer(_ node: DocumentNode, _ field: String) -> Peer? {
    if case .text(let text, _) = node.content, !node.isNothing {
      fail(node.location, field, "must be a mapping, not \(node.kind)", Self.peerRemedy(text, inList: true))
      return nil
    }
    if case .mapping(let entries) = node.content,
      let entry = entries.first(where: { Self.addressFields.contains($0.key.lowercased()) })
    {
      failAddressPeer(entry, field)
      return nil
    }
    let count = errors.count
    guard let fields = fields(node, field, known: ["selector", "network"], like: .onePeer) else { return nil }
    switch (fields["selector"], fields["network"]) {
    case (.some(let node), nil): return selector(node, "\(field).selector").map(Peer.selector)
    case (nil, .some(let node)):
      if case .text(let text, _) = node.content, let remedy = Self.addressRemedy(text) {
        fail(node.location, "\(field).network", "\(text.shown) is an address, and networks have names", remedy)
        return nil
      }
      return name(node, "\(field).network").map(Peer.network)
    default:
      if errors.count == count {
        fail(
          node.location, field, "must have either selector or network",
          "write \(Template.onePeer.text) or \(Template.networkPeer.text)")
      }
      return nil
    }
  }

  private mutating func ports(_ node: DocumentNode, _ field: String) -> [PortSpec] {
    if case .text("any", _) = node.content { return [.any] }
    if case .text(let text, _) = node.content, !node.isNothing {
      fail(node.location, field, "must be a list, not \(node.kind)", PortHint.remedy(text, inList: false))
      return []
    }
    guard let items = list(node, field, like: String(Template.ports.text.dropFirst().dropLast())) else { return [] }
    if items.isEmpty { warnEmpty(node, field) }
    return items.enumerated().compactMap { port($1, "\(field)[\($0)]") }
  }

  private mutating func port(_ node: DocumentNode, _ field: String) -> PortSpec? {
    if case .mapping = node.content {
      fail(node.location, field, "must be text, not a mapping", PortHint.remedy(node))
      return nil
    }
    guard let text = text(node, field, like: "tcp/443") else { return nil }
    do throws(PortError) {
      let spec = try PortSpec(parsing: text)
      if case .ports(let proto, let range) = spec, proto.hasPorts, range.last == 0 {
        warn(
          node.location, field, "nothing listens on port 0: the entry matches no traffic",
          "write \(proto) for all ports")
      }
      return spec
    } catch {
      let hint = PortHint.remedy(text, inList: true)
      fail(node.location, field, "\(error.text.shown) \(error.problem)", hint.isEmpty ? error.remedy : hint)
      return nil
    }
  }

  /// Says that an empty list matches nothing.
  mutating func warnEmpty(_ node: DocumentNode, _ field: String) {
    warn(node.location, field, "an empty list matches nothing", "write `any` for everything, or remove the rule")
  }

  /// A selector as text, or as matchLabels and matchExpressions.
  mutating func selector(_ node: DocumentNode, _ field: String) -> Selector? {
    guard let selector = plainSelector(node, field) else { return nil }
    warnOfSelector(selector, node.location, field)
    return selector
  }

  private mutating func plainSelector(_ node: DocumentNode, _ field: String) -> Selector? {
    if case .text(let text, _) = node.content, !node.isNothing {
      do throws(LabelError) {
        return try Selector(parsing: text)
      } catch {
        fail(node.location, field, error.description, Self.addressRemedy(text) ?? Self.selectorRemedy(text))
        return nil
      }
    }
    if node.isNothing {
      fail(node.location, field, "is empty", "write a selector like app=web, or \"\" for everything")
      return nil
    }
    let known = ["matchLabels", "matchExpressions"]
    if case .mapping(let entries) = node.content, !entries.isEmpty,
      entries.allSatisfy({ entry in
        if case .text = entry.value.content { DocumentReader.meantField(entry.key, in: known) == nil } else { false }
      })
    {
      fail(node.location, field, "labels stand below matchLabels", "write it like \(Template.matchLabels.text)")
      return nil
    }
    guard let fields = fields(node, field, known: known, like: .matchLabels) else { return nil }
    var requirements: [Requirement] = []
    let count = errors.count
    if let node = fields["matchLabels"] {
      for entry in entries(node, "\(field).matchLabels", like: "app: web") ?? [] {
        let path = DocumentReader.join("\(field).matchLabels", entry.key)
        guard case .text(let value, _) = entry.value.content else {
          fail(entry.value.location, path, "must be text, not \(entry.value.kind)", "write it like app: web")
          continue
        }
        if let made = requirement(entry.key, .isIn, [value], entry.location, path) { requirements.append(made) }
      }
    }
    if let node = fields["matchExpressions"] {
      let path = "\(field).matchExpressions"
      let items = list(node, path, like: Template.expression.text) ?? []
      for (index, item) in items.enumerated() {
        if let made = expression(item, "\(path)[\(index)]") { requirements.append(made) }
      }
    }
    return errors.count == count ? Selector(requirements) : nil
  }

  private mutating func expression(_ node: DocumentNode, _ field: String) -> Requirement? {
    guard let fields = fields(node, field, known: ["key", "operator", "values"], like: .expression) else { return nil }
    guard let keyNode = fields["key"], let operatorNode = fields["operator"] else {
      fail(node.location, field, "must have key and operator", "write \(Template.expression.text)")
      return nil
    }
    let operators: [(String, Requirement.Operator)] = [
      ("In", .isIn), ("NotIn", .notIn), ("Exists", .exists), ("DoesNotExist", .doesNotExist),
    ]
    let key = text(keyNode, "\(field).key", like: "app")
    let word = choice(operatorNode, "\(field).operator", operators)
    var values: [String] = []
    if let node = fields["values"] {
      for (index, item) in (list(node, "\(field).values", like: "web") ?? []).enumerated() {
        guard case .text(let value, _) = item.content else {
          fail(item.location, "\(field).values[\(index)]", "must be text, not \(item.kind)", "write it like web")
          return nil
        }
        values.append(value)
      }
    }
    guard let key, let word else { return nil }
    return requirement(key, word, values, node.location, field)
  }

  private mutating func requirement(
    _ key: String, _ word: Requirement.Operator, _ values: [String], _ location: SourceLocation, _ field: String
  ) -> Requirement? {
    do throws(LabelError) {
      return try Requirement(key, word, values)
    } catch {
      fail(location, field, error.description, "write it like \(Template.expression.text)")
      return nil
    }
  }
}
