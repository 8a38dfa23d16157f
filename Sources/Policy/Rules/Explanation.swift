// Why a flow gets its verdict, and what would give it the other one.

/// All that bears on the verdict of one flow.
package struct Explanation: Sendable, Equatable, CustomStringConvertible {
  /// One rule that matches the flow.
  package struct Match: Sendable, Equatable {
    /// The rule.
    package let rule: RuleReference
    /// Whether it decides, or would decide if it is observed.
    package let wins: Bool
  }

  /// The flow.
  package let flow: Flow
  /// What policy says to it.
  package let verdict: Verdict
  /// The rule sets that have rules for this subject and direction, by name.
  package let ruleSets: [String]
  /// All rules that match, by rule-set name and position.
  package let matches: [Match]
  /// What would turn the verdict around; each line is enough alone unless it says otherwise.
  package let flips: [String]
  /// A rule set that turns the verdict around when it is added; nil if none can, or none that is narrow enough to
  /// suggest.
  package let suggestion: RuleSet?

  /// Several lines for people.
  package var description: String {
    var lines = ["\(verdict.action): \(reason)"]
    if let observed = verdict.observed {
      lines.append("observed: \(observed.rule) would \(observed.action) it")
    }
    lines += matches.map { match in
      let mode = match.rule.mode == .observe ? ", observed only" : ""
      return "\(match.wins ? "*" : " ") \(match.rule.action) by \(match.rule)\(mode)"
    }
    return (lines + flips.map { "to change it: \($0)" }).joined(separator: "\n")
  }

  private var reason: String {
    switch verdict.decidedBy {
    case .rule(let rule): "rule \(rule)"
    case .default: "no rule \(verdict.action == .allow ? "refuses" : "allows") it (default action)"
    case .local: "both ends are the same workload"
    case .unlabelled: "unlabelled child of \(flow.subject.parent ?? "a workload") that rejects such children"
    }
  }
}

extension PolicySet {
  /// Explains the verdict of a flow.
  package func explain(_ flow: Flow) -> Explanation {
    let verdict = verdict(for: flow)
    let applicable = ruleSets.filter { !$0.rules(flow.direction).isEmpty && matches($0.subject, flow.subject) }
    let isRuled = verdict.decidedBy != .local && verdict.decidedBy != .unlabelled
    let matching = isRuled ? matchingRules(for: flow) : []
    let listed = matching.map { match in
      Explanation.Match(
        rule: match.reference,
        wins: verdict.decidedBy == .rule(match.reference) || verdict.observed?.rule == match.reference)
    }
    let suggestion = suggestion(flow, verdict, matching)
    return Explanation(
      flow: flow, verdict: verdict, ruleSets: applicable.map(\.name), matches: listed,
      flips: flips(flow, verdict, applicable, matching, suggestion), suggestion: suggestion)
  }

  /// The narrowest rule set of the other action, for this subject, peer and port.
  private func suggestion(_ flow: Flow, _ verdict: Verdict, _ matching: [Match]) -> RuleSet? {
    switch verdict.decidedBy {
    case .local, .unlabelled: return nil
    // Reject beats allow: no rule can be added that helps.
    case .rule(let winner) where winner.action == .reject && !canBeOverruled(winner, matching): return nil
    default: break
    }
    guard let subject = narrowSelector(flow.subject), let peer = suggestedPeer(flow) else { return nil }
    let rule = Rule(
      action: verdict.action == .allow ? .reject : .allow, peers: [peer],
      ports: [.ports(flow.protocol, PortRange(flow.port, flow.port))])
    var name = "suggested"
    while ruleSets.contains(where: { $0.name == name }) { name += "-more" }
    return RuleSet(
      name: name, subject: subject, incoming: flow.direction == .incoming ? [rule] : [],
      outgoing: flow.direction == .outgoing ? [rule] : [])
  }

  /// The narrowest peer that the other end of a flow is; nil if nothing tells it apart.
  private func suggestedPeer(_ flow: Flow) -> Peer? {
    flow.peer.networks.first.map(Peer.network) ?? narrowSelector(flow.peer).map(Peer.selector)
  }

  /// Whether a native allow would turn a reject around: isolation and the Baseline tier give way to it.
  private func canBeOverruled(_ winner: RuleReference, _ matching: [Match]) -> Bool {
    matching.first { $0.reference == winner }.map { $0.strength.step > .allow } ?? false
  }

