// The kernel's counters for people, for programs and for Prometheus.

package import Enforcement
internal import JSON
internal import Kernel
internal import Policy

/// What was judged, why, and what evidence was lost.
package struct Counters: Sendable {
  /// One counter of one workload that is not zero.
  package struct Row: Sendable, Equatable {
    /// The workload's cgroup path; `host` for what runs outside of every workload.
    package var workload: String
    /// `outgoing` or `incoming`.
    package var direction: String
    /// `rule`, `default`, `local`, `excluded`, `invalid`, `error`, `unlabelled` (of its children), `sender`, `ambiguous`; or
    /// `observed`, `revoked`, `evicted`, `records-lost`.
    package var reason: String
    /// `allow` or `reject`; `-` for what is no verdict.
    package var verdict: String
    /// How many packets, calls or conversations.
    package var count: UInt64
  }

  /// All rows, by workload, direction and reason.
  package let rows: [Row]
  /// How many conversations of UDP, ICMP and others each workload holds, most first.
  package struct Holder: Sendable, Equatable {
    /// The workload's cgroup path; `host` for what runs outside of every workload.
    package var workload: String
    /// Who began: `outgoing` = the workload.
    package var direction: String
    /// How many.
    package var held: Int
  }

  /// Who holds conversations, most first.
  package let holders: [Holder]
  /// The datapath's own counters, by name.
  package let statistics: [(name: String, value: UInt64, meaning: String)]

  /// Names the counters; a workload that the snapshot does not know is shown by its cgroup id.
  package init(_ counters: DatapathCounters, snapshot: Snapshot) {
    let paths = Dictionary(
      (snapshot.workloads + (snapshot.ended ?? [])).map { ($0.cgroup, $0.path) }, uniquingKeysWith: { $1 })
    let named = counters.workloads.map { (paths[$0] ?? "cgroup \($0.rawValue)", $1) }.sorted { $0.0 < $1.0 }
    rows = ([("host", counters.host)] + named).flatMap { Self.rows($0.0, $0.1) }
    holders = counters.conversations.map { share in
      let name = share.workload.map { paths[$0] ?? "cgroup \($0.rawValue)" } ?? "host"
      return Holder(workload: name, direction: share.direction.description, held: share.held)
    }
    let kernel = counters.statistics
    statistics = [
      ("records", kernel.records, "Records written to the ring buffer."),
      ("records_lost", kernel.recordsLost, "Records lost because the ring buffer was full."),
      (
        "records_suppressed", kernel.recordsSuppressed,
        "Refusals not recorded: the same one was recorded within the second before."
      ),
      (
        "conversations_full", kernel.conversationsFull,
        "Packets judged as a new conversation because the conversation table was full."
      ),
      ("conversations_evicted", kernel.evicted, "Conversations ended early to make room for others."),
      ("senders_failed", kernel.sendersFailed, "Source identities that could not be passed to the receiver."),
      (
        "senders_ambiguous", kernel.sendersAmbiguous,
        "Packets refused because another workload sends from the same address and port."
      ),
      ("table_missing", kernel.tableMissing, "Packets refused because a kernel table was missing."),
    ]
  }

  private static func rows(_ workload: String, _ counts: WorkloadCounts) -> [Row] {
    var rows: [Row] = []
    for direction in [Direction.outgoing, .incoming] {
      func add(_ reason: String, _ verdict: String, _ count: UInt64) {
        guard count > 0 else { return }
        rows.append(
          Row(
            workload: workload, direction: direction.description, reason: reason, verdict: verdict, count: count))
      }
      for reason in FlowEvent.DecidedBy.allCases where reason != .nothing {
        add("\(reason.name)", "allow", counts[direction, reason, refused: false])
        add("\(reason.name)", "reject", counts[direction, reason, refused: true])
      }
      add("observed", "-", counts.observed(direction))
      add("revoked", "-", counts.revoked(direction))
      add("evicted", "-", counts.evicted(direction))
    }
    if counts.recordsLost > 0 {
      rows.append(
        Row(workload: workload, direction: "-", reason: "records-lost", verdict: "-", count: counts.recordsLost))
    }
    return rows
  }

  /// The rows, who holds conversations, then the losses, as tables.
  package func text(width: Int? = nil) -> String {
    var table = Table(columns: [
      .init("WORKLOAD", minimum: 12), .init("DIRECTION"), .init("REASON"), .init("VERDICT"),
      .init("COUNT", rightAligned: true),
    ])
    for row in rows {
      table.add([
        row.workload, row.direction, row.reason, row.reason == "observed" ? "would-change" : row.verdict,
        "\(row.count)",
      ])
    }
    var own = Table(columns: [.init("DATAPATH"), .init("COUNT", rightAligned: true), .init("MEANING", minimum: 12)])
    for (name, value, meaning) in statistics { own.add([name, "\(value)", meaning]) }
    var held = Table(columns: [
      .init("CONVERSATIONS OF", minimum: 12), .init("DIRECTION"), .init("HELD", rightAligned: true),
    ])
    for holder in holders { held.add([holder.workload, holder.direction, "\(holder.held)"]) }
    return [table, held, own].filter { $0.count > 0 }.map { $0.text(width: width) }.joined(separator: "\n")
  }

  /// `{"workloads":[…],"conversations":[…],"datapath":{…}}` and a newline.
  package var json: String {
    var json = JSONWriter()
    json.raw("{\"workloads\":[")
    for (index, row) in rows.enumerated() {
      json.raw(index == 0 ? "{\"workload\":" : ",{\"workload\":")
      json.string(row.workload)
      if row.direction != "-" {
        json.raw(",\"direction\":")
        json.string(row.direction)
      }
      json.raw(",\"reason\":")
      json.string(row.reason)
      if row.verdict != "-" {
        json.raw(",\"verdict\":")
        json.string(row.verdict)
      }
      json.raw(",\"count\":")
      json.number(row.count)
      json.raw("}")
    }
    json.raw("],\"conversations\":[")
    for (index, holder) in holders.enumerated() {
      json.raw(index == 0 ? "{\"workload\":" : ",{\"workload\":")
      json.string(holder.workload)
      json.raw(",\"direction\":")
      json.string(holder.direction)
      json.raw(",\"held\":")
      json.number(UInt64(holder.held))
      json.raw("}")
    }
    json.raw("],\"datapath\":{")
    for (index, (name, value, _)) in statistics.enumerated() {
      if index > 0 { json.raw(",") }
      json.string(name)
      json.raw(":")
      json.number(value)
    }
    json.raw("}}\n")
    return String(decoding: json.bytes, as: UTF8.self)
  }

  /// OpenMetrics 1.0 text, ended by `# EOF`.
  package var openMetrics: String {
    var text = "# TYPE sallyport_verdicts counter\n# HELP sallyport_verdicts Verdicts by workload and reason.\n"
    for row in rows where row.verdict != "-" {
      text +=
        "sallyport_verdicts_total{\(Self.labels(row)),verdict=\"\(row.verdict)\"} \(row.count)\n"
    }
    for (reason, help) in [
      ("observed", "Verdicts that an observed rule or workload would have changed."),
      ("revoked", "Conversations ended because policy no longer allows them."),
      ("evicted", "Conversations of a workload ended early: its share was used up."),
      ("records-lost", "Records of a workload that did not fit the ring or its share of it."),
    ] {
      let name = reason == "records-lost" ? "workload_records_lost" : reason
      text += "# TYPE sallyport_\(name) counter\n# HELP sallyport_\(name) \(help)\n"
      for row in rows where row.reason == reason {
        text += "sallyport_\(name)_total{\(Self.labels(row))} \(row.count)\n"
      }
    }
    text += "# TYPE sallyport_conversations gauge\n# HELP sallyport_conversations Conversations held, by workload.\n"
    for holder in holders {
      text += "sallyport_conversations{workload=\"\(holder.workload.openMetricsEscaped)\","
      text += "direction=\"\(holder.direction)\"} \(holder.held)\n"
    }
    for (name, value, meaning) in statistics {
      text += "# TYPE sallyport_\(name) counter\n# HELP sallyport_\(name) \(meaning)\n"
      text += "sallyport_\(name)_total \(value)\n"
    }
    return text + "# EOF\n"
  }

  private static func labels(_ row: Row) -> String {
    let reason = row.verdict == "-" ? "" : ",reason=\"\(row.reason)\""
    let direction = row.direction == "-" ? "" : ",direction=\"\(row.direction)\""
    return "workload=\"\(row.workload.openMetricsEscaped)\"\(direction)\(reason)"
  }
}

extension String {
  /// A label's value: backslash, quote and newline are escaped, other control characters cannot be said and become `?`.
  var openMetricsEscaped: String {
    var result = ""
    for scalar in unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\"": result += "\\\""
      case "\n": result += "\\n"
      case _ where scalar.isUnsafeToShow: result += "?"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
