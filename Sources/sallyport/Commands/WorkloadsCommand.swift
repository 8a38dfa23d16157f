// `sallyport workloads`: which cgroups are labelled, with what, and who said so.
internal import ArgumentParser
internal import Enforcement
internal import Evidence
internal import Policy

struct WorkloadsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "workloads", abstract: "List the workloads that policy is enforced on.")

  @OptionGroup var state: StateOptions
  @OptionGroup var options: OutputOptions

  func run() throws {
    let workloads = try state.snapshot().workloads.sorted { $0.path < $1.path }
    state.warnIfAgentIsGone()
    try options.print(workloads) {
      var table = Table(columns: [
        .init("CGROUP", minimum: 16), .init("IDENTITY"), .init("LABELS", minimum: 16), .init("MODE"),
        .init("ADDRESSES", minimum: 10), .init("SOURCE", minimum: 10),
      ])
      for workload in workloads {
        table.add([
          workload.path, workload.labels.identity.description, workload.labels.description,
          workload.observe ? "observe" : "enforce",
          workload.addresses.map(\.description).joined(separator: ","), workload.source,
        ])
      }
      return table.text(width: Terminal.width)
    }
  }
}
