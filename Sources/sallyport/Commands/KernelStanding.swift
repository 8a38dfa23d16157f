// Whether anything is enforced, by what the kernel says and nothing else.
internal import Enforcement
internal import Kernel

/// What the kernel says about one agent's enforcement.
struct KernelStanding {
  /// What is pinned; nil if it cannot be read.
  var kernel: PinnedInspection?
  /// The programs that are attached, and those that should be.
  var attached: [String] = []
  var missing: [String] = []
  /// Whether every program is attached to the cgroup that is to be enforced on.
  var isEnforcing = false
  /// Why enforcement would end with its agent.
  var faults: [String] = []
  /// The process that holds the lock.
  var holder: Int32?
  /// Where the pins should be.
  var pins = ""

  /// Looks at the pins, and where they are missing at the cgroup itself.
  ///
  /// - Throws: when this process may not look.
  static func look(_ state: StateDirectory, cgroup: String?) throws -> KernelStanding {
    var standing = KernelStanding()
    standing.holder = state.holder?.rawValue
    standing.pins = "/sys/fs/bpf/sallyport/\(state.instance)"
    do throws(KernelError) { try Capabilities.require([.bpf, .netAdmin]) } catch {
      throw Failure.denied(error)
    }
    var problem: String?
    do throws(DatapathError) {
      standing.kernel = try PinnedInspection.read(state: state)
    } catch {
      problem = "\(error)"
    }
    let found = cgroup.flatMap { (try? PinnedInspection.attached(toCgroupAt: $0)) ?? nil }
    if let kernel = standing.kernel {
      standing.attached = kernel.attached
      standing.missing = kernel.missing
      // The cgroup may have been removed and made anew under the same name.
      standing.isEnforcing = kernel.isEnforcing && (found == nil || found?.cgroup == kernel.cgroup)
    }
    guard !standing.isEnforcing, let found, !found.attached.isEmpty else { return standing }
    standing.attached = found.attached
    standing.missing = found.missing
    standing.isEnforcing = found.missing.isEmpty
    if standing.isEnforcing {
      standing.faults = [problem ?? "nothing is pinned at \(standing.pins): enforcement ends with the agent"]
    }
    return standing
  }
}
