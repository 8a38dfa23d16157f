// Flow records as lines of fixed columns, so that they can be shown while they come in.

internal import Enforcement

/// Shows flow lines under one header; each line stands alone, so nothing has to be held back.
package struct FlowTable: Sendable {
  /// A column: its title, its least width, its share of what is left, and the order in which columns go when the
  /// terminal is too narrow for all.
  private struct Column {
    var title: String
    var least: Int
    var share = 0
    var goes = Int.max
    /// Whether its cells stay whole: what does not fit is taken from those that may be cut.
    var isWhole = false
    var cell: @Sendable (FlowLine, FlowEndNames) -> String
  }

  private static let all: [Column] = [
    Column(title: "TIME", least: 12) { flow, _ in String(flow.time.dropFirst(11).prefix(12)) },
    Column(title: "EVENT", least: 7) { flow, _ in flow.event },
    Column(title: "VERDICT", least: 7, isWhole: true) { flow, _ in flow.wouldBeRefused ? "would-refuse" : flow.verdict
    },
    Column(title: "DIR", least: 3, goes: 2) { flow, _ in flow.direction == "outgoing" ? "out" : "in" },
    Column(title: "FROM", least: 12, share: 3, isWhole: true) { flow, names in names.name(of: flow.source) },
    Column(title: "TO", least: 12, share: 3, isWhole: true) { flow, names in names.name(of: flow.destination) },
    Column(title: "PORT", least: 8, isWhole: true) { flow, _ in port(flow) },
    Column(title: "DECIDED BY", least: 10, share: 2) { flow, _ in decision(flow) },
    Column(title: "PROCESS", least: 8, share: 1, goes: 1) { flow, _ in process(flow) },
    Column(title: "DETAIL", least: 8, share: 3, goes: 0) { flow, _ in detail(flow) },
  ]

  private let shown: [Column]
  private let columns: [Table.Column]
  private let widths: [Int]
  private let names: FlowEndNames

  /// A table for a terminal of `width` columns; below 105 it leaves out details, then processes, then directions.
  package init(width: Int = 160, names: FlowEndNames = FlowEndNames()) {
    self.names = names
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
  package var header: String { Table.line(columns.map(\.title), columns, widths) }

  /// One record.
  package func line(_ flow: FlowLine) -> String {
    let cells = shown.map { $0.cell(flow, names) }.map { $0.isEmpty ? "-" : $0.shownSafely }
    var fitted = widths
    var excess = 0
    for index in shown.indices where shown[index].isWhole && cells[index].columnWidth > widths[index] {
      excess += cells[index].columnWidth - widths[index]
      fitted[index] = cells[index].columnWidth
    }
    // What those that stay whole need more is taken from the right, down to a column's title.
    for index in shown.indices.reversed() where excess > 0 && !shown[index].isWhole && index > 2 {
      let given = min(excess, max(fitted[index] - shown[index].title.utf8.count, 0))
      fitted[index] -= given
      excess -= given
    }
    // On a terminal too narrow for that, a name is cut after all rather than the line broken.
    for index in shown.indices where excess > 0 && shown[index].isWhole {
      let given = min(excess, max(fitted[index] - shown[index].least, 0))
      fitted[index] -= given
      excess -= given
    }
    return Table.line(cells, columns, fitted)
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
    if flow.peerSide == true { parts.append("by the peer's policy") }
    if let observed = flow.observed, !flow.wouldBeRefused { parts.append("observed: \(observed.action)") }
    if flow.wouldBeRefused, let rule = flow.observed?.rule {
      parts.append("by \(rule.ruleSet)/" + (rule.name.isEmpty ? "[\(rule.position)]" : rule.name))
    }
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
