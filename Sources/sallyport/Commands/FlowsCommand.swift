// `sallyport flows`: the flow records, from the file that the agent writes.
internal import ArgumentParser
internal import Evidence
internal import Kernel
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
    guard follow else {
      var reader = try open(path)
      return try show(&reader, FlowTable(width: Terminal.width ?? 160), header: true)
    }
    // The watch is there before the first read: nothing that is written in between is missed.
    let watch = try FileWatch.start([path.removingLastComponent()])
    var reader = try open(path)
    let table = FlowTable(width: Terminal.width ?? 160)
    try show(&reader, table, header: true)
    for await _ in watch.events { try show(&reader, table, header: false) }
  }

  private func open(_ path: FilePath) throws -> FlowLogReader {
    do {
      return try FlowLogReader.open(path, from: .oldest)
    } catch {
      throw Failure("\(error)", status: error.errno == .permissionDenied ? .notPermitted : .notEnforcing)
    }
  }

  private func show(_ reader: inout FlowLogReader, _ table: FlowTable, header: Bool) throws {
    var text = header && options.output == .table ? table.header : ""
    try reader.readAvailable { line in
      guard let flow = FlowLine(json: line), matches(flow) else { return }
      switch options.output {
      case .table: text += table.line(flow)
      case .json: text += String(decoding: line, as: UTF8.self) + "\n"
      case .yaml: text += "---\n" + (try Document.yaml(flow))
      }
      if text.utf8.count > 1 << 16 {
        Terminal.write(text)
        text = ""
      }
    }
    Terminal.write(text)
  }

  private func matches(_ flow: FlowLine) -> Bool {
    if let since, flow.time < since { return false }
    guard refused else { return true }
    return flow.event == "refused" || flow.verdict == "reject" || flow.observed?.action == "reject"
  }
}
