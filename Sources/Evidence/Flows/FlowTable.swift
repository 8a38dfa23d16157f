// Flow records as lines of fixed columns, so that they can be shown while they come in.

internal import Enforcement

/// Shows flow lines under one header; each line stands alone, so nothing has to be held back.
public struct FlowTable: Sendable {
  /// A column: its title, its least width, its share of what is left, and the order in which columns go when the
  /// terminal is too narrow for all.
  private struct Column {
    var title: String
    var least: Int
    var share = 0
    var goes = Int.max
    var cell: @Sendable (FlowLine) -> String
  }

  private static let all: [Column] = [
    Column(title: "TIME", least: 12) { String($0.time.dropFirst(11).prefix(12)) },
    Column(title: "EVENT", least: 7) { $0.event },
    Column(title: "VERDICT", least: 7) { $0.verdict },
    Column(title: "DIR", least: 3, goes: 2) { $0.direction == "outgoing" ? "out" : "in" },
    Column(title: "FROM", least: 12, share: 3) { end($0.source) },
    Column(title: "TO", least: 12, share: 3) { end($0.destination) },
    Column(title: "PORT", least: 8, cell: port),
    Column(title: "DECIDED BY", least: 10, share: 2, cell: decision),
    Column(title: "PROCESS", least: 8, share: 1, goes: 1, cell: process),
    Column(title: "DETAIL", least: 8, share: 3, goes: 0, cell: detail),
  ]

  private let shown: [Column]
  private let columns: [Table.Column]
  private let widths: [Int]

  /// A table for a terminal of `width` columns; below 105 it leaves out details, then processes, then directions.
  public init(width: Int = 160) {
    var shown = Self.all
    func least() -> Int { shown.reduce(0) { $0 + $1.least } + 2 * (shown.count - 1) }
    while least() > width, let first = shown.indices.min(by: { shown[$0].goes < shown[$1].goes }),
      shown[first].goes < Int.max
    {
      shown.remove(at: first)
    }
    let spare = max(width - least(), 0)
    let shares = max(shown.reduce(0) { $0 + $1.share }, 1)
    widths = shown.map { $0.least + spare * $0.share / shares }
    columns = shown.map { Table.Column($0.title) }
    self.shown = shown
  }

  /// The titles.
  public var header: String { Table.line(columns.map(\.title), columns, widths) }

  /// One record.
  public func line(_ flow: FlowLine) -> String {
    let cells = shown.map { $0.cell(flow) }
    return Table.line(cells.map { $0.isEmpty ? "-" : $0.shownSafely }, columns, widths)
  }

  private static func end(_ end: FlowLine.End) -> String {
    let name = end.name
    // A socket that is not bound yet has no address to tell it by.
    if name == "unknown", end.address == "::" || end.address == "0.0.0.0" { return name }
    return name.isEmpty || name == "world" || name == "unknown" ? end.address : name
  }

  private static func port(_ flow: FlowLine) -> String {
    if let type = flow.icmpType { return "\(flow.protocol)/\(type)" }
    return flow.destination.port.map { "\(flow.protocol)/\($0)" } ?? flow.protocol
  }

  private static func decision(_ flow: FlowLine) -> String {
    if flow.decidedBy == FlowEvent.DecidedBy.unlabelled.name.description {
      let subject = flow.direction == "outgoing" ? flow.source : flow.destination
      return "unlabelled child of \(subject.workload ?? "a workload")"
    }
    guard let rule = flow.rule else { return flow.decidedBy ?? (flow.incomplete == true ? "lost" : "") }
    return "\(rule.ruleSet)/" + (rule.name.isEmpty ? "[\(rule.position)]" : rule.name)
  }

  private static func process(_ flow: FlowLine) -> String {
    flow.process.map { "\($0.comm)[\($0.pid)]" } ?? ""
  }

  private static func detail(_ flow: FlowLine) -> String {
    var parts: [String] = []
    if flow.revoked == true { parts.append("revoked") }
    if flow.failed == true { parts.append("failed") }
    if flow.peerSide == true { parts.append("by the other end's policy") }
    if let observed = flow.observed { parts.append("observed: \(observed.action)") }
    if let bytes = flow.bytes {
      parts.append("\(HumanUnits.bytes(bytes.sent)) out, \(HumanUnits.bytes(bytes.received)) in")
    }
    if let duration = flow.duration { parts.append(HumanUnits.duration(nanoseconds: duration)) }
    if flow.event == "open", let rtt = flow.rtt {
      parts.append("rtt \(HumanUnits.duration(nanoseconds: UInt64(rtt) * 1000))")
    }
    return parts.joined(separator: ", ")
  }
}
