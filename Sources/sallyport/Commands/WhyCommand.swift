// `sallyport why`: what happens to a flow at both of its ends, and what would change it.
internal import ArgumentParser
internal import Enforcement
internal import Evidence
internal import Kernel
internal import Policy
internal import SystemPackage
internal import Workloads

struct WhyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "why", abstract: "Explain whether one end may talk to another, and what would change it.",
    discussion: """
      An end is the name, unit, container or cgroup path of a workload (web, nginx, nginx.service, /system.slice/nginx.service), a PID, \
      labels (app=web,tier=a), NAMESPACE/POD of a manifest, an address with or without a port (10.0.0.1, 10.0.0.1:443, [fd00::1]:443), \
      `host`, `world` or `unknown`. An address of this host is whoever listens there, as the source reaches it. Ends with 0 if \
      the flow is allowed and with 1 if not.

      With --batch every line of standard input is a question, {"from": …, "to": …, "port": …}, and every line of standard output \
      its answer, or {"error": …}; sockets are looked at once.
      """)

  @Option(help: "Who opens the flow.") var from: String?
  @Option(help: "Who receives it.") var to: String?
  @Option(help: "tcp/443, udp/53, icmp/8, …; not needed with --to ADDRESS:PORT.") var port: String?
  @Option(help: "Ask these documents instead of the policy in force.") var policy: String?
  @Option(help: "Ask about a recorded flow, by its time as `flows` shows it.") var flow: String?
  @Flag(help: "Read questions from standard input, a JSON object a line.") var batch = false
  @OptionGroup var state: StateOptions
  @OptionGroup var options: OutputOptions

  func validate() throws {
    let isAsked = from != nil || to != nil || port != nil
    guard batch || flow != nil ? !isAsked && batch != (flow != nil) : from != nil && to != nil else {
      throw ValidationError("give --from, --to and --port, or --flow, or --batch")
    }
  }

  func run() throws {
    var judge = try judge()
    let recorded = try flow.map { try WhyFlow.find($0, in: state.directory.appending("flows.jsonl")) }
    guard let from = from ?? recorded?.from, let to = to ?? recorded?.to else { return try answerAll(&judge) }
    let answer = try judge.answer(from: from, to: to, port: port ?? recorded?.port)
    try options.print(answer) { answer.text }
    if answer.verdict != "allow" { throw ExitCode(ExitStatus.refused.rawValue) }
  }

  private func judge() throws -> WhyJudge {
    guard let policy else {
      let snapshot = try state.snapshot()
      let map: HostMap
      do throws(KernelError) {
        map = try HostMap.look(at: snapshot.workloads, enforcedOn: FilePath(snapshot.cgroup))
      } catch {
        throw Failure.denied(error)
      }
      return WhyJudge(try LoadedPolicy.parse(snapshot.sources).policy, snapshot.workloads, map)
    }
    let loaded = try LoadedPolicy.read([policy]).policy
    // Documents need no agent; where there is one, its workloads have names and sockets.
    let snapshot = try? state.snapshot()
    let map = snapshot.flatMap { try? HostMap.look(at: $0.workloads, enforcedOn: FilePath($0.cgroup)) }
    return WhyJudge(loaded, snapshot?.workloads ?? [], map)
  }

  private struct Question: Decodable {
    var from: String
    var to: String
    var port: String?
  }

  private struct Complaint: Encodable { var error: String }

  private func answerAll(_ judge: inout WhyJudge) throws {
    var hadError = false
    while let line = readLine() {
      guard line.contains(where: { !$0.isWhitespace }) else { continue }
      let bytes: [UInt8]
      do {
        let question = try Document.read(Question.self, from: Array(line.utf8))
        bytes = try Document.line(judge.answer(from: question.from, to: question.to, port: question.port))
      } catch {
        hadError = true
        bytes = try Document.line(Complaint(error: "\(error)"))
      }
      Terminal.write(bytes + [UInt8(ascii: "\n")])
    }
    if hadError { throw ExitCode(ExitStatus.refused.rawValue) }
  }
}
