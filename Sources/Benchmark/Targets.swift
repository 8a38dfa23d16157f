// What Sallyport promises of its own cost, beside what a run found.

/// One promise, and whether a run kept it.
package struct TargetRow: Sendable, Equatable {
  /// Whether a target was met.
  package enum Outcome: String, Sendable {
    /// The whole spread keeps it.
    case met
    /// The whole spread misses it.
    case missed
    /// The limit lies within the spread, or there are too few batches.
    case open
    /// This run does not say.
    case unmeasured = "not measured"
  }

  /// `P1` … `P12`.
  package let id: String
  /// What is measured.
  package let measure: String
  /// What is promised.
  package let target: String
  /// What was found, as a number.
  package let measured: Double?
  /// How far that may be off.
  package let spread: Interval?
  /// Digits after the point.
  package let digits: Int
  /// How many times the limit it is; nil if there is none.
  package let ratio: Double?
  /// What that means.
  package let outcome: Outcome
}

/// The twelve promises.
///
/// `docs/PERFORMANCE.md` says what each means.
package struct Targets: Sendable {
  /// The promises, in order.
  package let rows: [TargetRow]

  /// The names by which workloads, contestants and quantities are known to promises.
  package enum Names {
    /// The part of a run in which contestants are compared.
    package static let sockets = "mechanisms"
    /// The part in which the size of the policy changes.
    package static let sizes = "policy sizes"
    /// The family of contestants whose promises these are.
    package static let own = "sallyport cgroup"
    /// The family of the former way: a program in user space judges the first packet.
    package static let queue = "NFQUEUE, first packets"
  }

  /// What a run says of them.
  package init(_ results: Results) {
    let reader = TargetReader(results)
    rows = [
      reader.added("P1", "established TCP, ping-pong: added ÷ empty programs'", "tcp-pingpong", limit: 1.3),
      reader.added("P1", "established TCP, 64 KiB stream: added ÷ empty programs'", "stream", limit: 1.3),
      reader.throughput("P1", "64 KiB stream: rate ÷ nothing's", "stream", least: 0.99),
      reader.added("P2", "UDP packet, there and back: added ÷ empty programs'", "udp-pingpong", limit: 1.6),
      reader.overFloor("P3", "connect, accept, close on one host ÷ empty programs", "connect", limit: 1.05),
      reader.unmeasured(
        "P4", "the same between two hosts, identity authenticated ÷ empty programs",
        "≤ 1.10; hosts do not authenticate to each other yet"),
      reader.overQueue("P4", "connect: NFQUEUE's added cost ÷ Sallyport's", "connect", least: 10),
      reader.sizes("P5", "connect: largest ÷ smallest policy", "connect", limit: 1.03),
      reader.sizes("P5", "TCP ping-pong: largest ÷ smallest policy", "tcp-pingpong", limit: 1.03),
      reader.sizes("P5", "UDP: largest ÷ smallest policy", "udp-pingpong", limit: 1.03),
      reader.absolute("P6", "refused connect(), µs", "refused-locally", limit: 5),
      reader.quantity("P7", "compile 10,000 rules × 100,000 identities, ms", "compile", limit: 1000, digits: 0),
      reader.quantity("P7", "publish a difference of 16,000 entries, ms", "publish 16000", limit: 10, digits: 1),
      reader.quantity("P8", "one new identity, µs of the agent", "one identity", limit: 100, digits: 1),
      reader.quantity("P9", "cgroup made to classified, p99, µs", "classified p99", limit: 1000, digits: 0),
      reader.quantity("P9", "storm of cgroups: lost or missed", "storm lost", limit: 0, digits: 0),
      reader.quantity("P10", "policy tightened to 10,000 flows cut, ms", "revocation", limit: 100, digits: 1),
      reader.quantity("P11", "flow records a second and core", "records", limit: 1_000_000, digits: 0, isLeast: true),
      reader.quantity("P12", "agent resident, MiB", "agent resident", limit: 30, digits: 1),
      reader.quantity("P12", "agent's start to enforcing, ms", "agent start", limit: 150, digits: 0),
    ]
  }

  /// For people.
  package var table: ReportTable {
    ReportTable(
      "Targets", columns: ["id", "measure", "target", "measured", "spread", "÷ target", "is"],
      rows: rows.map { row in
        [
          .text(row.id), .text(row.measure), .text(row.target), .number(row.measured, digits: row.digits),
          row.spread.map { .text($0.shown(row.digits)) } ?? .none, .number(row.ratio, digits: 2),
          .text(row.outcome.rawValue),
        ]
      })
  }
}

/// Finds in results what a promise is about.
private struct TargetReader {
  let results: Results

  init(_ results: Results) { self.results = results }

