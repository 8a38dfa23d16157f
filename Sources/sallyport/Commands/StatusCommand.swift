// `sallyport status`: is anything enforced, by whom, since when, and what went wrong.
internal import ArgumentParser
internal import Enforcement
internal import Evidence
internal import Kernel

struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show enforcement and agent status.",
    discussion: "Ends with 0 when policy is enforced, even if the agent is gone, and with 3 when it is not.")

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
    let snapshot = try state.snapshot()
    let living = (try? state.client.ask(ControlRequest(.status)))?.agent
    let report = living ?? state.report()
    // The kernel is believed; without the privilege to look, the snapshot's word is taken.
    var kernel: PinnedInspection?
    var isReadable = true
    do { kernel = try PinnedInspection.read(state: StateDirectory(state.state)) } catch { isReadable = false }
    let ended = snapshot.ended?.count ?? 0
    let programs =
      (kernel?.attached ?? []).map { ($0, "attached") } + (kernel?.missing ?? []).map { ($0, "not attached") }
    let status = Status(
      enforcing: isReadable ? kernel?.isEnforcing ?? false : snapshot.attached,
      agent: living == nil ? "gone" : "running", agentPid: living?.pid,
      datapath: living?.datapath ?? kernel?.kind.rawValue, view: kernel?.view?.rawValue,
      unpoliced: living.map { $0.unpoliced + ($0.socketsUnowned.map { [$0] } ?? []) }, repairs: living?.repairs,
      generation: kernel?.generation ?? snapshot.generation, cgroup: snapshot.cgroup,
      mirror: report?.mirror,
      workloads: max(0, (kernel?.workloads.count).map { $0 - ended } ?? snapshot.workloads.count),
      ended: ended, endedLetGoEarly: living?.endedLetGoEarly,
      identities: snapshot.identities.count,
      rules: snapshot.rules.count, cells: kernel?.cells ?? snapshot.cells,
      cellLimit: kernel?.limits.cells ?? snapshot.cellLimit, pins: snapshot.pins,
      programs: Dictionary(programs, uniquingKeysWith: { first, _ in first }),
      recordsLost: kernel?.counters.statistics.recordsLost,
      shares: SharesReport(kernel?.counters, snapshot, report), policy: report?.policyPath,
      policyErrors: report?.policyError ?? [], lastError: snapshot.lastError,
      failures: max(snapshot.failures, report?.failures ?? 0), revoked: report?.revoked ?? 0,
      events: living?.events, eventsLost: living?.eventsLost, executions: living?.executions,
      staleSockets: living?.staleSockets, sources: living?.sources ?? [],
      warnings: report?.warnings ?? snapshot.warnings)
    try options.print(status) { Self.text(status) }
    if !status.enforcing { throw ExitCode(ExitStatus.notEnforcing.rawValue) }
  }

  private static func programs(_ status: Status) -> String {
    let missing = status.programs.filter { $0.value == "not attached" }.keys.sorted()
    guard !status.programs.isEmpty else { return "unknown: run as root" }
    let attached = status.programs.count - missing.count
    return "\(attached) of \(status.programs.count) attached"
      + (missing.isEmpty ? "" : "; missing: " + missing.joined(separator: ", "))
  }

  private static func text(_ status: Status) -> String {
    let gone = status.enforcing ? "gone; enforcement stays as it was left" : "gone"
    var lines = [
      ("enforcing", status.enforcing ? "yes" : "no"),
      ("agent", status.agentPid.map { "running, pid \($0)" } ?? gone),
      ("datapath", (status.datapath ?? "unknown: run as root") + (status.view == "told" ? ", told view" : "")),
      ("cgroup", status.cgroup), ("generation", String(status.generation)),
      ("policy", status.policy ?? "applied by hand"),
      ("rules", String(status.rules)), ("workloads", String(status.workloads)),
      ("identities", String(status.identities)), ("cells", "\(status.cells) of \(status.cellLimit)"),
      ("connections cut", String(status.revoked)), ("failures", String(status.failures)),
      ("records lost", status.recordsLost.map { String($0) } ?? "unknown: run as root"), ("pins", status.pins),
      ("programs", programs(status)),
    ]
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
