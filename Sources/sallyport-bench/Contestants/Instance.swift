// One enforcer with its datapath, as the agent holds them, for a run to drive.

internal import BPF
internal import Enforcement
internal import Kernel
internal import Logging
internal import Policy

/// An enforcer on the arena's cgroup; its own attachments are ended at once, so that a run attaches the programs itself.
final class Instance: Sendable {
  let datapath: any KernelDatapath
  let timed: TimedDatapath
  let enforcer: Enforcer
  private let snapshots: Bool

  /// Loads the programs; `cells` is how many entries must fit in one slot.
  init(
    _ name: String, in arena: Arena, cells: Int, allocator: IdentityAllocator = IdentityAllocator(),
    snapshots: Bool = false, kind: DatapathKind = .cgroup, variant: IptablesVariant = .automatic
  ) throws {
    let state = arena.state(name)
    // Both slots together.
    let entries = UInt32(max(262_144, (2 * cells + 65_536).roundedUpToPowerOfTwo))
    var options = DatapathOptions(cgroup: arena.cgroupLocation, maxEntries: entries)
    options.netfilter.variant = variant
    datapath = try kind.open(options, state: state)
    timed = TimedDatapath(datapath)
    var logger = Logger(label: "sallyport-bench")
    logger.logLevel = .error
    self.snapshots = snapshots
    enforcer = Enforcer(
      datapath: timed, state: snapshots ? state : nil, cgroup: arena.cgroupLocation, logger: logger,
      allocator: allocator)
  }

  /// Ends the enforcer's own attachments; tables and programs stay.
  ///
  /// Rules are in force only where a contestant writes them.
  func endAttachments() throws {
    if datapath.kind == .netfilter { return try removePin(at: "\(datapath.pins)/links/sp_nf_state") }
    for hook in CgroupPrograms.hooks { try PinnedLink.open("\(datapath.pins)/links/\(hook.program)").detach() }
  }

  /// The programs of the datapath.
  func program(_ name: String) throws -> BPFProgram { try BPFProgram.pinned("\(datapath.pins)/programs/\(name)") }

  /// Bytes that the kernel is charged for, by map.
  func mapMemory() throws -> [(name: String, bytes: Int)] {
    try [
      "sp_workload", "sp_classes", "sp_ports", "sp_policy", "sp_networks", "sp_handoffs", "sp_convs", "sp_raw_convs",
      "sp_queue", "sp_shares", "sp_counts", "sp_records", "sp_suppress", "sp_confirmed",
    ]
    .map { name in
      let map = try OwnedDescriptor.pinned("\(datapath.pins)/maps/\(name)", "map")
      return (name, MapInfo.memoryLocked(map) ?? 0)
    }
  }

  /// Ends everything.
  func close() async throws {
    datapath.stopEvents()
    try await enforcer.detach()
  }
}

extension Int {
  /// The smallest power of two that is not below this number.
  var roundedUpToPowerOfTwo: Int { self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount) }
}
