// `sallyport status --coverage`: the statement, as a table or a document.
internal import ArgumentParser
internal import Coverage
internal import Evidence

/// How a coverage statement is shown.
enum CoverageOutput {
  /// Prints what the agent found out.
  ///
  /// - Throws: if nothing was found out yet.
  static func print(_ state: StateOptions, _ options: OutputOptions) throws {
    guard let statement = CoverageSurvey.read(CoverageSurvey.file(in: state.directory)) else {
      throw Failure(
        "it is not known what is covered",
        remedy: "wait: an agent tries it within seconds of its start, unless it runs with --no-coverage",
        status: .notEnforcing)
    }
    if !statement.isOfThisKernel {
      Terminal.warn(
        "tried on kernel \(statement.kernel), which does not run now; the agent tries again at its next start")
    }
    try options.print(statement) { text(statement) }
  }

  private static func text(_ statement: CoverageStatement) -> String {
    var table = Table(columns: [.init("TRAFFIC"), .init("RESULT"), .init("WHY")])
    for line in statement.lines { table.add([line.traffic.title, line.result.rawValue, line.why]) }
    return "datapath \(statement.datapath), kernel \(statement.kernel), tried in \(statement.milliseconds) ms\n"
      + table.text()
  }
}
