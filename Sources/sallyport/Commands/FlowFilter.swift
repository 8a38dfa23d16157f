// Which flow records are shown.
internal import ArgumentParser
internal import Evidence

/// The options that choose among flow records; all of them must hold.
struct FlowFilterOptions: ParsableArguments {
  /// What became of a flow.
  enum Verdict: String, CaseIterable, ExpressibleByArgument {
    case allow, reject
    case wouldRefuse = "would-refuse"
  }

  @Flag(help: "Only refused flows, and those that an observed rule would have refused.") var refused = false
  @Option(help: "Only records of this time and later: 5m, 2h, 00:27, yesterday, RFC 3339.") var since: String?
  @Option(help: "Only records before this time.") var until: String?
  @Option(help: "Only flows of this workload, at either end: its name, cgroup path or label.") var workload: String?
  @Option(help: "Only flows to or from this address, name or label, at the other end.") var peer: String?
  @Option(help: "Only flows to this port: 5432, tcp/5432, icmp/8.") var port: String?
  @Option(help: "Only flows with this verdict: allow, reject or would-refuse.") var verdict: Verdict?
}

/// The same, read once.
struct FlowFilter {
  private let options: FlowFilterOptions
  private let since: String?
  private let until: String?
  private let names: FlowEndNames

  init(_ options: FlowFilterOptions, names: FlowEndNames) throws {
    self.options = options
    self.names = names
    // Records have RFC 3339 with nine digits in UTC: the order of such text is that of time.
    since = try options.since.map { try TimeArgument.read($0, option: "--since").description }
    until = try options.until.map { try TimeArgument.read($0, option: "--until").description }
  }

  /// Whether a record is shown.
  func matches(_ flow: FlowLine) -> Bool {
    if let since, flow.time < since { return false }
    if let until, flow.time >= until { return false }
    if let wanted = options.workload, !isCalled(wanted, flow.source), !isCalled(wanted, flow.destination) {
      return false
    }
    if let wanted = options.peer {
      let peer = flow.direction == "outgoing" ? flow.destination : flow.source
      guard isCalled(wanted, peer) || peer.address == wanted else { return false }
    }
    if let wanted = options.port, !isPort(wanted, flow) { return false }
    switch options.verdict {
    case .allow? where flow.verdict != "allow" || flow.wouldBeRefused: return false
    case .reject? where flow.verdict != "reject": return false
    case .wouldRefuse? where !flow.wouldBeRefused: return false
    default: break
    }
    guard options.refused else { return true }
    return flow.event == "refused" || flow.verdict == "reject" || flow.observed?.action == "reject"
  }

  private func isCalled(_ wanted: String, _ end: FlowLine.End) -> Bool {
    if let path = end.workload {
      if path == wanted || path.hasSuffix("/" + wanted) || names.name(of: path) == wanted { return true }
    }
    if wanted == "host" || wanted == "world" || wanted == "unknown" {
      return end.labels?["sallyport.identity"] == wanted
    }
    let labels = end.labels ?? [:]
    let asked = wanted.split(separator: ",").map { $0.split(separator: "=", maxSplits: 1).map(String.init) }
    if asked.allSatisfy({ $0.count == 2 }) { return asked.allSatisfy { labels[$0[0]] == $0[1] } }
    return labels["container.name"] == wanted || labels["sallyport.unit"].map { Self.unit($0, wanted) } ?? false
      || end.networks?.contains(wanted) ?? false
  }

  private static func unit(_ unit: String, _ wanted: String) -> Bool { unit == wanted || unit == "\(wanted).service" }

  private func isPort(_ wanted: String, _ flow: FlowLine) -> Bool {
    let number = flow.icmpType.map { String($0) } ?? flow.destination.port.map { String($0) } ?? ""
    return wanted == number || wanted == flow.protocol || wanted == "\(flow.protocol)/\(number)"
  }
}
