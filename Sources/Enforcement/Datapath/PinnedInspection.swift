// What can be read of an instance's pinned state by anybody, also when no agent runs.

internal import BPF
package import Kernel
internal import SystemPackage

/// The state of one instance as the kernel has it.
package struct PinnedInspection: Sendable, Equatable {
  /// How packets come to the programs.
  package var kind: DatapathKind
  /// How the programs of the netfilter datapath learn whose packet it is; nil on the other one.
  package var view: NetfilterView?
  /// The generation in force.
  package var generation: UInt32
  /// The programs that are attached.
  package var attached: [String]
  /// The programs that should be attached and are not.
  package var missing: [String]
  /// The cgroup that they police; nil if it is gone, or nothing is attached.
  package var cgroup: CgroupID?
  /// The workloads that the kernel knows.
  package var workloads: [CgroupID: WorkloadRow]
  /// How many cells there are, both slots together.
  package var cells: Int
  /// How much fits.
  package var limits: DatapathLimits
  /// Everything that is counted.
  package var counters: DatapathCounters

  /// Whether every program is attached to a cgroup that exists.
  package var isEnforcing: Bool { missing.isEmpty && cgroup != nil }

  /// Reads the pinned state of a state directory; nil if there is none.
  ///
  /// Takes no lock and changes nothing.
  package static func read(
    bpffs: String = "/sys/fs/bpf", state: StateDirectory
  ) throws(DatapathError) -> PinnedInspection? {
    // Without the right to look, what is there looks as if it were not.
    if isHidden(bpffs) {
      throw DatapathError("inspect", bpffs, underlying: KernelError("inspect", bpffs, .permissionDenied))
    }
    for kind in DatapathKind.allCases {
      let pins = PinnedState(bpffs: bpffs, state: state, kind: kind)
      for pins in [pins, pins.former] where pins.exists { return try read(pins) }
    }
    return nil
  }

  /// Which programs the kernel has attached to a cgroup, whoever holds them and wherever they are pinned.
  ///
  /// For the cgroup datapath, when nothing is pinned that could tell; nil if the cgroup is gone.
  package static func attached(
    toCgroupAt path: String
  ) throws(DatapathError) -> (cgroup: CgroupID, attached: [String], missing: [String])? {
    guard let cgroup = try? CgroupHierarchy.find().directory(mountedAt: FilePath(path)) else { return nil }
    do throws(BPFError) {
      var attached: [String] = []
      for hook in Hook.all {
        let numbers = try CgroupAttachments.query(cgroup.descriptor, hook.type)?.programs ?? []
        if numbers.contains(where: { (try? BPFProgram.numbered($0).name) == hook.program }) {
          attached.append(hook.program)
        }
      }
      return (cgroup.id, attached, Hook.all.map(\.program).filter { !attached.contains($0) })
    } catch {
      throw DatapathError("inspect", path, underlying: error, remedy: error.remedy)
    }
  }

  private static func read(_ pins: PinnedState) throws(DatapathError) -> PinnedInspection {
    let cgroup = try pins.policedCgroup()
    let missing = try pins.missingAttachments()
    do throws(BPFError) {
      let tables = try KernelTables(pins)
      let held = try tables.holdings(isNew: false)
      return PinnedInspection(
        kind: pins.kind, view: pins.view, generation: held.generation,
        attached: pins.object.programs.filter { !missing.contains($0) }, missing: missing, cgroup: cgroup,
        workloads: held.workloads, cells: try tables.cellCount(), limits: tables.limits,
        counters: try tables.counters())
    } catch {
      throw DatapathError("inspect", pins.published, underlying: error, remedy: error.remedy)
    }
  }
}
