// A run as a document for people, with its plots: what is committed beside the code.

extension Results {
  /// A file of the document: its path below the folder, and what is in it.
  package struct File: Sendable, Equatable {
    /// Relative, with slashes.
    package let path: String
    /// UTF-8.
    package let contents: String
  }

  /// `BENCHMARKS.md` and the pictures that it shows.
  package func document() -> [File] {
    var pictures: [File] = []
    func picture(_ name: String, _ plot: Plot) -> String {
      let path = "benchmarks/\(name).svg"
      pictures.append(File(path: path, contents: plot.svg))
      return "![\(plot.title)](\(path))\n\n"
    }
    var text = """
      # Benchmarks

      Written by `sudo scripts/bench --report docs`; do not edit. [PERFORMANCE.md](PERFORMANCE.md) says what the figures mean.

      \(summary)
      ## Targets
      \(Targets(self).table.markdown)

      """
    let plots = sizePlots.filter { !$0.lines.isEmpty }
    if !plots.isEmpty || ratePlot != nil { text += "## Plots\n" }
    for (workload, plot) in zip(workloads(of: Targets.Names.sizes), sizePlots) where !plot.lines.isEmpty {
      text += picture("sizes-\(workload)", plot)
    }
    if let ratePlot { text += picture("rates", ratePlot) }
    for section in sections {
      text += "## \(section.prefix(1).uppercased())\(section.dropFirst())\n"
      for workload in workloads(of: section) { text += "### \(workload)\n\(brief(workload, in: section).markdown)\n" }
    }
    for table in [programTable, quantityTable, leftOutTable] where !table.rows.isEmpty {
      let title = table.name.split(separator: ":").first.map(String.init) ?? table.name
      text += "## \(title)\n\(title == table.name ? "" : table.name + ".\n\n")\(table.markdown)\n"
    }
    return [File(path: "BENCHMARKS.md", contents: text + Self.method + facts)] + pictures
  }

  /// What is to be known first.
  private var summary: String {
    var lines = warnings.map { "- **\($0)**" }
    if let disturbance, disturbance.complaints.isEmpty { lines.append("- machine \(disturbance.verdict)") }
    return lines.isEmpty ? "" : lines.joined(separator: "\n") + "\n"
  }

  /// The columns that matter on a page.
  private func brief(_ workload: String, in section: String) -> ReportTable {
    let full = workTable(workload, in: section)
    let hasInstructions = measurements.contains { $0.section == section && !$0.instructions.isEmpty }
    let wanted = full.columns.indices.filter { hasInstructions || full.columns[$0] != "instructions" }
    return ReportTable(
      full.name, columns: wanted.map { full.columns[$0] }, rows: full.rows.map { row in wanted.map { row[$0] } })
  }

  private static let method = """
    ## Method
    - Contestants take turns, batch by batch, and every round begins with another one. Each batch is divided by that of "nothing" in
      the same round: what disturbs one disturbs its neighbour. Absolute times mean little on a shared machine; ratios of one run do.
    - Work is done by processes pinned to one processor, in cgroups and network namespaces of the run's own, warmed up before each batch.
      The figure that is compared is processor time, that of helpers in user space included, so what other programs took is left out.
    - A value is the median of all batches. Its spread is the 95 % interval of that median by order statistics (nothing is assumed of the
      distribution), widened to hold the median of every sitting: a sitting has processes, sockets and namespaces of its own.
    - "Added ÷ empty's": what a contestant adds to nothing, by what programs add that only return, at the same hooks; its spread is by resampling rounds.
    - Before and after each sitting every contestant must let an allowed connection and datagram through and refuse forbidden ones, to a port on which
      somebody listens. Who does not is not measured; who cannot run is named under "Left out".
    - Per-program figures are of rounds of their own, because the kernel's clock costs time in every program.

    """

  private var facts: String {
    func list(_ facts: [Fact]) -> String {
      ReportTable("", columns: ["", ""], rows: facts.map { [.text($0.name), .text($0.value)] }).markdown
    }
    var text = "\n## Machine\n\(list(machine))\n## Settings\n\(list(settings))"
    if !notes.isEmpty { text += "\n" + notes.map { "- \($0)\n" }.joined() }
    return text
  }
}
