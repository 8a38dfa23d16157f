// What can be read of an instance's pinned state by anybody, also when no agent runs.

internal import BPF
public import Kernel

/// The state of one instance as the kernel has it.
public struct PinnedInspection: Sendable, Equatable {
  /// The generation in force.
  public var generation: UInt32
  /// The programs that are attached.
  public var attached: [String]
  /// The programs that should be attached and are not.
  public var missing: [String]
  /// The cgroup that they police; nil if it is gone, or nothing is attached.
  public var cgroup: CgroupID?
  /// The workloads that the kernel knows.
  public var workloads: [CgroupID: WorkloadRow]
  /// How many cells there are, both slots together.
  public var cells: Int
  /// How much fits.
  public var limits: DatapathLimits
  /// Everything that is counted.
  public var counters: DatapathCounters

  /// Whether every program is attached to a cgroup that exists.
  public var isEnforcing: Bool { missing.isEmpty && cgroup != nil }

  /// Reads the pinned state of a state directory; nil if there is none.
  ///
  /// Takes no lock and changes nothing.
  public static func read(
    bpffs: String = "/sys/fs/bpf", state: StateDirectory
  ) throws(DatapathError) -> PinnedInspection? {
    let pins = PinnedState(bpffs: bpffs, state: state)
    guard pins.exists else { return nil }
    do throws(BPFError) {
      let tables = try KernelTables(pins)
      let held = try tables.holdings(isNew: false)
      var cgroup: UInt64?
      var attached: [String] = []
      var missing: [String] = []
      for hook in Hook.all {
        let id = pins.hasLink(hook.program) ? try PinnedLink.open(pins.link(hook.program)).info().cgroupID : nil
        if let id { cgroup = id }
        if id == nil { missing.append(hook.program) } else { attached.append(hook.program) }
      }
      return PinnedInspection(
        generation: held.generation, attached: attached, missing: missing,
        cgroup: cgroup.map { CgroupID(rawValue: $0) }, workloads: held.workloads, cells: try tables.cellCount(),
        limits: tables.limits, counters: try tables.counters())
    } catch {
      throw DatapathError("inspect", pins.published, underlying: error, remedy: error.remedy)
    }
  }
}
