// What a run found, as tables.

extension Results {
  /// Everything, in the order in which people want to read it.
  package var tables: [ReportTable] {
    var all = [Targets(self).table]
    for section in sections { all += workloads(of: section).map { workTable($0, in: section) } }
    all += [programTable, quantityTable, leftOutTable].filter { !$0.rows.isEmpty }
    return all
  }

  /// One workload with all contestants of a part.
  package func workTable(_ workload: String, in section: String) -> ReportTable {
    let own = measurements.filter { $0.section == section && $0.workload == workload }
    let unit = own.first?.unit ?? "unit"
    var table = ReportTable(
      "\(section): \(workload), ns per \(unit); ratios are of processor time, round by round",
      columns: [
        "contestant", "wall median", "CPU min", "CPU median", "CPU quartiles", "÷ nothing", "spread", "added",
        "added ÷ empty's", "instructions", "remark",
      ])
    let base = baseline(of: section).flatMap { measurement($0, workload, in: section) }
    let floor = floor(of: section)
    for one in own {
      let cpu = Samples(one.cpu.flatMap { $0 })
      let isBase = one.contestant == base?.contestant
      let ratio = base.flatMap { Paired.ratio(one.cpu, to: $0.cpu) }
      let added = isBase ? nil : base.flatMap { Paired.difference(one.cpu, from: $0.cpu) }
      let times = isBase || one.contestant == floor ? nil : self.added(one.contestant, workload, in: section)
      table.rows.append([
        .text(one.contestant), .number(Samples(one.wall.flatMap { $0 }).median, digits: 0),
        .number(cpu.minimum, digits: 0), .number(cpu.median, digits: 0), .text(quartiles(cpu)),
        .number(ratio?.value, digits: 3), ratio.map { .text($0.spread.shown(3)) } ?? .none,
        .number(added?.value, digits: 0), .number(times?.value, digits: 2),
        .number(Samples(one.instructions.flatMap { $0 }).median, digits: 0), .text(ratio?.remark ?? ""),
      ])
    }
    return table
  }

  private func quartiles(_ samples: Samples) -> String {
    guard let low = samples.lowerQuartile, let high = samples.upperQuartile else { return "-" }
    return Interval(low, high).shown(0)
  }

  /// The kernel's own figures of single programs.
  package var programTable: ReportTable {
    ReportTable(
      "Programs: ns a run by the kernel's clock (BPF_ENABLE_STATS, its own cost included; \"test run\": BPF_PROG_TEST_RUN)",
      columns: ["contestant", "workload", "program", "min", "median", "spread", "runs per unit", "remark"],
      rows: programs.map { program in
        let samples = Samples(program.nanoseconds.flatMap { $0 })
        let estimate = Estimate(of: program.nanoseconds)
        return [
          .text(program.contestant), .text(program.workload), .text(program.program),
          .number(samples.minimum, digits: 0), .number(samples.median, digits: 0),
          estimate.map { .text($0.spread.shown(0)) } ?? .none,
          program.runsPerUnit > 0 ? .number(program.runsPerUnit, 2) : .none, .text(estimate?.remark ?? ""),
        ]
      })
  }

  /// The control plane.
  package var quantityTable: ReportTable {
    ReportTable(
      "Control plane", columns: ["what", "unit", "min", "median", "max", "measurements"],
      rows: quantities.map { quantity in
        let samples = Samples(quantity.values)
        return [
          .text(quantity.name), .text(quantity.unit), .number(samples.minimum, digits: 1),
          .number(samples.median, digits: 1), .number(samples.maximum, digits: 1), .count(samples.count),
        ]
      })
  }

  /// Who was not measured, and why.
  package var leftOutTable: ReportTable {
    ReportTable(
      "Left out", columns: ["contestant", "because"],
      rows: entrants.compactMap { entrant in entrant.leftOut.map { [.text(entrant.name), .text($0)] } })
  }

  /// What must be known before a figure is believed.
  package var warnings: [String] {
    var found = disturbance.map { $0.complaints.isEmpty ? [] : [$0.verdict] } ?? []
    let ratios = measurements.compactMap { ratio($0.contestant, $0.workload, in: $0.section) }
    let few = ratios.count { !$0.isBounded }
    if few > 0 { found.append("too few rounds for a spread in \(few) of \(ratios.count) figures: run more rounds") }
    let noisy = ratios.count { $0.isBounded && $0.isNoisy }
    if noisy > 0 { found.append("\(noisy) of \(ratios.count) figures may be off by more than 5 %") }
    return found
  }

  // MARK: Plots

  /// Cost against the size of the policy, one plot for each workload.
  package var sizePlots: [Plot] {
    let section = Targets.Names.sizes
    return workloads(of: section).map { workload in
      var families: [(name: String, points: [PlotLine.Point])] = []
      for entrant in entrants {
        guard let size = entrant.size, let ratio = ratio(entrant.name, workload, in: section) else { continue }
        let point = PlotLine.Point(x: Double(max(size, 1)), y: ratio.value, spread: ratio.spread)
        if let index = families.firstIndex(where: { $0.name == entrant.family }) {
          families[index].points.append(point)
        } else {
          families.append((entrant.family, [point]))
        }
      }
      return Plot(
        "\(workload): processor time ÷ nothing", horizontal: "rules or compiled entries", vertical: "÷ nothing",
        lines: families.map { PlotLine($0.name, $0.points) })
    }
  }

  /// Cost of a packet against how many a second are sent.
  package var ratePlot: Plot? {
    let section = RateWorkload.section
    let workloads = workloads(of: section)
    guard !workloads.isEmpty else { return nil }
    let lines = distinct(measurements.filter { $0.section == section }.map(\.contestant)).map { contestant in
      PlotLine(
        contestant,
        workloads.compactMap { workload in
          guard let rate = RateWorkload.rate(workload),
            let estimate = measurement(contestant, workload, in: section).flatMap({ Estimate(of: $0.cpu) })
          else { return nil }
          return PlotLine.Point(x: Double(rate), y: estimate.value, spread: estimate.spread)
        })
    }
    return Plot(
      "UDP: processor time of a packet", horizontal: "packets a second", vertical: "ns per packet", lines: lines)
  }
}

/// How workloads of a fixed packet rate are named.
package enum RateWorkload {
  /// Their part of a run.
  package static let section = "packet rates"

  /// The name for so many packets a second.
  package static func name(_ rate: Int) -> String { "udp-rate-\(rate)" }

  /// The rate that a name stands for.
  package static func rate(_ name: String) -> Int? {
    name.hasPrefix("udp-rate-") ? Int(name.dropFirst("udp-rate-".count)) : nil
  }
}

extension Estimate {
  /// Whether it may be off by more than 5 %.
  package var isNoisy: Bool { uncertainty > 0.05 }

  /// What must be said beside it; empty if nothing.
  var remark: String { !isBounded ? "too few" : isNoisy ? "±\((uncertainty * 100).fixed(0)) %" : "" }
}
