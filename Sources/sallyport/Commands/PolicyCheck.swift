// `sallyport policy check`: everything that can be told of documents without a host.
internal import ArgumentParser
internal import Enforcement
internal import Policy

struct PolicyCheck: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Check documents; no privilege is needed.",
    discussion: """
      Prints every error as FILE:LINE: FIELD: PROBLEM; REMEDY and ends with 1 if there is one; with --strict also if there is a \
      warning. A policy that is right and too large for the kernel's tables is an error too. With --live the running agent is \
      asked which selectors and workload documents would match nothing that is on this host now; nothing is changed.
      """)

  @Argument(help: "Files or directories.") var paths: [String]
  @Flag(help: "Warnings are errors.") var strict = false
  @Option(help: "The size of the table of rules that `run` is given.") var maxEntries: Int?
  @Flag(help: "Also compare with the workloads of the running agent; needs root.") var live = false
  @OptionGroup var state: StateOptions

  func run() throws {
    let loaded = try LoadedPolicy.read(paths)
    let warnings = loaded.warnings + (live ? try unmatched(loaded.sources) : [])
    for warning in warnings { Terminal.warn(warning) }
    let policy = loaded.policy
    let needs = try PolicyNeeds(of: policy)
    var limits = DatapathLimits.standard
    if let maxEntries { limits.cells = maxEntries }
    try PolicyRoom.check(needs, limits)
    let rows = needs.cells
    let rules = policy.ruleSets.reduce(0) { $0 + $1.incoming.count + $1.outgoing.count }
    Terminal.print(
      "ok: \(loaded.sources.count) files, \(policy.ruleSets.count) rule sets with \(rules) rules, "
        + "\(policy.networks.count) networks, \(policy.workloads.count) workloads"
        + (policy.pods.isEmpty ? "" : ", \(policy.pods.count) pods in \(rows) table rows"))
    let count = warnings.count
    if strict, count > 0 { throw Failure("\(count) warning\(count == 1 ? "" : "s"), and --strict was given") }
  }

  /// What the agent says that matches nothing here.
  private func unmatched(_ sources: [PolicySource]) throws -> [String] {
    var request = ControlRequest(.checkPolicy)
    request.sources = sources
    return try state.client.ask(request).unmatched ?? []
  }
}
