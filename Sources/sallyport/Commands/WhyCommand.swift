// `sallyport why`: what policy says to a flow at both of its ends, and what would make it say otherwise.
internal import ArgumentParser
internal import Enforcement
internal import Evidence
internal import Policy

struct WhyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "why", abstract: "Explain whether one end may talk to another, and what would change it.",
    discussion: """
      An end is labels (app=web,tier=a), NAMESPACE/POD of a manifest, an address (10.0.0.1), a cgroup path of a workload (/system.slice/nginx.\
      service), `host`, `world` or `unknown`. Ends with 0 if both ends allow the flow and with 1 if not.
      """)

  @Option(help: "Who opens the flow.") var from: String
  @Option(help: "Who is asked.") var to: String
  @Option(help: "tcp/443, udp/53, icmp/8, …") var port: String
  @Option(help: "Ask these documents instead of the policy in force.") var policy: String?
  @OptionGroup var state: StateOptions
  @OptionGroup var options: OutputOptions

  func run() throws {
    let snapshot = try? state.snapshot()
    let loaded = try policy.map { try LoadedPolicy.read([$0]) } ?? LoadedPolicy.parse(state.snapshot().sources)
    let source = try End(from, loaded.policy, snapshot)
    let destination = try End(to, loaded.policy, snapshot)
    let (proto, number) = try Self.port(port)
    let local = source.workload != nil && source.workload == destination.workload
    let outgoing = loaded.policy.explain(
      Flow(
        direction: .outgoing, subject: source.endpoint, peer: destination.endpoint, protocol: proto, port: number,
        sameWorkload: local))
    let incoming = loaded.policy.explain(
      Flow(
        direction: .incoming, subject: destination.endpoint, peer: source.endpoint, protocol: proto, port: number,
        sameWorkload: local))
    let answer = Answer(
      from: from, to: to, port: port, outgoing: source.isPoliced ? Side(outgoing) : nil,
      incoming: destination.isPoliced ? Side(incoming) : nil)
    try options.print(answer) { answer.text }
    if answer.verdict != "allow" { throw ExitCode(ExitStatus.refused.rawValue) }
  }

  private static func port(_ text: String) throws -> (IPProtocol, UInt16) {
    do {
      guard case .ports(let proto, let range) = try PortSpec(parsing: text) else {
        throw Failure("`\(text)` is no single port", remedy: "write tcp/443, udp/53 or icmp/8", status: .usage)
      }
      guard range.first == range.last else {
        throw Failure("`\(text)` is more than one port", remedy: "name one", status: .usage)
      }
      return (proto, range.first)
    } catch let error as PortError {
      throw Failure("\(error)", status: .usage)
    }
  }

  /// One end of the flow that is asked about.
  private struct End {
    var endpoint: Endpoint
    /// The cgroup path, when it is a workload of this host.
    var workload: String?
    /// Whether anybody judges at this end: an address has no enforcer behind it.
    var isPoliced = true

    init(_ text: String, _ policy: PolicySet, _ snapshot: Snapshot?) throws {
      switch text {
      case "host": endpoint = .host()
      case "world":
        endpoint = .world
        isPoliced = false
      case "unknown":
        endpoint = .unknown
        isPoliced = false
      case _ where text.hasPrefix("/"):
        // What is below a workload and has no labels of its own is that workload, or nobody.
        let above = snapshot?.workloads.filter { text == $0.path || text.hasPrefix($0.path + "/") }
        guard let found = above?.max(by: { $0.level < $1.level }) else {
          throw Failure("there is no workload \(text)", remedy: "see `sallyport workloads`")
        }
        let isNobody = found.rejectsUnlabelledChildren && found.path != text
        endpoint = isNobody ? .unlabelled(childOf: found.path) : .workload(found.labels)
        workload = found.path
      default:
        if let pod = policy.pods.first(where: { $0.title == text }) {
          endpoint = .workload(pod.labels)
          workload = "pod \(text)"
        } else if let address = try? IPAddress(parsing: text) {
          let owner = snapshot?.workloads.first { $0.addresses.contains(address) }
          endpoint = owner.map { .workload($0.labels) } ?? .external(policy.networks(containing: address))
          workload = owner?.path
          isPoliced = owner != nil
        } else {
          endpoint = .workload(try LabelSet(arguments: [text]))
        }
      }
    }
  }
}

extension WhyCommand {
  /// What one end says.
  struct Side: Encodable {
    var verdict: String
    var decidedBy: String
    var observed: String?
    var matchingRules: [String]
    var whatWouldChangeIt: [String]

    init(_ explanation: Explanation) {
      verdict = explanation.verdict.action.description
      switch explanation.verdict.decidedBy {
      case .rule(let rule): decidedBy = "rule \(rule) at \(rule.source)"
      case .default: decidedBy = "default: no enforced rule matches"
      case .local: decidedBy = "local: both ends are one workload"
      case .unlabelled:
        let parent = explanation.flow.subject.parent ?? "a workload"
        decidedBy = "unlabelled child of \(parent), which rejects such children"
      }
      observed = explanation.verdict.observed.map { "\($0.rule) would \($0.action)" }
      matchingRules = explanation.matches.map { match in
        let mode = match.rule.mode == .observe ? ", observed only" : ""
        return "\(match.wins ? "* " : "  ")\(match.rule.action) by \(match.rule) at \(match.rule.source)\(mode)"
      }
      whatWouldChangeIt = explanation.flips
    }

    var text: String {
      var lines = ["  \(verdict): \(decidedBy)"]
      lines += matchingRules.map { "    \($0)" }
      if let observed { lines.append("    observed: \(observed)") }
      lines += whatWouldChangeIt.map { "    to change it: \($0)" }
      return lines.joined(separator: "\n")
    }
  }

  /// What both ends say together.
  struct Answer: Encodable {
    var from: String
    var to: String
    var port: String
    var outgoing: Side?
    var incoming: Side?
    var verdict: String

    init(from: String, to: String, port: String, outgoing: Side?, incoming: Side?) {
      self.from = from
      self.to = to
      self.port = port
      self.outgoing = outgoing
      self.incoming = incoming
      verdict = [outgoing, incoming].allSatisfy { $0?.verdict ?? "allow" == "allow" } ? "allow" : "reject"
    }

    var text: String {
      """
      \(from) -> \(to) \(port): \(verdict)
      at the source, outgoing:
      \(outgoing?.text ?? "  not policed by this host")
      at the destination, incoming:
      \(incoming?.text ?? "  not policed by this host")

      """
    }
  }
}
