// Rules, the sets they come in, and where they were written.

/// Whether the subject of a rule set opens the flow or accepts it.
package enum Direction: UInt8, BitwiseCopyable, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  /// The subject is the source.
  case outgoing = 0
  /// The subject is the destination.
  case incoming = 1

  /// The word that documents use.
  package var description: String { self == .outgoing ? "outgoing" : "incoming" }
}

/// What a rule or default does with a flow.
package enum Action: BitwiseCopyable, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  /// Lets it pass.
  case allow
  /// Refuses it.
  case reject

  /// The word that documents use.
  package var description: String { self == .allow ? "allow" : "reject" }
}

/// What a rule says of the flows that it matches.
package enum RuleAction: UInt8, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  /// Lets them pass.
  case allow
  /// Refuses them.
  case reject
  /// Leaves them to the tiers that come after the rule's own; only in the tiers of ClusterNetworkPolicy.
  case pass

  /// What becomes of a flow when such a rule has the last word; nil = another one has it.
  package var verdict: Action? {
    switch self {
    case .allow: .allow
    case .reject: .reject
    case .pass: nil
    }
  }

  /// One word for people and documents.
  package var description: String {
    switch self {
    case .allow: "allow"
    case .reject: "reject"
    case .pass: "pass"
    }
  }
}

/// Whether something is applied, or only evaluated and reported.
package enum Mode: UInt8, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  /// Applied.
  case enforce = 0
  /// Evaluated and reported, and changes nothing.
  case observe = 1

  /// The word that documents use.
  package var description: String { self == .enforce ? "enforce" : "observe" }
}

/// Where something was written.
package struct SourceLocation: Sendable, Hashable, CustomStringConvertible {
  /// The name of the file as given to the parser; empty for what no file holds.
  package let file: String
  /// The line, from 1; 0 for what no file holds.
  package let line: Int
  /// The column, from 1; 0 where it is not known.
  package let column: Int

  /// Takes a file name, and line and column counted from 1.
  package init(file: String, line: Int, column: Int = 0) {
    self.file = file
    self.line = line
    self.column = column
  }

  /// What was made in memory.
  package static let none = SourceLocation(file: "", line: 0)

  /// `FILE:LINE`.
  package var description: String { "\(file):\(line)" }
}

/// Whom a rule lets talk to its subject.
package enum Peer: Sendable, Hashable {
  /// Every endpoint that the selector matches.
  case selector(Selector)
  /// Every address that the external network of this name contains.
  case network(String)

  /// Every endpoint: the empty selector.
  package static let any = Peer.selector(.everything)
}

/// One rule of one direction.
package struct Rule: Sendable, Hashable {
  /// What people call it; empty if they do not.
  package var name: String
  /// What it does with the flows it matches.
  package var action: RuleAction
  /// Any of these; an empty list matches nothing.
  package var peers: [Peer]
  /// Any of these; an empty list matches nothing.
  package var ports: [PortSpec]
  /// Whether each flow it decides is logged.
  package var log: Bool
  /// Whether it is applied or only observed.
  package var mode: Mode
  /// Where it was written.
  package var source: SourceLocation

  package init(
    name: String = "", action: RuleAction, peers: [Peer] = [.any], ports: [PortSpec] = [.any], log: Bool = false,
    mode: Mode = .enforce, source: SourceLocation = .none
  ) {
    self.name = name
    self.action = action
    self.peers = peers
    self.ports = ports
    self.log = log
    self.mode = mode
    self.source = source
  }
}

/// The rules of every workload that one selector matches.
package struct RuleSet: Sendable, Hashable {
  /// Unique among rule sets; breaks ties.
  package var name: String
  /// Whose rules these are.
  package var subject: Selector
  /// Rules for flows towards the subject, by position.
  package var incoming: [Rule]
  /// Rules for flows from the subject, by position.
  package var outgoing: [Rule]
  /// When its rules are asked.
  package var tier: Tier
  /// Where it was written.
  package var source: SourceLocation

  package init(
    name: String, subject: Selector, incoming: [Rule] = [], outgoing: [Rule] = [], tier: Tier = .native,
    source: SourceLocation = .none
  ) {
    self.name = name
    self.subject = subject
    self.incoming = incoming
    self.outgoing = outgoing
    self.tier = tier
    self.source = source
  }

  /// The rules of one direction, by position.
  package func rules(_ direction: Direction) -> [Rule] { direction == .incoming ? incoming : outgoing }
}

/// Names one rule for records, logs and people.
package struct RuleReference: Sendable, Hashable, CustomStringConvertible {
  /// The name of its rule set.
  package let ruleSet: String
  /// Which of the two lists it is in.
  package let direction: Direction
  /// Its position in that list, from 0.
  package let position: Int
  /// Its own name, perhaps empty.
  package let name: String
  /// What it does.
  package let action: RuleAction
  /// Whether it is applied or observed.
  package let mode: Mode
  /// Where it was written.
  package let source: SourceLocation

  package init(
    ruleSet: String, direction: Direction, position: Int, name: String, action: RuleAction, mode: Mode,
    source: SourceLocation = .none
  ) {
    self.ruleSet = ruleSet
    self.direction = direction
    self.position = position
    self.name = name
    self.action = action
    self.mode = mode
    self.source = source
  }

  /// `web/incoming[0]`, with the name of the rule if it has one.
  package var description: String { "\(ruleSet)/\(direction)[\(position)]" + (name.isEmpty ? "" : " (\(name))") }
}
