// What attempts have come to; nothing here was concluded from a name or a version.
public import BPF
public import Enforcement
public import Kernel

/// What can be tried.
public enum ProbeKind: String, Sendable, CaseIterable {
  /// Rules of iptables and sets of ipset, in a scratch network namespace.
  case rules
  /// Every program of this binary, loaded.
  case programs
  /// Every hook, with the smallest program attached to a scratch cgroup.
  case hooks
  /// Every helper and kind of map.
  case features
  /// Which cgroup a socket belongs to.
  case sockets
  /// Programs that others wrote, and their versions.
  case tools
  /// Programs that others attached to cgroups.
  case cgroupPrograms
  /// Tables and chains of packet filters.
  case packetFilters
  /// Addresses that this host is to reach.
  case destinations
}

/// The results of all kinds of attempts; what was not tried says so.
public struct ProbeResults: Sendable {
  /// By the published name of the module that the attempt needs.
  public var rules: Look<[String: RuleTrial.Outcome]> = untried()
  /// In the order in which an agent would try them.
  public var programs: Look<[ObjectTrial]> = untried()
  /// One for each hook of the cgroup datapath.
  public var hooks: Look<[HookTrial]> = untried()
  /// Helpers and maps.
  public var features: Look<FeatureTrials> = untried()
  /// Nil where a socket belongs to the cgroup that made it.
  public var sockets: Look<SocketRefusal?> = untried()
  /// Absent ones have no entry.
  public var tools: Look<[Tool: ToolFact]> = untried()
  /// Who else is on the cgroups.
  public var cgroupPrograms: Look<CgroupSurvey> = untried()
  /// What filters packets in this network namespace.
  public var packetFilters: Look<PacketFilterTables> = untried()
  /// By destination.
  public var destinations: [Destination: Look<DestinationTrial>] = [:]

  /// Nothing was tried.
  public init() {}

  private static func untried<T>() -> Look<T> { .unseen("it was not tried") }
}

/// The helpers that programs call and the maps that they keep, each tried alone.
public struct FeatureTrials: Sendable {
  /// A helper or kind of map, and what this kernel says to it.
  public struct Trial: Sendable {
    /// Such as `bpf_sk_lookup_tcp for cgroup_skb`.
    public let name: String
    /// What the kernel said.
    public let support: FeatureSupport
  }

  /// The kinds of maps.
  public let maps: [Trial]
  /// The helpers, each with the kinds of programs that call it.
  public let helpers: [Trial]
}

/// Why a socket does not belong to the cgroup that made it.
public struct SocketRefusal: Sendable {
  /// In one line.
  public let reason: String
  /// What to do.
  public let remedy: String
}
