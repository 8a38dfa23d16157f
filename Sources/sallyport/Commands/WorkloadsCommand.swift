// `sallyport workloads`: which cgroups are labelled, with what, and who said so.
internal import ArgumentParser
internal import Enforcement
internal import Evidence
internal import Kernel
internal import Policy
internal import Workloads

struct WorkloadsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "workloads", abstract: "Show the workloads that policy is enforced on.",
    subcommands: [List.self, Explain.self], defaultSubcommand: List.self)

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "List workloads with their labels, identity, processes and listening ports.")

    @OptionGroup var state: StateOptions
    @OptionGroup var options: OutputOptions

    func run() throws {
      let workloads = try state.snapshot().workloads.sorted { $0.path < $1.path }
      state.warnIfAgentIsGone()
      let activities = WorkloadActivity.read(of: workloads, in: try CgroupHierarchy.find())
      let rows = workloads.map { WorkloadRow(workload: $0, activity: activities[$0.cgroup] ?? WorkloadActivity()) }
      try options.print(rows) { table(rows) }
    }

    private func table(_ rows: [WorkloadRow]) -> String {
      var table = Table(columns: [
        .init("CGROUP", minimum: 16), .init("NAME"), .init("IDENTITY"), .init("LABELS", minimum: 16), .init("MODE"),
        .init("SINCE"), .init("PROCESSES"), .init("LISTENS", minimum: 8), .init("ADDRESSES", minimum: 10),
        .init("SOURCE", minimum: 10),
      ])
      let now = Clock.wallNanoseconds()
      for row in rows {
        let workload = row.workload
        table.add([
          workload.path, workload.name, workload.labels.identity.description, workload.labels.description,
          workload.observe ? "observe" : "enforce",
          workload.since == 0 ? "" : HumanUnits.duration(nanoseconds: now &- workload.since),
          String(row.activity.processes.count),
          row.ports.joined(separator: ","), workload.addresses.map(\.description).joined(separator: ","),
          workload.source,
        ])
      }
      return table.text(width: Terminal.width)
    }
  }

  struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Show which source gave which label to a workload, process or cgroup.")

    @Argument(help: "A PID, the name, unit or container of a workload, or a cgroup's path.") var subject: String
    @OptionGroup var state: StateOptions
    @OptionGroup var options: OutputOptions

    func run() throws {
      var request = ControlRequest(.explainWorkload)
      request.cgroup = try path()
      guard let explanation = try state.client.ask(request).explanation else {
        throw Failure("the agent did not explain \(subject)", remedy: "use the same version for both")
      }
      try options.print(explanation) { text(explanation) }
    }

    /// What the agent is asked about: a PID, or a path.
    private func path() throws -> String {
      if subject.hasPrefix("/") || Int32(subject) != nil { return subject }
      return try WorkloadNames(workloads: state.snapshot().workloads).find(subject).path
    }

    private func text(_ explanation: WorkloadExplanation) -> String {
      var lines: [String] = []
      if let process = explanation.process {
        let executable = explanation.executable ?? "(no executable)"
        lines.append("process \(process) \(executable), user \(explanation.user ?? "?")")
      }
      lines.append("in \(explanation.cgroup)")
      if let workload = explanation.workload {
        let relation = workload.path == explanation.cgroup ? "a workload itself" : "part of \(workload.path)"
        lines.append("\(relation), identity \(workload.labels.identity), labelled by \(workload.source)")
      } else {
        lines.append("no labels here or above: part of the host")
      }
      for step in explanation.steps {
        lines.append("\(step.path)\(step.isWorkload ? "" : " (not a workload: only a rule that matches makes it one)")")
        for origin in step.origins {
          let loss = origin.overriddenBy.map { ", overridden by \($0)" } ?? ""
          lines.append("  \(origin.label)  from \(origin.source)\(loss)")
        }
        lines += step.warnings.map { "  warning: \($0)" }
      }
      return lines.map { $0.shownSafely + "\n" }.joined()
    }
  }
}

/// A workload as `--output json` has it: what is in force, and what goes on in it.
private struct WorkloadRow: Encodable {
  let workload: WorkloadInstance
  let activity: WorkloadActivity

  var ports: [String] { activity.ports.sorted().map { "\($0.protocol)/\($0.port)" } }

  private enum Key: String, CodingKey { case identity, processes, listens }

  func encode(to encoder: any Encoder) throws {
    try workload.encode(to: encoder)
    var values = encoder.container(keyedBy: Key.self)
    try values.encode(workload.labels.identity.description, forKey: .identity)
    try values.encode(activity.processes.map(\.rawValue).sorted(), forKey: .processes)
    try values.encode(ports, forKey: .listens)
  }
}
