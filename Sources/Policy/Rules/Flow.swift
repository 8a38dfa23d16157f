// A flow between two endpoints, and what policy says to it.

/// One end of a flow, as policy sees it.
public struct Endpoint: Sendable, Hashable {
  /// What sort of endpoint it is.
  public enum Kind: UInt8, Sendable, Hashable {
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
  public let kind: Kind
  /// Its labels; empty for external addresses, which are seen through their networks.
  public let labels: LabelSet
  /// The names of all networks that contain an external address, sorted; empty for all others.
  public let networks: [String]
  /// The workload above an unlabelled cgroup, as people know it; nil for all others.
  public let parent: String?

  private init(_ kind: Kind, _ labels: LabelSet, _ networks: [String] = [], parent: String? = nil) {
    self.kind = kind
    self.labels = labels
    self.networks = networks
    self.parent = parent
  }

  /// Something with these labels.
  public static func workload(_ labels: LabelSet) -> Endpoint { Endpoint(.workload, labels) }
  /// The host, by default with the reserved labels alone.
  public static func host(_ labels: LabelSet = .host) -> Endpoint { Endpoint(.host, labels) }
  /// An address in these networks; in none it is the world.
  public static func external(_ networks: [String]) -> Endpoint {
    networks.isEmpty ? .world : Endpoint(.external, .empty, Set(networks).sorted())
  }
  /// An address in no network.
  public static let world = Endpoint(.world, .world)
  /// Whoever cannot be told.
  public static let unknown = Endpoint(.unknown, .unknown)
  /// A cgroup without labels of its own below `parent`, which rejects such children: unknown to others, refused itself.
  public static func unlabelled(childOf parent: String) -> Endpoint { Endpoint(.unlabelled, .unknown, parent: parent) }
}

/// One attempt to talk, as one of its two ends judges it.
public struct Flow: Sendable, Hashable {
  /// Outgoing is judged at the source, incoming at the destination.
  public let direction: Direction
  /// The end that judges.
  public let subject: Endpoint
  /// The other end.
  public let peer: Endpoint
  /// The IP protocol.
  public let `protocol`: IPProtocol
  /// The destination port or ICMP type, in host byte order; 0 for protocols with neither.
  public let port: UInt16
  /// Whether both ends are the same workload.
  public let sameWorkload: Bool

  /// Takes all its parts; a port that the protocol cannot have is dropped.
  public init(
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
public struct Verdict: Sendable, Hashable {
  /// What decided.
  public enum Reason: Sendable, Hashable {
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
  public struct Observation: Sendable, Hashable {
    /// What it would have done.
    public let action: Action
    /// The rule in mode observe that would have won.
    public let rule: RuleReference

    /// Takes both.
    public init(action: Action, rule: RuleReference) {
      self.action = action
      self.rule = rule
    }
  }

  /// What happens.
  public let action: Action
  /// Why.
  public let decidedBy: Reason
  /// What would have happened, if a rule in mode observe would have won had all rules been enforced.
  public let observed: Observation?
  /// Whether the winning rule, or the observed one, asks for a log line.
  public let log: Bool

  /// Takes all its parts.
  public init(action: Action, decidedBy: Reason, observed: Observation? = nil, log: Bool = false) {
    self.action = action
    self.decidedBy = decidedBy
    self.observed = observed
    self.log = log
  }
}
