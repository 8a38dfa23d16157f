// What readers show without asking the agent: names for the numbers in the kernel, and the policy as applied.

package import Kernel
package import Policy

/// The state that was last put in force, as text and numbers; `snapshot.json` in the state directory.
package struct Snapshot: Codable, Sendable, Equatable {
  /// An identity with its number.
  package struct NumberedIdentity: Codable, Sendable, Equatable {
    /// The local number.
    package var number: UInt32
    /// The hash, 16 hexadecimal digits.
    package var identity: String
    /// What it stands for.
    package var labels: [String: String]
  }

  /// A rule with its number.
  package struct NumberedRule: Codable, Sendable, Equatable {
    /// The number in records, from 1.
    package var number: UInt32
    /// The rule set's name.
    package var ruleSet: String
    /// `outgoing` or `incoming`.
    package var direction: String
    /// The position in its list, from 0.
    package var position: Int
    /// The rule's own name, perhaps empty.
    package var name: String
    /// `allow` or `reject`.
    package var action: String
    /// `enforce` or `observe`.
    package var mode: String
    /// `FILE:LINE`.
    package var source: String
  }

  /// A set of external networks with its number.
  package struct NumberedNetworks: Codable, Sendable, Equatable {
    /// The local number.
    package var number: UInt32
    /// The names of the networks, sorted.
    package var networks: [String]
  }

  /// The version of this format.
  package var version = 1
  /// The agent that wrote it.
  package var pid: Int32 = 0
  /// The cgroup that is enforced on: its directory as given to the agent.
  package var cgroup = ""
  /// Where the kernel's state is pinned; empty for a datapath that pins nothing.
  package var pins = ""
  /// The generation in force when it was written.
  package var generation: UInt32 = 0
  /// Whether the programs are attached.
  package var attached = false
  /// The workloads.
  package var workloads: [WorkloadInstance] = []
  /// Workloads whose cgroups were removed and whose rows stay for the sake of their sockets, the oldest first; nil = none.
  package var ended: [WorkloadInstance]?
  /// The identities in use, and the reserved ones.
  package var identities: [NumberedIdentity] = []
  /// All rules, by number.
  package var rules: [NumberedRule] = []
  /// All sets of external networks, by number.
  package var externals: [NumberedNetworks] = []
  /// The policy documents as they were applied.
  package var sources: [PolicySource] = []
  /// How many cells are in force, and how many fit (both slots).
  package var cells = 0
  /// How many cells fit, both slots together.
  package var cellLimit = 0
  /// How many changes failed since the agent started.
  package var failures = 0
  /// The last failure, or nil if the last change succeeded.
  package var lastError: String?
  /// What was probably not meant.
  package var warnings: [String] = []

  /// An empty state.
  package init() {}

  /// The labels of a number, nil if there is no such identity.
  package func labels(of number: IdentityNumber) -> [String: String]? {
    identities.first { $0.number == number.rawValue }?.labels
  }

  /// The rule of a number, nil for 0 and for numbers that there are not.
  package func rule(_ number: UInt32) -> NumberedRule? {
    number == 0 || Int(number) > rules.count ? nil : rules[Int(number) - 1]
  }

  /// The workload of a cgroup.
  package func workload(_ cgroup: CgroupID) -> WorkloadInstance? { workloads.first { $0.cgroup == cgroup } }

  /// The names of the networks behind an external number.
  package func networks(of number: IdentityNumber) -> [String]? {
    externals.first { $0.number == number.rawValue }?.networks
  }
}
