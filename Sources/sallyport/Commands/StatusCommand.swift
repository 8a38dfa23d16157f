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

  /// What is printed as a document.
  struct Status: Encodable {
    var enforcing: Bool
    var agent: String
    var agentPid: Int32?
    var datapath: String?
    /// Of the netfilter datapath: exact or told.
    var view: String?
    var unpoliced: [String]?
    var repairs: Int?
    var generation: UInt32
    var cgroup: String
    /// Of a host that mounts version 1 alone.
    var mirror: String?
    var workloads: Int
    /// Those whose cgroups are gone; not counted among the workloads.
    var ended: Int
    var endedLetGoEarly: Int?
    var identities: Int
    var rules: Int
    var cells: Int
    var cellLimit: Int
    var pins: String
    /// Why enforcement would end with the agent.
    var pinFaults: [String]
    var pinRepairs: Int?
    var reattached: Int?
    var programs: [String: String]
    var recordsLost: UInt64?
    var shares: SharesReport
    var policy: String?
    var policyErrors: [String]
    var lastError: String?
    var failures: Int
    var revoked: Int
    var events: String?
    var eventsLost: UInt64?
    var executions: String?
    var staleSockets: Int?
    var sources: [SourceReport]
    var warnings: [String]
  }

  func run() throws {
    if coverage { return try CoverageOutput.print(state, options) }
    try state.requireReadable()
    let (written, unusable) = state.readable()
    let asked = Result { try state.client.ask(ControlRequest(.status), within: 5) }
    let living = try? asked.get().agent
    let report = living ?? state.report()
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
    let status = Status(
      enforcing: standing.isEnforcing,
      agent: living == nil ? standing.holder == nil ? "gone" : "silent" : "running",
      agentPid: living?.pid ?? standing.holder,
      datapath: living?.datapath ?? kernel?.kind.rawValue, view: kernel?.view?.rawValue,
      unpoliced: living.map { $0.unpoliced + ($0.socketsUnowned.map { [$0] } ?? []) }, repairs: living?.repairs,
      generation: kernel?.generation ?? snapshot.generation,
      cgroup: written?.cgroup ?? report?.cgroup ?? "",
      mirror: report?.mirror,
      workloads: max(0, (kernel?.workloads.count).map { $0 - ended } ?? snapshot.workloads.count),
      ended: ended, endedLetGoEarly: living?.endedLetGoEarly,
      identities: snapshot.identities.count,
      rules: snapshot.rules.count, cells: kernel?.cells ?? snapshot.cells,
      cellLimit: kernel?.limits.cells ?? snapshot.cellLimit, pins: written?.pins ?? standing.pins,
      pinFaults: standing.faults + (living?.pinFaults ?? []), pinRepairs: living?.pinRepairs,
      reattached: living?.reattached,
      programs: Dictionary(programs, uniquingKeysWith: { first, _ in first }),
      recordsLost: kernel?.counters.statistics.recordsLost,
      shares: SharesReport(kernel?.counters, snapshot, report),
      policy: report?.policyPath ?? Self.policy(written, kernel),
      policyErrors: report?.policyError ?? [], lastError: snapshot.lastError,
      failures: max(snapshot.failures, report?.failures ?? 0), revoked: report?.revoked ?? 0,
      events: living?.events, eventsLost: living?.eventsLost, executions: living?.executions,
      staleSockets: living?.staleSockets, sources: living?.sources ?? [],
      warnings: (report?.warnings ?? snapshot.warnings) + (unusable.map { [$0] } ?? []))
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
    if let repairs = status.pinRepairs, repairs > 0 {
      lines.append(("pins restored", "\(repairs) times after others had removed them"))
    }
    if let count = status.reattached, count > 0 {
      lines.append(("reattached", "\(count) programs that others had detached: what passed meanwhile was not judged"))
    }
    lines += status.shares.lines
    if let mirror = status.mirror { lines.append(("cgroups", mirror)) }
    lines += (status.unpoliced ?? []).map { ("not enforced", $0) }
    if let repairs = status.repairs, repairs > 0 {
      lines.append(("rules restored", "\(repairs) times after others had changed them"))
    }
    if let events = status.events {
      lines.append(("events", events + (status.eventsLost.map { $0 == 0 ? "" : "; \($0) lost" } ?? "")))
    }
    if let executions = status.executions, !executions.isEmpty { lines.append(("executions", executions)) }
    if status.ended > 0 {
      lines.append(("ended workloads", "\(status.ended) in force until their last socket is closed"))
    }
    if let early = status.endedLetGoEarly, early > 0 {
      lines.append(("ended workloads let go", "\(early) early: there were too many"))
    }
    if let sockets = status.staleSockets, sockets > 0 {
      lines.append(("stale sockets", "\(sockets) made before their process was placed keep the identity they had"))
    }
    for source in status.sources where source.answered + source.failed > 0 || source.fault != nil {
      lines.append(("source \(source.name)", source.text))
    }
    if let error = status.lastError { lines.append(("last error", error)) }
    lines += status.policyErrors.map { ("policy error", $0) }
    lines += status.warnings.map { ("warning", $0) }
    let width = lines.map(\.0.count).max() ?? 0
    return lines.map { $0.0 + String(repeating: " ", count: width + 2 - $0.0.count) + $0.1 + "\n" }.joined()
  }
}
