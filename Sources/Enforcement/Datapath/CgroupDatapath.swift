// The main datapath: BPF programs on a cgroup, kept by pinned links.

internal import BPF
internal import Kernel
internal import SystemPackage

/// BPF programs attached to one cgroup directory.
///
/// Tests must never pass the hierarchy's root: they would police the machine they run on.
package final class CgroupDatapath: KernelDatapath {
  /// What it holds in the kernel.
  package let kernel: KernelState
  private let cgroup: CgroupDirectory
  /// The name of a cgroup that lives for one attempt; the lock makes it the only one.
  private static let trial: FilePath.Component = "sallyport-trial"

  private init(kernel: KernelState, cgroup: CgroupDirectory) {
    self.kernel = kernel
    self.cgroup = cgroup
  }

  /// Adopts what an agent before this one left, or loads the programs anew; takes the lock of `state`.
  ///
  /// Nothing is attached anew; nothing that is attached ends. Programs that differ from this binary's are replaced link
  /// by link, with the maps kept. Another ABI version, or another cgroup, is refused.
  package static func open(_ options: DatapathOptions, state: StateDirectory) throws(DatapathError) -> CgroupDatapath {
    try open(options, state: state, lock: state.acquire())
  }

  static func open(
    _ options: DatapathOptions, state: StateDirectory, lock: StateLock
  ) throws(DatapathError) -> CgroupDatapath {
    var loader = try ProgramLoader(.cgroup, options, state: state)
    let isNew = try loader.open()
    return CgroupDatapath(kernel: try KernelState(loader, isNew: isNew, lock: lock), cgroup: loader.cgroup)
  }

  /// Attaches each program to a cgroup made for it below the policed one: what excludes programs there is found.
  package func tryToAttach() throws(DatapathError) {
    let directory: CgroupDirectory
    do throws(KernelError) {
      directory = try cgroup.create(Self.trial)
    } catch {
      throw DatapathError("try to attach", "\(cgroup.path)", underlying: error, remedy: error.remedy)
    }
    // Nobody lives in it.
    defer { try? directory.remove() }
    do throws(BPFError) {
      for hook in Hook.all {
        let program = try BPFProgram.pinned(kernel.pinned.program(hook.program))
        _ = try BPFLink.attach(program, cgroup: directory.descriptor, type: hook.type)
      }
    } catch {
      throw DatapathError("attach", "\(directory.path)", underlying: error, remedy: remedy(attaching: error))
    }
  }

  /// Attaches each program by a link that is pinned.
  package func attachHooks() throws(DatapathError) {
    let pinned = kernel.pinned
    var made: [String] = []
    do throws(BPFError) {
      for hook in Hook.all where !pinned.hasLink(hook.program) {
        let program = try BPFProgram.pinned(pinned.program(hook.program))
        let link = try BPFLink.attach(program, cgroup: cgroup.descriptor, type: hook.type)
        _ = try link.pin(at: pinned.link(hook.program))
        made.append(hook.program)
      }
    } catch {
      for name in made.reversed() {
        // Best effort: the first error is the one to tell, and detach ends what may be left.
        try? PinnedLink.open(pinned.link(name)).detach()
        try? removePin(at: pinned.link(name))
      }
      throw DatapathError("attach", pinned.published, underlying: error, remedy: remedy(attaching: error))
    }
  }

  /// Attaches again what the kernel ended, and pins again what was removed.
  package func mendPins() -> PinCondition {
    kernel.held.mend { (name, program) throws(BPFError) in
      // A cgroup that is gone has nobody left to police.
      guard let hook = Hook.all.first(where: { $0.program == name }), (try? cgroup.isEmpty()) != nil else { return nil }
      return try BPFLink.attach(program, cgroup: cgroup.descriptor, type: hook.type)
    }
  }

  /// Nothing: the links are pinned, and end with their pins.
  package func detachHooks() {}

  /// Why a program cannot be attached: capabilities were checked when the datapath was opened, so it is other programs.
  private func remedy(attaching error: BPFError) -> String? {
    switch error.errno {
    case .argListTooLong:
      "the kernel takes 64 programs of a kind on one cgroup: see `bpftool cgroup show`, detach some of the others"
    case .notPermitted:
      "a program on or above \(cgroup.path) that was attached without BPF_F_ALLOW_MULTI excludes all others: see "
        + "`bpftool cgroup tree`, detach it"
    default: error.remedy
    }
  }

  /// Which sockets speak for another workload than their creator's.
  package func retags() throws(DatapathError) -> RetagTable? {
    do throws(BPFError) { return try RetagTable(kernel.pinned) } catch {
      throw kernel.failure("open retagged sockets", error)
    }
  }
}
