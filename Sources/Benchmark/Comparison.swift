// Two runs side by side: what they agree on, what differs, and which program is to blame.

/// One quantity in both runs.
package struct ComparedRow: Sendable, Equatable {
  /// What two runs say of one quantity.
  package enum Outcome: String, Sendable {
    /// The spreads overlap, or the difference is too small to matter.
    case same
    /// The second run is dearer.
    case worse
    /// The second run is cheaper.
    case better
    /// One of the runs has too few batches to say.
    case unclear
  }

  /// What was measured.
  package let subject: String
  /// In which unit.
  package let unit: String
  /// In the first run.
  package let before: Estimate
  /// In the second run.
  package let after: Estimate
  /// What that means.
  package let outcome: Outcome

  init(
    _ subject: String, unit: String, _ before: Estimate, _ after: Estimate, least: Double, atLeast amount: Double = 0
  ) {
    self.subject = subject
    self.unit = unit
    self.before = before
    self.after = after
    let change = after.value - before.value
    let isSmall = change.magnitude <= least * before.value.magnitude || change.magnitude < amount
    outcome =
      if before.spread.overlaps(after.spread) || isSmall {
        before.isBounded && after.isBounded ? .same : .unclear
      } else if !(before.isBounded && after.isBounded) { .unclear } else { change > 0 ? .worse : .better }
  }

  /// How many times as much the second run is.
  package var change: Double { before.value == 0 ? .nan : after.value / before.value }
}

