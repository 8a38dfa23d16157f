// `sallyport status`: is anything enforced, by whom, since when, and what went wrong.
internal import ArgumentParser
internal import Enforcement
internal import Evidence
internal import Kernel

struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show enforcement and agent status.",
    discussion: """
      Asks the kernel. Ends with 0 when policy is enforced, even if the agent is gone, with 3 when it is not, with 1 when \
      it is but ends with the agent, because pins are missing, and with 4 when that may not be looked at.
      """)

  @OptionGroup var state: StateOptions
  @OptionGroup var options: OutputOptions
  @Flag(help: "Say instead which kinds of traffic the datapath covers on this kernel, as tried at the agent's start.")
  var coverage = false

  /// What is printed as a document: what the agent says, and beside it what the kernel and the snapshot say.
  @dynamicMemberLookup
  struct Status: Encodable {
    /// Completed by what is seen from outside.
    var report: AgentReport
    var facts: Facts

    struct Facts: Encodable {
      var enforcing: Bool
      var agent: String
      /// Of the netfilter datapath: exact or told.
      var view: String?
      var generation: UInt32
      var workloads: Int
      var identities: Int
      var rules: Int
      var cells: Int
      var cellLimit: Int
      var pins: String
      var programs: [String: String]
      var recordsLost: UInt64?
      var shares: SharesReport
      var lastError: String?
      /// Selectors and workload documents that match nothing here now; null without an agent.
      var unmatched: [String]?
    }

    subscript<Value>(dynamicMember path: KeyPath<AgentReport, Value>) -> Value { report[keyPath: path] }
    subscript<Value>(dynamicMember path: KeyPath<Facts, Value>) -> Value { facts[keyPath: path] }

    /// One object with the members of both.
    func encode(to encoder: any Encoder) throws {
      try report.encode(to: encoder)
      try facts.encode(to: encoder)
    }
  }

  func run() throws {
    if coverage { return try CoverageOutput.print(state, options) }
    try state.requireReadable()
    let (written, unusable) = state.readable()
    let asked = Result { try state.client.ask(ControlRequest(.status), within: 5) }
    let answer = try? asked.get()
    let living = answer?.agent
    let known = living ?? state.report()
    let standing = try KernelStanding.look(StateDirectory(state.state), cgroup: living?.cgroup ?? written?.cgroup)
    guard written != nil || unusable != nil || standing.kernel != nil || living != nil else {
      // Says what to do.
      _ = try state.snapshot()
      return
    }
    let snapshot = written ?? Snapshot()
    let kernel = standing.kernel
    let ended = snapshot.ended?.count ?? 0
    let programs = standing.attached.map { ($0, "attached") } + standing.missing.map { ($0, "not attached") }
    let facts = Status.Facts(
      enforcing: standing.isEnforcing,
      agent: living == nil ? standing.holder == nil ? "gone" : "silent" : "running",
      view: kernel?.view?.rawValue, generation: kernel?.generation ?? snapshot.generation,
      workloads: max(0, (kernel?.workloads.count).map { $0 - ended } ?? snapshot.workloads.count),
      identities: snapshot.identities.count,
      rules: snapshot.rules.count, cells: kernel?.cells ?? snapshot.cells,
      cellLimit: kernel?.limits.cells ?? snapshot.cellLimit, pins: written?.pins ?? standing.pins,
      programs: Dictionary(programs, uniquingKeysWith: { first, _ in first }),
      recordsLost: kernel?.counters.statistics.recordsLost,
      shares: SharesReport(kernel?.counters, snapshot, known), lastError: snapshot.lastError,
      unmatched: answer?.unmatched)
    var report = living ?? known?.lastWords ?? AgentReport()
    report.agentPid = living?.agentPid ?? standing.holder
    report.cgroup = written?.cgroup ?? report.cgroup
    report.datapath = living?.datapath ?? kernel?.kind.rawValue
    report.policy = report.policy ?? Self.policy(written, kernel)
    report.pinFaults = standing.faults + report.pinFaults
    report.unpoliced += report.socketsUnowned.map { [$0] } ?? []
    report.ended = ended
    report.failures = max(snapshot.failures, report.failures)
    report.warnings = (known == nil ? snapshot.warnings : report.warnings) + (unusable.map { [$0] } ?? [])
    let status = Status(report: report, facts: facts)
    try options.print(status) { Self.text(status) }
    if !status.enforcing { throw ExitCode(ExitStatus.notEnforcing.rawValue) }
    if !status.pinFaults.isEmpty { throw ExitCode(ExitStatus.refused.rawValue) }
  }

  /// What there is when no path is followed.
  private static func policy(_ written: Snapshot?, _ kernel: PinnedInspection?) -> String {
    if written?.sources.isEmpty == false { return "applied by hand" }
    // What no snapshot names may be in force all the same.
    if (kernel?.cells ?? 0) > 0 { return "unknown: its documents are lost; what was in force stays in force" }
    return "none: no policy is loaded, so everything labelled is refused"
  }

  private static func programs(_ status: Status) -> String {
    let missing = status.programs.filter { $0.value == "not attached" }.keys.sorted()
    guard !status.programs.isEmpty else { return "none" }
    let attached = status.programs.count - missing.count
    return "\(attached) of \(status.programs.count) attached"
      + (missing.isEmpty ? "" : "; missing: " + missing.joined(separator: ", "))
  }

  private static func text(_ status: Status) -> String {
    let gone = status.enforcing ? "gone; enforcement stays as it was left" : "gone"
    let agent =
      switch status.agent {
      case "running": "running, pid \(status.agentPid ?? 0)"
      case "silent": "pid \(status.agentPid ?? 0) does not answer; it may be stopped or busy"
      default: gone
      }
    var lines = [
      ("enforcing", status.enforcing ? "yes" : "no"),
      ("agent", agent),
      ("datapath", (status.datapath ?? "none") + (status.view == "mark" ? ", mark view" : "")),
      ("cgroup", status.cgroup), ("generation", String(status.generation)),
      ("policy", status.policy ?? ""),
      ("rules", String(status.rules)), ("workloads", String(status.workloads)),
      ("identities", String(status.identities)), ("cells", "\(status.cells) of \(status.cellLimit)"),
      ("connections cut", String(status.revoked)), ("failures", String(status.failures)),
      ("records lost", status.recordsLost.map { String($0) } ?? "unknown"), ("pins", status.pins),
      ("programs", programs(status)),
    ]
    lines += status.pinFaults.map { ("PINS LOST", $0) }
    if status.pinRepairs > 0 {
      lines.append(("pins restored", "\(status.pinRepairs) times after others had removed them"))
    }
    if status.reattached > 0 {
      lines.append(
        ("reattached", "\(status.reattached) programs that others had detached: what passed meanwhile was not judged"))
    }
    lines += status.shares.lines
    if let mirror = status.mirror { lines.append(("cgroups", mirror)) }
    lines += status.unpoliced.map { ("not enforced", $0) }
    if status.repairs > 0 {
      lines.append(("rules restored", "\(status.repairs) times after others had changed them"))
    }
    if !status.events.isEmpty {
      lines.append(("events", status.events + (status.eventsLost == 0 ? "" : "; \(status.eventsLost) lost")))
    }
    if !status.executions.isEmpty { lines.append(("executions", status.executions)) }
    if status.ended > 0 {
      lines.append(("ended workloads", "\(status.ended) in force until their last socket is closed"))
    }
    if status.endedLetGoEarly > 0 {
      lines.append(("ended workloads let go", "\(status.endedLetGoEarly) early: there were too many"))
    }
    if status.staleSockets > 0 {
      lines.append(
        ("stale sockets", "\(status.staleSockets) made before their process was placed keep the identity they had"))
    }
    for source in status.sources where source.answered + source.failed > 0 || source.fault != nil {
      lines.append(("source \(source.name)", source.text))
    }
    if let error = status.lastError { lines.append(("last error", error)) }
    lines += status.policyErrors.map { ("policy error", $0) }
    lines += status.warnings.map { ("warning", $0) }
    let unmatched = status.unmatched ?? []
    lines += unmatched.prefix(5).map { ("matches nothing", $0) }
    if unmatched.count > 5 { lines.append(("", "and \(unmatched.count - 5) more: `sallyport status -o json`")) }
    let width = lines.map(\.0.count).max() ?? 0
    return lines.map { $0.0 + String(repeating: " ", count: width + 2 - $0.0.count) + $0.1 + "\n" }.joined()
  }
}
