// What a dead agent left in the kernel, for commands that must not need a living one.
internal import Coverage
internal import Enforcement
internal import Glibc
internal import Kernel
internal import SystemPackage
internal import Workloads

enum AgentlessState {
  /// What else enforces on a cgroup, or above or below it.
  static func others(on cgroup: String, besides directory: FilePath) -> [RivalEnforcement] {
    guard let place = try? CgroupHierarchy.find().directory(mountedAt: FilePath(cgroup)) else { return [] }
    return (try? RivalEnforcement.find(on: place, besides: StateDirectory(directory.description))) ?? []
  }

  /// Ends enforcement without an agent: takes the agent's lock and removes everything that is pinned.
  static func detach(_ directory: FilePath) throws {
    let state = StateDirectory(directory.description)
    try CoverageProbe.removeRemains(of: CoverageProbe.stateDirectory(in: state))
    let snapshot = try? Snapshot.read(from: state.snapshot)
    guard try KernelState.remove(state: state) || isThere(state.snapshot) else {
      throw Failure(
        "nothing is enforced with the state directory \(directory)",
        remedy: "name the agent's state directory with --state", status: .notEnforcing)
    }
    // Readers must not show what is no more; the flow records stay.
    if let root = snapshot?.cgroup { try CgroupMirror.left(enforcingOn: FilePath(root))?.end() }
    for path in [state.snapshot, directory.appending("agent.json").description] { _ = unsafe unlink(path) }
  }
}
