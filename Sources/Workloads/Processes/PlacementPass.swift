// Places processes that run already: those that were there before the rule, or before the agent.
package import Kernel

/// What a look at one cgroup's processes came to.
package struct PlacementPass: Sendable {
  /// Those that were moved.
  package internal(set) var placed: [PlacedProcess] = []
  /// Why others could not be, one for each.
  package internal(set) var faults: [KernelError] = []
}

extension Placer {
  /// Places the processes directly in a cgroup for which `tag` has one.
  ///
  /// What a process starts while it is looked at stays where it is until it is seen too: so this looks again until
  /// nothing is left to place, a bounded number of times. One that goes meanwhile is no fault; the caller's own process
  /// stays where it is.
  package func placeAll(
    in cgroup: CgroupDirectory, _ reader: ProcessReader, digests: Bool = false,
    tag: (ProcessTraits) -> WorkloadTag?
  ) -> PlacementPass {
    var pass = PlacementPass()
    var refused: Set<ProcessID> = []
    for _ in 0..<16 {
      let before = pass.placed.count
      for id in Set((try? cgroup.processes()) ?? []) where id != .current && !refused.contains(id) {
        // What is read and what is moved is one process, held by its pidfd.
        guard let process = try? ProcessHandle.open(id), let traits = reader.traits(of: process, digest: digests),
          let tag = tag(traits)
        else { continue }
        do throws(KernelError) {
          let placed = try place(process, tag: tag)
          if placed.wasMoved { pass.placed.append(placed) }
        } catch {
          guard !process.hasExited else { continue }
          refused.insert(id)
          pass.faults.append(error)
        }
      }
      guard pass.placed.count > before else { break }
    }
    return pass
  }
}
