// A flow between two endpoints, and what policy says to it.

/// One end of a flow, as policy sees it.
package struct Endpoint: Sendable, Hashable {
  /// What sort of endpoint it is.
  package enum Kind: UInt8, Sendable, Hashable {
    /// Something with an identity of its own.
    case workload
    /// The host itself.
    case host
    /// An address in at least one external network.
    case external
    /// An address in no external network.
    case world
    /// Whoever cannot be told.
    case unknown
    /// A cgroup without labels of its own, below a workload that rejects such children.
    case unlabelled
  }

  /// What sort of endpoint it is.
  package let kind: Kind
  /// Its labels; empty for external addresses, which are seen through their networks.
  package let labels: LabelSet
  /// The names of all networks that contain an external address, sorted; empty for all others.
  package let networks: [String]
  /// The workload above an unlabelled cgroup, as people know it; nil for all others.
  package let parent: String?

  private init(_ kind: Kind, _ labels: LabelSet, _ networks: [String] = [], parent: String? = nil) {
    self.kind = kind
    self.labels = labels
    self.networks = networks
    self.parent = parent
  }

  /// Something with these labels.
  package static func workload(_ labels: LabelSet) -> Endpoint { Endpoint(.workload, labels) }
  /// The host, by default with the reserved labels alone.
  package static func host(_ labels: LabelSet = .host) -> Endpoint { Endpoint(.host, labels) }
  /// An address in these networks; in none it is the world.
  package static func external(_ networks: [String]) -> Endpoint {
    networks.isEmpty ? .world : Endpoint(.external, .empty, Set(networks).sorted())
  }
  /// An address in no network.
  package static let world = Endpoint(.world, .world)
  /// Whoever cannot be told.
  package static let unknown = Endpoint(.unknown, .unknown)
  /// A cgroup without labels of its own below `parent`, which rejects such children: unknown to others, refused itself.
  package static func unlabelled(childOf parent: String) -> Endpoint { Endpoint(.unlabelled, .unknown, parent: parent) }
}

/// One attempt to talk, as one of its two ends judges it.
package struct Flow: Sendable, Hashable {
  /// Outgoing is judged at the source, incoming at the destination.
  package let direction: Direction
  /// The end that judges.
  package let subject: Endpoint
  /// The other end.
  package let peer: Endpoint
  /// The IP protocol.
  package let `protocol`: IPProtocol
  /// The destination port or ICMP type, in host byte order; 0 for protocols with neither.
  package let port: UInt16
  /// Whether both ends are the same workload.
  package let sameWorkload: Bool

  /// Takes all its parts; a port that the protocol cannot have is dropped.
  package init(
    direction: Direction, subject: Endpoint, peer: Endpoint, protocol: IPProtocol, port: UInt16 = 0,
    sameWorkload: Bool = false
  ) {
    self.direction = direction
    self.subject = subject
    self.peer = peer
    self.protocol = `protocol`
    self.port = port & `protocol`.lastPort
    self.sameWorkload = sameWorkload
  }
}

/// What policy says to a flow at one of its ends.
package struct Verdict: Sendable, Hashable {
  /// What decided.
  package enum Reason: Sendable, Hashable {
    /// The winning rule.
    case rule(RuleReference)
    /// No enforced rule matched.
    case `default`
    /// Both ends are the same workload.
    case local
    /// The end that judges has no labels of its own, below a workload that rejects such children.
    case unlabelled
  }

  /// What an observed rule would have decided.
  package struct Observation: Sendable, Hashable {
    /// What it would have done.
    package let action: Action
    /// The rule in mode observe that would have won.
    package let rule: RuleReference

    package init(action: Action, rule: RuleReference) {
      self.action = action
      self.rule = rule
    }
  }

  /// What happens.
  package let action: Action
  /// Why.
  package let decidedBy: Reason
  /// What would have happened, if a rule in mode observe would have won had all rules been enforced.
  package let observed: Observation?
  /// Whether the winning rule, or the observed one, asks for a log line.
  package let log: Bool

  package init(action: Action, decidedBy: Reason, observed: Observation? = nil, log: Bool = false) {
    self.action = action
    self.decidedBy = decidedBy
    self.observed = observed
    self.log = log
  }
}
