// One requirement, whose it is, and how it is judged: pure, over what was read and what was tried.

/// Who requires something.
package enum Purpose: String, Sendable, CaseIterable {
  /// Every agent, whatever the datapath.
  case agent
  /// The cgroup datapath.
  case cgroup
  /// The netfilter datapath.
  case netfilter
  /// A node of a cluster.
  case cluster
  /// The addresses that this host is to reach.
  case connectivity
  /// The published list alone: nothing in Sallyport uses it, but tools and rules of others may.
  case published
}

/// What is printed together.
package enum CheckGroup: String, Sendable, CaseIterable {
  case host, capability, module, bpf, tool, neighbour, cluster, connectivity
}

/// One requirement.
package struct Check: Sendable {
  /// The group, a dot, and one word, such as `host.cpus`.
  package let name: String
  /// What is printed together.
  package let group: CheckGroup
  /// What is required, in one sentence without a full stop.
  package let requirement: String
  /// By whom.
  package let features: [Purpose]
  /// What it is for: what does not work without it.
  package let purpose: String
  /// How it is found out, in general.
  package let method: String
  /// What can be done about it, in general.
  package let remedy: String
  /// The attempts whose results it needs.
  package let probes: Set<ProbeKind>
  private let judge: @Sendable (HostView, ProbeResults) -> Finding

  init(
    _ name: String, _ group: CheckGroup, requires requirement: String, by features: [Purpose], purpose: String,
    method: String, remedy: String, probes: Set<ProbeKind> = [],
    judge: @escaping @Sendable (HostView, ProbeResults) -> Finding
  ) {
    self.name = "\(group.rawValue).\(name)"
    self.group = group
    self.requirement = requirement
    self.features = features
    self.purpose = purpose
    self.method = method
    self.remedy = remedy
    self.probes = probes
    self.judge = judge
  }

  /// What it comes to on a host.
  ///
  /// Files are read below the view's root; nothing is changed.
  package func find(in host: HostView, _ results: ProbeResults = ProbeResults()) -> Finding { judge(host, results) }

  /// Every check there is but those of addresses, which are asked for by name, in the order of the groups.
  package static let all: [Check] =
    hostChecks + kernelChecks + capabilityChecks + moduleChecks + bpfChecks + toolChecks + neighbourChecks
    + clusterChecks + [trustStore]

  /// Those that `feature` requires; what every agent needs is among them.
  package static func required(by feature: Purpose) -> [Check] {
    all.filter { $0.features.contains(feature) || $0.features.contains(.agent) }
  }
}

extension String {
  /// The text without blanks and newlines at both ends.
  var trimmed: String {
    var text = self[...]
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text.drop(while: \.isWhitespace))
  }
}

extension Check {
  /// Those without which no agent can start; they read files and ask for capabilities, and try nothing.
  package static let toStart: [Check] = {
    let names = [
      "capability.sys-ptrace", "capability.net-admin", "capability.sys-admin", "capability.bpf", "capability.perfmon",
      "host.cgroups", "host.bpffs",
    ]
    return all.filter { names.contains($0.name) }
  }()

  /// Those of `checks` that fail on a host, without an attempt of any kind.
  package static func failures(_ checks: [Check], in host: HostView) -> [Survey.Row] {
    checks.map { Survey.Row(check: $0, finding: $0.find(in: host)) }.filter { $0.finding.outcome == .fail }
  }
}
