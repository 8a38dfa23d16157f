// The main datapath: BPF programs on a cgroup, their maps and links pinned.


/// BPF programs attached to one cgroup directory.
///
/// Tests must never pass the hierarchy's root: they would police the machine they run on.
public final class CgroupDatapath: Datapath {
  /// What it is made with.
  public struct Options: Sendable, Equatable {
    /// The cgroup2 directory to attach to: an absolute path in a file system.
    public var cgroup: String
    /// Where BPF objects are pinned: a directory on a BPF file system.
    public var bpffs: String
    /// Room for cells, both slots together.
    public var maxEntries: UInt32
    /// After how much silence a UDP or other conversation is over.
    public var conversationIdle: Duration
    /// The same for ICMP.
    public var echoIdle: Duration
    /// Whether the verifier's full log is wanted when loading fails.
    public var verbose: Bool

    /// Takes what has no usual value, and the usual values.
    public init(
      cgroup: String, bpffs: String = "/sys/fs/bpf", maxEntries: UInt32 = 262_144,
      conversationIdle: Duration = .seconds(60), echoIdle: Duration = .seconds(30), verbose: Bool = false
    ) {
      self.cgroup = cgroup
      self.bpffs = bpffs
      self.maxEntries = maxEntries
      self.conversationIdle = conversationIdle
      self.echoIdle = echoIdle
      self.verbose = verbose
    }
  }

  /// What it held when it was opened.
  public let holdings: Holdings
  /// How much fits.
  public let limits: DatapathLimits

  /// The directory of its pins.
  public let pins = ""

  /// Adopts what an agent before this one left, or loads the programs anew; takes the lock of `state`.
  public static func open(_ options: Options, state: StateDirectory) throws(DatapathError) -> CgroupDatapath {
    throw DatapathError("open datapath", options.cgroup, reason: "not there yet")
  }

  private init(holdings: Holdings, limits: DatapathLimits) {
    self.holdings = holdings
    self.limits = limits
  }

  public func contents(of slot: Slot) throws(DatapathError) -> SlotContents { .empty }
  public func current() throws(DatapathError) -> Holdings { holdings }
  public func apply(_ change: TableChange) throws(DatapathError) {}
  public func attach() throws(DatapathError) {}
  public func counters() throws(DatapathError) -> DatapathCounters { DatapathCounters() }
  public func detach() throws(DatapathError) {}

  /// Begins to deliver records, in batches, from a thread of its own.
  public func startEvents(_ deliver: @escaping @Sendable ([FlowEvent]) -> Void) throws(DatapathError) {}
  /// Ends the delivery; no call is under way when it returns.
  public func stopEvents() {}
}