/// What differs between two runs.
package struct Comparison: Sendable {
  /// Work: ratios to the baseline of the same run, so that a slower machine does not show.
  package let work: [ComparedRow]
  /// Programs: the kernel's own nanoseconds per run, divided by those of an empty program at the same hook where one was
  /// measured in the same rounds: a slower machine does not show.
  package let programs: [ComparedRow]
  /// What only one of the runs has.
  package let unmatched: [String]
  /// What is not the same about the machine, so that little can be concluded.
  package let machine: [String]

  /// Compares the second run with the first.
  ///
  /// A difference counts if the 99 % spreads of the two have no point in common and the change is at least 2 % of a
  /// ratio, or 10 % of a program (and 5 ns, where there is no empty one at the same hook to divide it by): less is not
  /// seen by anybody, and no machine keeps it.
  package init(_ before: Results, _ after: Results) {
    var unmatched: [String] = []
    var work: [ComparedRow] = []
    for measurement in before.measurements {
      let (who, what, section) = (measurement.contestant, measurement.workload, measurement.section)
      guard who != before.baseline(of: section) else { continue }
      let subject = "\(section): \(what), \(who)"
      guard let one = before.ratio(who, what, in: section, level: Estimate.comparisonLevel) else { continue }
      guard let other = after.ratio(who, what, in: section, level: Estimate.comparisonLevel) else {
        unmatched.append("\(subject): only in the first run")
        continue
      }
      work.append(ComparedRow(subject, unit: "÷ nothing", one, other, least: 0.02))
    }
    for measurement in after.measurements
    where before.measurement(measurement.contestant, measurement.workload, in: measurement.section) == nil {
      unmatched.append(
        "\(measurement.section): \(measurement.workload), \(measurement.contestant): only in the second run")
    }
    self.work = work
    programs = before.programs.compactMap { program in
      let other = after.programs.first {
        $0.contestant == program.contestant && $0.workload == program.workload && $0.program == program.program
      }
      // Empty programs are what others are divided by.
      guard let other, !program.isEmptyProgram else { return nil }
      let subject = "\(program.program) of \(program.contestant), \(program.workload)"
      if let one = before.ratioToEmpty(program), let two = after.ratioToEmpty(other) {
        return ComparedRow(subject, unit: "÷ empty", one, two, least: 0.1)
      }
      guard let one = Estimate(of: program.nanoseconds, level: Estimate.comparisonLevel),
        let two = Estimate(of: other.nanoseconds, level: Estimate.comparisonLevel)
      else { return nil }
      return ComparedRow(subject, unit: "ns a run", one, two, least: 0.1, atLeast: 5)
    }
    self.unmatched = unmatched
    machine = before.machine.compactMap { fact in
      let other = after.machine.first { $0.name == fact.name }?.value
      guard Self.identifying.contains(fact.name), other != fact.value else { return nil }
      return "\(fact.name): \(fact.value) / \(other ?? "unknown")"
    }
  }

  /// Facts that must be the same for absolute figures to be comparable.
  private static let identifying: Set<String> = ["kernel", "cpu", "cores", "governor", "mitigations", "build", "JIT"]

  private var rows: [ComparedRow] { work + programs }

  /// Quantities that are dearer in the second run.
  package var regressions: [ComparedRow] { rows.filter { $0.outcome == .worse } }
  /// Quantities that are cheaper in the second run.
  package var improvements: [ComparedRow] { rows.filter { $0.outcome == .better } }
  /// Whether nothing differs by more than the spreads that the runs state; false if there is nothing to compare.
  package var agrees: Bool { !rows.isEmpty && regressions.isEmpty && improvements.isEmpty }

  /// The programs that became dearer, the worst first, each once.
  package var suspects: [String] {
    let worse = programs.filter { $0.outcome == .worse }
      .sorted { $0.after.value - $0.before.value > $1.after.value - $1.before.value }
    return distinct(worse.compactMap { $0.subject.split(separator: " ").first.map(String.init) })
  }

  /// For people: what differs, or everything.
  package func tables(everything: Bool = false) -> [ReportTable] {
    func table(_ name: String, _ rows: [ComparedRow]) -> ReportTable {
      ReportTable(
        name, columns: ["what", "unit", "first", "spread", "second", "spread", "change", "is"],
        rows: rows.filter { everything || $0.outcome == .worse || $0.outcome == .better }.map { row in
          [
            .text(row.subject), .text(row.unit), .number(row.before.value, 3), .text(row.before.spread.shown(3)),
            .number(row.after.value, 3), .text(row.after.spread.shown(3)),
            .text("\(row.change >= 1 ? "+" : "")\(((row.change - 1) * 100).fixed(1)) %"), .text(row.outcome.rawValue),
          ]
        })
    }
    return [table("Work, as ratios to nothing in the same run", work), table("Programs", programs)]
      .filter { !$0.rows.isEmpty }
  }

  /// The result in one sentence.
  package var verdict: String {
    if rows.isEmpty { return "the runs have nothing in common that could be compared" }
    let unclear = rows.count { $0.outcome == .unclear }
    let doubt = unclear > 0 ? "; \(unclear) have too few batches to say" : ""
    if agrees { return "the runs agree within the spreads they state, in \(rows.count) quantities\(doubt)" }
    var text =
      "the runs differ: \(regressions.count) quantities dearer, \(improvements.count) cheaper, of \(rows.count)"
    if !suspects.isEmpty { text += "; programs that became dearer: \(suspects.joined(separator: ", "))" }
    return text + doubt
  }
}

extension ProgramMeasurement {
  /// How the empty program at a hook is named.
  static let empty = "empty "
  /// Whether it only returns.
  var isEmptyProgram: Bool { program.hasPrefix(Self.empty) }
}

extension Results {
  /// A program's time beside that of the empty one in the same rounds; nil if there is none.
  fileprivate func ratioToEmpty(_ program: ProgramMeasurement) -> Estimate? {
    let floor = programs.first {
      $0.program == ProgramMeasurement.empty + program.program && $0.workload == program.workload
    }
    guard let floor, floor.nanoseconds.map(\.count) == program.nanoseconds.map(\.count) else { return nil }
    return Paired.ratio(program.nanoseconds, to: floor.nanoseconds, level: Estimate.comparisonLevel)
  }
}

extension Interval {
  /// `low … high` with so many digits.
  package func shown(_ digits: Int) -> String { "\(low.fixed(digits)) … \(high.fixed(digits))" }
}
