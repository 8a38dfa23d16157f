// `sallyport flows`: the flow records, from the file that the agent writes.
internal import ArgumentParser
internal import Enforcement
internal import Evidence
internal import SystemPackage

struct FlowsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "flows", abstract: "Show flow records.",
    discussion: "With --output json every record is one line of JSON, as it was written (see docs/FLOWS.md).")

  @Flag(name: [.customShort("f"), .long], help: "Go on as records come in.") var follow = false
  @OptionGroup var filter: FlowFilterOptions
  @Option(help: "The file of flow records, if it is not in the state directory.") var file: String?
  @OptionGroup var state: StateOptions
  @OptionGroup var options: OutputOptions

  func run() async throws {
    let path = file.map { FilePath($0) } ?? state.directory.appending("flows.jsonl")
    let names = FlowEndNames(try? Snapshot.read(from: StateDirectory(state.state).snapshot))
    let table = FlowTable(width: Terminal.width ?? 160, names: names)
    let filter = try FlowFilter(filter, names: names)
    do {
      var reader = try FlowLogReader.open(path, from: .oldest)
      if options.output == .table { Terminal.write(table.header) }
      if follow { return try await FlowLogReader.follow(path, from: .oldest) { line in try show(line, table, filter) } }
      try reader.readPresent { line in try show(line, table, filter) }
    } catch let error as FlowLogError {
      guard error.errno != .permissionDenied else {
        throw Failure(
          "\(error.operation) \(error.path): permission denied", remedy: "run as root", status: .notPermitted)
      }
      throw Failure("\(error)", status: .notEnforcing)
    }
  }

  private func show(_ line: ArraySlice<UInt8>, _ table: FlowTable, _ filter: FlowFilter) throws {
    guard let flow = FlowLine(json: line), filter.matches(flow) else { return }
    switch options.output {
    case .table: Terminal.write(table.line(flow))
    case .json: Terminal.write(String(decoding: line, as: UTF8.self) + "\n")
    case .yaml: Terminal.write("---\n" + (try Document.yaml(flow)))
    }
  }
}
