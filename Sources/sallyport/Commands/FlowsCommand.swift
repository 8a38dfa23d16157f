// `sallyport flows`: the flow records, from the file that the agent writes.
internal import ArgumentParser
internal import Evidence
internal import SystemPackage

struct FlowsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "flows", abstract: "Show flow records.",
    discussion: "With --output json every record is one line of JSON, as it was written (see docs/FLOWS.md).")

  @Flag(name: [.customShort("f"), .long], help: "Go on as records come in.") var follow = false
  @Flag(help: "Only refused flows, and those that an observed rule would have refused.") var refused = false
  @Option(help: "Only records of this time and later, RFC 3339 or the beginning of it.") var since: String?
  @Option(help: "The file of flow records, if it is not in the state directory.") var file: String?
  @OptionGroup var state: StateOptions
  @OptionGroup var options: OutputOptions

  func run() async throws {
    let path = file.map { FilePath($0) } ?? state.directory.appending("flows.jsonl")
    let table = FlowTable(width: Terminal.width ?? 160)
    do {
      var reader = try FlowLogReader.open(path, from: .oldest)
      if options.output == .table { Terminal.write(table.header) }
      if follow { return try await FlowLogReader.follow(path, from: .oldest) { line in try show(line, table) } }
      try reader.readAvailable { line in try show(line, table) }
    } catch let error as FlowLogError {
      throw Failure("\(error)", status: error.errno == .permissionDenied ? .notPermitted : .notEnforcing)
    }
  }

  private func show(_ line: ArraySlice<UInt8>, _ table: FlowTable) throws {
    guard let flow = FlowLine(json: line), matches(flow) else { return }
    switch options.output {
    case .table: Terminal.write(table.line(flow))
    case .json: Terminal.write(String(decoding: line, as: UTF8.self) + "\n")
    case .yaml: Terminal.write("---\n" + (try Document.yaml(flow)))
    }
  }

  private func matches(_ flow: FlowLine) -> Bool {
    if let since, flow.time < since { return false }
    guard refused else { return true }
    return flow.event == "refused" || flow.verdict == "reject" || flow.observed?.action == "reject"
  }
}
