// Which cgroups and processes get which labels, and what follows from it.

/// Labels for the cgroups and processes that match.
///
/// Every kind of pattern that is given must match, and any one pattern of a kind suffices.
package struct WorkloadRule: Sendable, Hashable {
  /// What matches.
  package struct Match: Sendable, Hashable {
    /// Globs over paths below the cgroup hierarchy, `/` first.
    package var cgroups: [Glob]
    /// Globs over names of systemd units, slices and scopes.
    package var units: [Glob]
    /// Pods by `NAMESPACE/NAME`, as container runtimes name them; their containers match one by one.
    package var pods: [String]
    /// Over the labels that the agent found out: `container.…`, `k8s.…`, `sallyport.…`; nil asks for nothing.
    package var labels: Selector?
    /// Globs over absolute paths of executables.
    package var executables: [Glob]
    /// SHA-256 digests of executables, 64 lower-case hexadecimal digits.
    package var digests: [String]
    /// Names or decimal numbers of users.
    package var users: [String]
    /// Names or decimal numbers of groups: a process's own one, not its supplementary ones.
    package var groups: [String]

    package init(
      cgroups: [Glob] = [], units: [Glob] = [], pods: [String] = [], labels: Selector? = nil,
      executables: [Glob] = [], digests: [String] = [], users: [String] = [], groups: [String] = []
    ) {
      self.cgroups = cgroups
      self.units = units
      self.pods = pods
      self.labels = labels
      self.executables = executables
      self.digests = digests
      self.users = users
      self.groups = groups
    }

    /// Whether processes must be looked at.
    package var asksForProcesses: Bool {
      !executables.isEmpty || !digests.isEmpty || !users.isEmpty || !groups.isEmpty
    }

    /// Whether it asks for nothing at all; it then matches nothing.
    package var isEmpty: Bool { !asksForProcesses && cgroups.isEmpty && units.isEmpty && pods.isEmpty && labels == nil }
  }

  /// What becomes of processes that match.
  package enum Placement: Sendable, Hashable {
    /// The cgroup that they are in is labelled, if everything in it matches.
    case inPlace
    /// Each is moved into a cgroup of its own below the one that it is in; its children follow.
    case ownCgroup
  }

  /// What becomes of sockets that a process had before it was moved: they belong to the cgroup that they were made in.
  package enum OpenSockets: Sendable, Hashable {
    /// They keep the identity that they have, and are listed.
    case keep
    /// They get the identity of the process's new cgroup.
    case retag
    /// They are closed.
    case cut
  }

  /// Unique among workloads.
  package var name: String
  /// What the workload is labelled with.
  package var labels: LabelSet
  /// What matches.
  package var match: Match
  /// Addresses that are the workload's own.
  package var addresses: [IPAddress]
  /// Whether its verdicts are applied or only observed.
  package var mode: Mode
  /// Whether traffic of cgroups below it that have no labels of their own is refused.
  ///
  /// Otherwise they inherit its identity.
  package var rejectsUnlabelledChildren: Bool
  /// What becomes of processes that match; only if it asks for processes.
  package var placement: Placement
  /// What becomes of their sockets.
  package var openSockets: OpenSockets
  /// Where it was written.
  package var source: SourceLocation

  package init(
    name: String, labels: LabelSet, match: Match = Match(), addresses: [IPAddress] = [], mode: Mode = .enforce,
    rejectsUnlabelledChildren: Bool = false, placement: Placement = .inPlace, openSockets: OpenSockets = .keep,
    source: SourceLocation = .none
  ) {
    self.name = name
    self.labels = labels
    self.match = match
    self.addresses = addresses
    self.mode = mode
    self.rejectsUnlabelledChildren = rejectsUnlabelledChildren
    self.placement = placement
    self.openSockets = openSockets
    self.source = source
  }
}
