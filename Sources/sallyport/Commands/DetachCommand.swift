// `sallyport detach`: the only way to end enforcement.
internal import ArgumentParser
internal import Enforcement

struct DetachCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "detach", abstract: "End enforcement and leave nothing in the kernel; the agent stops too.")

  @OptionGroup var state: StateOptions

  func run() throws {
    let cgroup = state.readable().snapshot?.cgroup
    do {
      _ = try state.client.ask(ControlRequest(.detach))
    } catch let failure as Failure where failure.status == .notEnforcing {
      // No agent: what it left in the kernel is still there, and is ours to end.
      try AgentlessState.detach(state.directory)
    }
    let others = cgroup.map { AgentlessState.others(on: $0, besides: state.directory) } ?? []
    Terminal.print(
      others.isEmpty
        ? "detached: nothing is enforced"
        : "detached \(state.directory); still enforced: \(others.map(\.description).joined(separator: "; "))")
    if let cgroup, let note = SurvivingTags.note(SurvivingTags.paths(below: cgroup)) { Terminal.warn(note) }
  }
}
