// What attempts have come to; nothing here was concluded from a name or a version.
package import BPF
package import Enforcement
package import Kernel

/// What can be tried.
package enum ProbeKind: String, Sendable, CaseIterable {
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
package struct ProbeResults: Sendable {
  /// By the published name of the module that the attempt needs.
  package var rules: Look<[String: RuleTrial.Outcome]> = untried()
  /// In the order in which an agent would try them.
  package var programs: Look<[ObjectTrial]> = untried()
  /// One for each hook of the cgroup datapath.
  package var hooks: Look<[HookTrial]> = untried()
  /// Helpers and maps.
  package var features: Look<FeatureTrials> = untried()
  /// Nil where a socket belongs to the cgroup that made it.
  package var sockets: Look<SocketRefusal?> = untried()
  /// Absent ones have no entry.
  package var tools: Look<[Tool: ToolFact]> = untried()
  /// Who else is on the cgroups.
  package var cgroupPrograms: Look<CgroupSurvey> = untried()
  /// What filters packets in this network namespace.
  package var packetFilters: Look<PacketFilterTables> = untried()
  /// By destination.
  package var destinations: [Destination: Look<DestinationTrial>] = [:]

  /// Nothing was tried.
  package init() {}

  private static func untried<T>() -> Look<T> { .unseen("it was not tried") }
}

/// The helpers that programs call and the maps that they keep, each tried alone.
package struct FeatureTrials: Sendable {
  /// A helper or kind of map, and what this kernel says to it.
  package struct Trial: Sendable {
    /// Such as `bpf_sk_lookup_tcp for cgroup_skb`.
    package let name: String
    /// What the kernel said.
    package let support: FeatureSupport
  }

  /// The kinds of maps.
  package let maps: [Trial]
  /// The helpers, each with the kinds of programs that call it.
  package let helpers: [Trial]
}

/// Why a socket does not belong to the cgroup that made it.
package struct SocketRefusal: Sendable {
  /// In one line.
  package let reason: String
  /// What to do.
  package let remedy: String
}
