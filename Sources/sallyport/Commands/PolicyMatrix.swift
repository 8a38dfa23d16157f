// `sallyport policy matrix`: who reaches whom, as a table.
internal import ArgumentParser
internal import Evidence
internal import Policy

struct PolicyMatrix: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "matrix", abstract: "Print who reaches whom among the pods of manifests, by documents alone.",
    discussion: """
      Rows open connections, columns are asked. A cell is `yes` or `no` for the given port; without --port it is how many of the \
      named ports of the column's pod the row reaches.
      """)

  @Option(help: "Files or directories of documents.") var policy: [String]
  @Option(help: "tcp/443, udp/53, http, …; several make several tables.") var port: [String] = []
  @Option(help: "Only pods of this namespace.") var namespace: [String] = []
  @Option(help: "An address, labels, host or world as one row and column more.") var with: [String] = []
  @OptionGroup var options: OutputOptions

  /// One cell.
  struct Cell: Encodable {
    var from: String
    var to: String
    var port: String
    /// `allow` or `reject`; nil where the destination has no such port.
    var verdict: String?
  }

  func run() throws {
    var offline = try OfflinePolicy.read(policy)
    let pods = offline.policy.pods.enumerated().filter { namespace.isEmpty || namespace.contains($0.element.namespace) }
    var ends = pods.map { (name: $0.element.title, end: offline.end(ofPod: $0.offset)) }
    for text in with { ends.append((text, try offline.end(text))) }
    guard !ends.isEmpty else {
      throw Failure("nothing to show", remedy: "add Pod manifests or --with app=web")
    }
    var cells: [Cell] = []
    var tables = ""
    for text in port.isEmpty ? [nil] : port.map(Optional.some) {
      if let text { tables += "\(text.shownSafely)\n" }
      var table = Table(columns: [Table.Column("from \\ to")] + ends.map { Table.Column($0.name) })
      for source in ends {
        table.add(
          [source.name]
            + ends.map { destination in
              let own = Self.cells(offline, source, destination, text)
              cells += own
              return Self.text(own, isCounted: text == nil)
            })
      }
      tables += table.text()
    }
    try options.print(cells) { tables }
  }

  private static func text(_ cells: [Cell], isCounted: Bool) -> String {
    let judged = cells.filter { $0.verdict != nil }
    if judged.isEmpty { return "-" }
    let allowed = judged.count { $0.verdict == "allow" }
    return isCounted ? "\(allowed)/\(judged.count)" : allowed > 0 ? "yes" : "no"
  }

  private static func cells(
    _ policy: OfflinePolicy, _ source: (name: String, end: OfflinePolicy.End),
    _ destination: (name: String, end: OfflinePolicy.End), _ port: String?
  ) -> [Cell] {
    let named = destination.end.pod.map { policy.policy.pods[$0].ports.map { "\($0.protocol)/\($0.number)" } } ?? []
    return (port.map { [$0] } ?? named).map { text in
      var cell = Cell(from: source.name, to: destination.name, port: text)
      guard let (proto, number) = try? policy.port(text, of: destination.end) else { return cell }
      let (outgoing, incoming) = policy.decisions(
        from: source.end, to: destination.end, protocol: proto, port: number)
      cell.verdict = outgoing?.action == .reject || incoming?.action == .reject ? "reject" : "allow"
      return cell
    }
  }
}
