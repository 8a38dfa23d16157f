// `sallyport counters`: what the kernel counted, by workload and reason.
internal import ArgumentParser
internal import Enforcement
internal import Evidence
internal import Yams

struct CountersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "counters", abstract: "Show how much was allowed and refused, by workload and reason.",
    discussion: "Read from the kernel: the agent need not be running.")

  /// The output formats of other nouns, and the one that Prometheus scrapes.
  enum Format: String, CaseIterable, ExpressibleByArgument {
    case table, json, yaml, openmetrics
  }

  @OptionGroup var state: StateOptions
  @Option(name: [.customShort("o"), .long], help: "How to print: table, json, yaml or openmetrics.")
  var output: Format = .table

  func run() throws {
    guard let kernel = try state.inspection() else {
      // Says why, if it is not that nothing is there.
      _ = try state.snapshot()
      throw Failure(
        "nothing is enforced with the state directory \(state.state)",
        remedy: "start an agent with `sallyport run`, or name its state directory with --state", status: .notEnforcing)
    }
    let counters = Counters(kernel.counters, snapshot: try state.snapshot())
    switch output {
    case .table: Terminal.write(counters.text(width: Terminal.width))
    case .json: Terminal.write(counters.json)
    // JSON is YAML: read and written again it gets YAML's own look.
    case .yaml: Terminal.write(try Yams.serialize(node: Yams.compose(yaml: counters.json) ?? Node("")))
    case .openmetrics: Terminal.write(counters.openMetrics)
    }
  }
}
