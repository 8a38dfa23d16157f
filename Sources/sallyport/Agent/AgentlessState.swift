// What a dead agent left in the kernel, for commands that must not need a living one.
internal import Enforcement
internal import Kernel
internal import Logging
internal import SystemPackage

enum AgentlessState {
  /// Ends enforcement without an agent: takes the agent's lock, adopts what is pinned, and detaches it.
  static func detach(_ directory: FilePath) async throws {
    let state = StateDirectory(directory.description)
    guard let snapshot = try Snapshot.read(from: state.snapshot), !snapshot.cgroup.isEmpty else {
      throw Failure(
        "nothing is enforced with the state directory \(directory)",
        remedy: "name the agent's state directory with --state", status: .notEnforcing)
    }
    let datapath = try CgroupDatapath.open(CgroupDatapath.Options(cgroup: snapshot.cgroup), state: state)
    let enforcer = Enforcer(
      datapath: datapath, state: state, cgroup: snapshot.cgroup, logger: Logger(label: "sallyport"))
    try await enforcer.detach()
  }
}
