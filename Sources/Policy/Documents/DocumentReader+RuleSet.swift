// Documents of kind NetworkRuleSet.

extension DocumentReader {
  /// Reads `spec` of a rule set; what cannot be read has an error.
  mutating func ruleSet(_ name: String, _ spec: DocumentNode, at source: SourceLocation) -> RuleSet {
    var out = RuleSet(name: name, subject: .everything, source: source)
    guard let fields = fields(spec, "spec", known: ["subject", "incoming", "outgoing"]) else { return out }
    if let node = fields["subject"] {
      if let selector = selector(node, "spec.subject") { out.subject = selector }
    } else {
      fail(spec.location, "spec.subject", "is missing", "write `subject: app=web`, or \"\" for everything")
    }
    if let node = fields["incoming"] { out.incoming = rules(node, "spec.incoming") }
    if let node = fields["outgoing"] { out.outgoing = rules(node, "spec.outgoing") }
    if fields["incoming"] == nil, fields["outgoing"] == nil {
      warn(spec.location, "spec", "has neither incoming nor outgoing rules", "add rules or remove the document")
    }
    return out
  }

  private mutating func rules(_ node: DocumentNode, _ field: String) -> [Rule] {
    let items = list(node, field, like: "{action: allow, peers: any, ports: any}") ?? []
    return items.enumerated().map { rule($1, "\(field)[\($0)]") }
  }

  private mutating func rule(_ node: DocumentNode, _ field: String) -> Rule {
    var out = Rule(action: .reject, peers: [], ports: [], source: node.location)
    guard let fields = fields(node, field, known: ["name", "action", "peers", "ports", "log", "mode"]) else {
      return out
    }
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
    guard let items = list(node, field, like: "{selector: app=lb}, {network: corp}") else { return [] }
    if items.isEmpty { warnEmpty(node, field) }
    return items.enumerated().compactMap { peer($1, "\(field)[\($0)]") }
  }

  private mutating func peer(_ node: DocumentNode, _ field: String) -> Peer? {
    guard let fields = fields(node, field, known: ["selector", "network"]) else { return nil }
    switch (fields["selector"], fields["network"]) {
    case (.some(let node), nil): return selector(node, "\(field).selector").map(Peer.selector)
    case (nil, .some(let node)): return name(node, "\(field).network").map(Peer.network)
    default:
      fail(node.location, field, "must have either selector or network", "write {selector: app=lb} or {network: corp}")
      return nil
    }
  }

  private mutating func ports(_ node: DocumentNode, _ field: String) -> [PortSpec] {
    if case .text("any", _) = node.content { return [.any] }
    guard let items = list(node, field, like: "tcp/443, udp/53, icmp/8") else { return [] }
    if items.isEmpty { warnEmpty(node, field) }
    return items.enumerated().compactMap { index, item in
      let path = "\(field)[\(index)]"
      guard let text = text(item, path, like: "tcp/443") else { return nil }
      do throws(PortError) {
        return try PortSpec(parsing: text)
      } catch {
        fail(item.location, path, "\(error.text.shown) \(error.problem)", error.remedy)
        return nil
      }
    }
  }

  /// Says that an empty list matches nothing.
  mutating func warnEmpty(_ node: DocumentNode, _ field: String) {
    warn(node.location, field, "an empty list matches nothing", "write `any` for everything, or remove the rule")
  }

  /// A selector as text, or as matchLabels and matchExpressions.
  mutating func selector(_ node: DocumentNode, _ field: String) -> Selector? {
    if case .text(let text, _) = node.content, !node.isNothing {
      do throws(LabelError) {
        return try Selector(parsing: text)
      } catch {
        fail(node.location, field, error.description, "write it like app=web,tier in (a,b),!legacy")
        return nil
      }
    }
    if node.isNothing {
      fail(node.location, field, "is empty", "write a selector like app=web, or \"\" for everything")
      return nil
    }
    guard let fields = fields(node, field, known: ["matchLabels", "matchExpressions"]) else { return nil }
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
      let items = list(node, path, like: "{key: app, operator: In, values: [web]}") ?? []
      for (index, item) in items.enumerated() {
        if let made = expression(item, "\(path)[\(index)]") { requirements.append(made) }
      }
    }
    return errors.count == count ? Selector(requirements) : nil
  }

  private mutating func expression(_ node: DocumentNode, _ field: String) -> Requirement? {
    guard let fields = fields(node, field, known: ["key", "operator", "values"]) else { return nil }
    guard let keyNode = fields["key"], let operatorNode = fields["operator"] else {
      fail(node.location, field, "must have key and operator", "write {key: app, operator: In, values: [web]}")
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
      fail(location, field, error.description, "write it like {key: app, operator: In, values: [web]}")
      return nil
    }
  }
}
