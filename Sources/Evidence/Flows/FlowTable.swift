// Flow records as lines of fixed columns, so that they can be shown while they come in.

/// Shows flow lines under one header; each line stands alone, so nothing has to be held back.
public struct FlowTable: Sendable {
  private static let fixed: [(title: String, width: Int)] = [
    ("TIME", 12), ("EVENT", 7), ("VERDICT", 7), ("DIR", 3),
  ]
  private static let shares: [(title: String, least: Int, share: Int)] = [
    ("FROM", 14, 3), ("TO", 14, 3), ("PORT", 8, 0), ("DECIDED BY", 12, 2), ("PROCESS", 10, 1), ("DETAIL", 20, 3),
  ]

  private let columns: [Table.Column]
  private let widths: [Int]

  /// A table for a terminal of `width` columns; narrow ones get the least widths that still say something.
  public init(width: Int = 160) {
    var widths = Self.fixed.map(\.width) + Self.shares.map(\.least)
    let gaps = 2 * (widths.count - 1)
    var spare = max(width - widths.reduce(0, +) - gaps, 0)
    let total = Self.shares.reduce(0) { $0 + $1.share }
    let extra = spare
    for (index, column) in Self.shares.enumerated() {
      let more = min(extra * column.share / total, spare)
      widths[Self.fixed.count + index] += more
      spare -= more
    }
    self.widths = widths
    columns = (Self.fixed.map(\.title) + Self.shares.map(\.title)).map { Table.Column($0) }
  }

  /// The titles.
  public var header: String { Table.line(columns.map(\.title), columns, widths) }

  /// One record.
  public func line(_ flow: FlowLine) -> String {
    let cells = [
      String(flow.time.dropFirst(11).prefix(12)), flow.event, flow.verdict,
      flow.direction == "outgoing" ? "out" : "in", Self.end(flow.source), Self.end(flow.destination),
      Self.port(flow), Self.decision(flow), Self.process(flow), Self.detail(flow),
    ]
    return Table.line(cells.map { $0.isEmpty ? "-" : $0.shownSafely }, columns, widths)
  }

  private static func end(_ end: FlowLine.End) -> String {
    let name = end.name
    return name.isEmpty || name == "world" || name == "unknown" ? end.address : name
  }

  private static func port(_ flow: FlowLine) -> String {
    if let type = flow.icmpType { return "\(flow.protocol)/\(type)" }
    return flow.destination.port.map { "\(flow.protocol)/\($0)" } ?? flow.protocol
  }

  private static func decision(_ flow: FlowLine) -> String {
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
