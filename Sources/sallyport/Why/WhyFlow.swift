// A question about a flow that was recorded.
internal import Evidence
internal import Policy
internal import SystemPackage

/// Who talked to whom in a record of the flow log, in the words that `why` takes.
struct WhyFlow: Hashable {
  var from: String
  var to: String
  var port: String

  private init(_ flow: FlowLine) {
    from = Self.words(flow.source)
    to = Self.words(flow.destination)
    let number = flow.icmpType ?? flow.destination.port
    port = flow.protocol + (number.map { "/\($0)" } ?? "")
  }

  /// A workload by its labels: its cgroup may be gone since.
  private static func words(_ end: FlowLine.End) -> String {
    let labels = end.labels ?? [:]
    switch labels["sallyport.identity"] {
    case "host": return "host"
    case nil where !labels.isEmpty:
      return labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
    default: return end.address
    }
  }

  /// Finds the record of a time, as the table or the JSON of `flows` shows it, or the beginning of that.
  ///
  /// - Throws: when there is none, or those of the time are about several flows.
  static func find(_ time: String, in path: FilePath) throws -> WhyFlow {
    var found: Set<WhyFlow> = []
    do {
      var reader = try FlowLogReader.open(path, from: .oldest)
      try reader.readPresent { line in
        guard let flow = FlowLine(json: line) else { return }
        guard flow.time.hasPrefix(time) || flow.time.dropFirst(11).hasPrefix(time) else { return }
        found.insert(WhyFlow(flow))
      }
    } catch let error as FlowLogError {
      throw Failure("\(error)", status: error.errno == .permissionDenied ? .notPermitted : .notEnforcing)
    }
    guard let only = found.first, found.count == 1 else {
      throw Failure(
        "\(found.isEmpty ? "no" : "\(found.count) different") flows at \(time.debugDescription)",
        remedy: "give the time of one record, as `sallyport flows --output json` shows it", status: .usage)
    }
    return only
  }
}
