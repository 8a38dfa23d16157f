// What readers show without asking the agent: names for the numbers in the kernel, and the policy as applied.

public import Kernel
public import Policy

/// The state that was last put in force, as text and numbers; `snapshot.json` in the state directory.
public struct Snapshot: Codable, Sendable, Equatable {
  /// An identity with its number.
  public struct NumberedIdentity: Codable, Sendable, Equatable {
    /// The local number.
    public var number: UInt32
    /// The hash, 16 hexadecimal digits.
    public var identity: String
    /// What it stands for.
    public var labels: [String: String]
  }

  /// A rule with its number.
  public struct NumberedRule: Codable, Sendable, Equatable {
    /// The number in records, from 1.
    public var number: UInt32
    /// The rule set's name.
    public var ruleSet: String
    /// `outgoing` or `incoming`.
    public var direction: String
    /// The position in its list, from 0.
    public var position: Int
    /// The rule's own name, perhaps empty.
    public var name: String
    /// `allow` or `reject`.
    public var action: String
    /// `enforce` or `observe`.
    public var mode: String
    /// `FILE:LINE`.
    public var source: String
  }

  /// A set of external networks with its number.
  public struct NumberedNetworks: Codable, Sendable, Equatable {
    /// The local number.
    public var number: UInt32
    /// The names of the networks, sorted.
    public var networks: [String]
  }

  /// The version of this format.
  public var version = 1
  /// The agent that wrote it.
  public var pid: Int32 = 0
  /// The cgroup that is enforced on: its directory as given to the agent.
  public var cgroup = ""
  /// Where the kernel's state is pinned; empty for a datapath that pins nothing.
  public var pins = ""
  /// The generation in force when it was written.
  public var generation: UInt32 = 0
  /// Whether the programs are attached.
  public var attached = false
  /// The workloads.
  public var workloads: [WorkloadInstance] = []
  /// Workloads whose cgroups were removed and whose rows stay for the sake of their sockets, the oldest first; nil = none.
  public var ended: [WorkloadInstance]?
  /// The identities in use, and the reserved ones.
  public var identities: [NumberedIdentity] = []
  /// All rules, by number.
  public var rules: [NumberedRule] = []
  /// All sets of external networks, by number.
  public var externals: [NumberedNetworks] = []
  /// The policy documents as they were applied.
  public var sources: [PolicySource] = []
  /// How many cells are in force, and how many fit (both slots).
  public var cells = 0
  /// How many cells fit, both slots together.
  public var cellLimit = 0
  /// How many changes failed since the agent started.
  public var failures = 0
  /// The last failure, or nil if the last change succeeded.
  public var lastError: String?
  /// What was probably not meant.
  public var warnings: [String] = []

  /// An empty state.
  public init() {}

  /// The labels of a number, nil if there is no such identity.
  public func labels(of number: IdentityNumber) -> [String: String]? {
    identities.first { $0.number == number.rawValue }?.labels
  }

  /// The rule of a number, nil for 0 and for numbers that there are not.
  public func rule(_ number: UInt32) -> NumberedRule? {
    number == 0 || Int(number) > rules.count ? nil : rules[Int(number) - 1]
  }

  /// The workload of a cgroup.
  public func workload(_ cgroup: CgroupID) -> WorkloadInstance? { workloads.first { $0.cgroup == cgroup } }

  /// The names of the networks behind an external number.
  public func networks(of number: IdentityNumber) -> [String]? {
    externals.first { $0.number == number.rawValue }?.networks
  }
}