  /// Sallyport's contestant of a part: the largest of its family.
  private func own(_ section: String, family: String = Targets.Names.own) -> String? {
    let present = Set(results.measurements.filter { $0.section == section }.map(\.contestant))
    return results.entrants.filter { $0.family == family && present.contains($0.name) }
      .max { $0.size ?? 0 < $1.size ?? 0 }?.name
  }

  func unmeasured(_ id: String, _ measure: String, _ target: String) -> TargetRow {
    TargetRow(
      id: id, measure: measure, target: target, measured: nil, spread: nil, digits: 0, ratio: nil, outcome: .unmeasured)
  }

  private func row(
    _ id: String, _ measure: String, _ estimate: Estimate?, limit: Double, digits: Int, isLeast: Bool = false
  ) -> TargetRow {
    let shown = limit == limit.rounded() ? limit.fixed(0) : limit.fixed(2)
    let target = "\(isLeast ? "≥" : "≤") \(shown)"
    guard let estimate else { return unmeasured(id, measure, target) }
    let spread = estimate.spread
    let outcome: TargetRow.Outcome =
      if !estimate.isBounded { .open } else if isLeast {
        spread.low >= limit ? .met : spread.high < limit ? .missed : .open
      } else { spread.high <= limit ? .met : spread.low > limit ? .missed : .open }
    return TargetRow(
      id: id, measure: measure, target: target, measured: estimate.value, spread: spread, digits: digits,
      ratio: limit == 0 ? nil : estimate.value / limit, outcome: outcome)
  }

  func added(_ id: String, _ measure: String, _ workload: String, limit: Double) -> TargetRow {
    let section = Targets.Names.sockets
    return row(
      id, measure, own(section).flatMap { results.added($0, workload, in: section) }, limit: limit, digits: 2)
  }

  func overFloor(_ id: String, _ measure: String, _ workload: String, limit: Double) -> TargetRow {
    let section = Targets.Names.sockets
    return row(
      id, measure, own(section).flatMap { results.ratioToFloor($0, workload, in: section) }, limit: limit, digits: 3)
  }

  /// How many units a second, beside the baseline.
  func throughput(_ id: String, _ measure: String, _ workload: String, least: Double) -> TargetRow {
    let section = Targets.Names.sockets
    let estimate = own(section).flatMap { own -> Estimate? in
      guard let base = results.baseline(of: section).flatMap({ results.measurement($0, workload, in: section) }),
        let own = results.measurement(own, workload, in: section)
      else { return nil }
      return Paired.ratio(base.cpu, to: own.cpu)
    }
    return row(id, measure, estimate, limit: least, digits: 3, isLeast: true)
  }

  /// How much more the former way adds than Sallyport: the queue in the place of "own", Sallyport in that of the floor.
  func overQueue(_ id: String, _ measure: String, _ workload: String, least: Double) -> TargetRow {
    let section = Targets.Names.sockets
    func cpu(_ name: String?) -> Batches? {
      name.flatMap { results.measurement($0, workload, in: section) }?.cpu
    }
    var estimate: Estimate?
    if let queue = cpu(own(section, family: Targets.Names.queue)), let own = cpu(own(section)),
      let base = cpu(results.baseline(of: section))
    {
      estimate = Paired.added(queue, over: own, base: base)
    }
    return row(id, measure, estimate, limit: least, digits: 1, isLeast: true)
  }

  /// The largest policy beside the smallest.
  func sizes(_ id: String, _ measure: String, _ workload: String, limit: Double) -> TargetRow {
    let section = Targets.Names.sizes
    let family = results.entrants.filter { $0.family == Targets.Names.own && $0.leftOut == nil }
      .sorted { $0.size ?? 0 < $1.size ?? 0 }
      .compactMap { results.measurement($0.name, workload, in: section) }
    guard family.count > 1, let smallest = family.first, let largest = family.last else {
      return row(id, measure, nil, limit: limit, digits: 3)
    }
    return row(id, measure, Paired.ratio(largest.cpu, to: smallest.cpu), limit: limit, digits: 3)
  }

  func absolute(_ id: String, _ measure: String, _ workload: String, limit: Double) -> TargetRow {
    let section = Targets.Names.sockets
    let own = own(section).flatMap { results.measurement($0, workload, in: section) }
    let estimate = own.flatMap { Estimate(of: $0.wall.map { $0.map { $0 / 1000 } }) }
    return row(id, measure, estimate, limit: limit, digits: 2)
  }

  /// One of the control plane: three repetitions that agree are enough, because each is a whole run of its own.
  func quantity(
    _ id: String, _ measure: String, _ name: String, limit: Double, digits: Int, isLeast: Bool = false
  ) -> TargetRow {
    let estimate = results.quantity(name).flatMap { Estimate(of: [$0.values]) }
      .map { Estimate(value: $0.value, spread: $0.spread, count: $0.count, isBounded: $0.count >= 3) }
    return row(id, measure, estimate, limit: limit, digits: digits, isLeast: isLeast)
  }
}
