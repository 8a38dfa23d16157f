// An answer of `why`, as text and as a document.
internal import Evidence
internal import Policy

/// What one end says.
struct WhySide: Encodable {
  /// `allow` or `reject`: what happens.
  var verdict: String
  var decidedBy: String
  var observed: String?
  var matchingRules: [String]
  var whatWouldChangeIt: [String]

  init(_ explanation: Explanation, isObserved: Bool) {
    let action = explanation.verdict.action
    verdict = isObserved ? Action.allow.description : action.description
    switch explanation.verdict.decidedBy {
    case .rule(let rule): decidedBy = "rule \(rule) at \(rule.source)"
    case .default: decidedBy = "no rule \(action == .allow ? "refuses" : "allows") it (default action)"
    case .local: decidedBy = "both ends are one workload"
    case .unlabelled:
      let parent = explanation.flow.subject.parent ?? "a workload"
      decidedBy = "unlabelled child of \(parent), which rejects such children"
    }
    observed = explanation.verdict.observed.map { "\($0.rule) would \($0.action)" }
    if isObserved, action == .reject { observed = "would reject; the workload is only observed" }
    matchingRules = explanation.matches.map { match in
      let mode = match.rule.mode == .observe ? ", observed only" : ""
      return "\(match.wins ? "* " : "  ")\(match.rule.action) by \(match.rule) at \(match.rule.source)\(mode)"
    }
    whatWouldChangeIt = explanation.flips
  }

  var text: String {
    var lines = ["\(verdict == "allow" ? "allowed" : "refused"): \(decidedBy)"]
    // One rule that decides has been named.
    if matchingRules.count > 1 { lines += matchingRules.map { "    \($0)" } }
    if let observed { lines.append("    observed: \(observed)") }
    if verdict != "allow" {
      lines += whatWouldChangeIt.enumerated().map { "    \($0 == 0 ? "fix" : " or"): \($1)" }
    }
    return lines.joined(separator: "\n")
  }
}

/// One way in which the flow may go.
struct WhyCase: Encodable {
  var source: String
  var destination: String
  var outgoing: WhySide?
  var incoming: WhySide?
  var note: String?
  /// Whether nothing listens there: what policy does not refuse the kernel does.
  var isClosed = false

  var verdict: String {
    [outgoing, incoming].allSatisfy { $0?.verdict ?? "allow" == "allow" } ? "allow" : "reject"
  }

  private enum Key: String, CodingKey { case source, destination, verdict, outgoing, incoming, note }

  func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: Key.self)
    try values.encode(source, forKey: .source)
    try values.encode(destination, forKey: .destination)
    try values.encode(verdict, forKey: .verdict)
    try values.encodeIfPresent(outgoing, forKey: .outgoing)
    try values.encodeIfPresent(incoming, forKey: .incoming)
    try values.encodeIfPresent(note, forKey: .note)
  }

  var text: String {
    var lines = note.map { ["  \($0)"] } ?? []
    if isClosed, outgoing == nil, incoming == nil { return lines.joined(separator: "\n") }
    if let outgoing {
      lines.append("  outgoing, by \(source): \(outgoing.text)")
    } else {
      lines.append("  outgoing, by \(source): not policed by this host")
    }
    if let incoming {
      lines.append("  incoming, by \(destination): \(incoming.text)")
    } else {
      lines.append("  incoming, by \(destination): not policed by this host")
    }
    return lines.joined(separator: "\n")
  }
}

/// What both ends say together, of every way in which the flow may go.
struct WhyAnswer: Encodable {
  var from: String
  var to: String
  var port: String
  var cases: [WhyCase]

  /// `allow`, `reject`, or `depends` when it is not the same for all of them.
  var verdict: String {
    let found = Set(cases.map(\.verdict))
    return found.count == 1 ? found.first ?? "allow" : "depends"
  }

  private enum Key: String, CodingKey { case from, to, port, verdict, outgoing, incoming, note, cases }

  func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: Key.self)
    try values.encode(from, forKey: .from)
    try values.encode(to, forKey: .to)
    try values.encode(port, forKey: .port)
    try values.encode(verdict, forKey: .verdict)
    guard cases.count == 1 else { return try values.encode(cases, forKey: .cases) }
    try values.encodeIfPresent(cases[0].outgoing, forKey: .outgoing)
    try values.encodeIfPresent(cases[0].incoming, forKey: .incoming)
    try values.encodeIfPresent(cases[0].note, forKey: .note)
  }

  var text: String {
    let isClosed = verdict == "allow" && cases.allSatisfy(\.isClosed)
    let word = isClosed ? "not refused by policy, but nothing listens there" : self.word
    let lines = ["\(from) -> \(to) \(port): \(word)"] + cases.map(\.text)
    return lines.joined(separator: "\n").split(separator: "\n").map { String($0).shownSafely + "\n" }.joined()
  }

  private var word: String { ["allow": "allowed", "reject": "refused"][verdict] ?? "depends on who it is" }
}
