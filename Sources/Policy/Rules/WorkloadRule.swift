// Which cgroups and processes get which labels, and what follows from it.

/// Labels for the cgroups and processes that match.
///
/// Every kind of pattern that is given must match, and any one pattern of a kind suffices.
public struct WorkloadRule: Sendable, Hashable {
  /// What matches.
  public struct Match: Sendable, Hashable {
    /// Globs over paths below the cgroup hierarchy, `/` first.
    public var cgroups: [Glob]
    /// Globs over names of systemd units, slices and scopes.
    public var units: [Glob]
    /// Pods by `NAMESPACE/NAME`, as container runtimes name them; their containers match one by one.
    public var pods: [String]
    /// Over the labels that the agent found out: `container.…`, `k8s.…`, `sallyport.…`; nil asks for nothing.
    public var labels: Selector?
    /// Globs over absolute paths of executables.
    public var executables: [Glob]
    /// SHA-256 digests of executables, 64 lower-case hexadecimal digits.
    public var digests: [String]
    /// Names or decimal numbers of users.
    public var users: [String]
    /// Names or decimal numbers of groups: a process's own one, not its supplementary ones.
    public var groups: [String]

    /// Takes all its parts.
    public init(
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
    public var asksForProcesses: Bool {
      !executables.isEmpty || !digests.isEmpty || !users.isEmpty || !groups.isEmpty
    }

    /// Whether it asks for nothing at all; it then matches nothing.
    public var isEmpty: Bool { !asksForProcesses && cgroups.isEmpty && units.isEmpty && pods.isEmpty && labels == nil }
  }

  /// What becomes of processes that match.
  public enum Placement: Sendable, Hashable {
    /// The cgroup that they are in is labelled, if everything in it matches.
    case inPlace
    /// Each is moved into a cgroup of its own below the one that it is in; its children follow.
    case ownCgroup
  }

  /// What becomes of sockets that a process had before it was moved: they belong to the cgroup that they were made in.
  public enum OpenSockets: Sendable, Hashable {
    /// They keep the identity that they have, and are listed.
    case keep
    /// They get the identity of the process's new cgroup.
    case retag
    /// They are closed.
    case cut
  }

  /// Unique among workloads.
  public var name: String
  /// What the workload is labelled with.
  public var labels: LabelSet
  /// What matches.
  public var match: Match
  /// Addresses that are the workload's own.
  public var addresses: [IPAddress]
  /// Whether its verdicts are applied or only observed.
  public var mode: Mode
  /// Whether traffic of cgroups below it that have no labels of their own is refused.
  ///
  /// Otherwise they inherit its identity.
  public var rejectsUnlabelledChildren: Bool
  /// What becomes of processes that match; only if it asks for processes.
  public var placement: Placement
  /// What becomes of their sockets.
  public var openSockets: OpenSockets
  /// Where it was written.
  public var source: SourceLocation

  /// Takes all its parts.
  public init(
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