  /// Matches the endpoint by the labels that people gave it, else by the reserved ones; nil if it has none at all.
  private func narrowSelector(_ endpoint: Endpoint) -> Selector? {
    let own = endpoint.labels.labels.filter { !Label.isReserved($0.key) }
    let labels = own.isEmpty ? endpoint.labels.labels : own
    return labels.isEmpty ? nil : Selector(labels.map(Requirement.init(_:)))
  }

  private func flips(
    _ flow: Flow, _ verdict: Verdict, _ applicable: [RuleSet], _ matching: [Match], _ suggestion: RuleSet?
  ) -> [String] {
    let enforced = matching.filter { $0.rule.mode == .enforce }
    switch verdict.decidedBy {
    case .local: return []
    case .unlabelled:
      return [
        "give the child labels of its own, or set `children: inherit` in the rule that labels "
          + "\(flow.subject.parent ?? "the workload")"
      ]
    case .rule(let winner) where winner.action == .reject && !canBeOverruled(winner, matching):
      let rejects = enforced.filter { $0.rule.action == .reject }.map(\.reference.description)
      let remains =
        enforced.contains { $0.rule.action == .allow } || defaults.actions(for: flow.subject)[flow.direction] == .allow
      let also = remains ? "" : ", and add a rule that allows it"
      return ["remove or narrow \(rejects.joined(separator: " and "))\(also)"]
    default: break
    }
    let wanted: Action = verdict.action == .allow ? .reject : .allow
    var out = matching.filter { $0.rule.mode == .observe && $0.rule.action.verdict == wanted }
      .map { "set `mode: enforce` on \($0.reference)" }
    if wanted == .allow { out += nearMisses(flow, applicable) }
    guard let suggestion, let rule = suggestion.rules(flow.direction).first else {
      return out + ["give both ends labels, so that a rule can name them"]
    }
    let peers = rule.peers.map(\.advice).joined(separator: ", ")
    let ports = rule.ports.map(\.description).joined(separator: ", ")
    let text = "{action: \(wanted), peers: [\(peers)], ports: [\(ports)]}"
    // What is for everything would give it to everything.
    if let ruleSet = applicable.first(where: { $0.tier == .native && !$0.subject.isEverything }) {
      out.append("add \(text) to \(flow.direction) of \(ruleSet.name)\(ruleSet.source.advice)")
    } else {
      out.append(
        "add a rule set with subject \(suggestion.subject.description.quoted) and \(flow.direction) [\(text)]")
    }
    return out
  }

  /// Rules that would allow the flow but for its peer or its port: the smallest changes come first.
  ///
  /// A rule set for everything is left out: what is added to it is added for everything.
  private func nearMisses(_ flow: Flow, _ applicable: [RuleSet]) -> [String] {
    var peers: [String] = []
    var ports: [String] = []
    let peer = suggestedPeer(flow)
    for ruleSet in applicable where !ruleSet.subject.isEverything {
      for (position, rule) in ruleSet.rules(flow.direction).enumerated()
      where rule.action == .allow && rule.mode == .enforce {
        let reference = ruleSet.reference(flow.direction, position)
        let place = "\(reference)\(reference.source.advice)"
        switch (matchesPeer(rule, flow), matchesPort(rule, flow)) {
        case (true, false):
          let port = PortSpec.ports(flow.protocol, PortRange(flow.port, flow.port))
          ports.append("add \(port) to \(place)")
        case (false, true): if let peer { peers.append("add \(peer.advice) to \(place)") }
        default: break
        }
      }
    }
    return peers + ports
  }
}

extension SourceLocation {
  /// ` at FILE:LINE`; empty if it was not written in a file.
  fileprivate var advice: String { self == .none ? "" : " at \(self)" }
}

extension Peer {
  /// As a document writes it, with quotes only where it needs them.
  fileprivate var advice: String {
    guard case .selector(let selector) = self else { return description }
    let text = selector.description
    let isPlain = text.utf8.allSatisfy { byte in
      switch byte {
      case 48...57, 65...90, 97...122: true
      default: "-_./=".utf8.contains(byte)
      }
    }
    return isPlain && !text.isEmpty ? "{selector: \(text)}" : description
  }
}

extension Peer: CustomStringConvertible {
  /// As a document writes it: `{selector: "app=lb"}` or `{network: corp}`.
  package var description: String {
    switch self {
    case .selector(let selector): "{selector: \(selector.description.quoted)}"
    case .network(let name): "{network: \(name)}"
    }
  }
}
