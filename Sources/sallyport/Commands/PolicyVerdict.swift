// `sallyport policy verdict`: what documents alone say of a connection; one question, or a stream of them.
internal import ArgumentParser
internal import Enforcement
internal import Evidence
internal import Glibc
internal import JSON
internal import Kernel
internal import Policy
internal import SystemPackage

struct PolicyVerdict: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verdict",
    abstract: "Show what documents decide about a connection; needs neither privilege nor agent.",
    discussion: """
      An end is NAMESPACE/POD of a manifest, the name of a Workload document, labels (app=web,tier=a; of a pod \
      k8s.namespace=shop,k8s.label/app=web), an address (of the destination also ADDRESS:PORT), host, world or unknown. What runs \
      on a host (processes, units, containers) `sallyport why` knows. A port is tcp/80, udp/53, icmp/8 or the name of a container port at the destination. Ends with 0 if \
      both ends allow the connection and with 1 if not.

      With --batch every line of standard input is a question, {"from": …, "to": …, "port": …}, and every line of standard output \
      its answer, or {"error": …}; it ends with 1 if there was an error.
      """)

  @Option(help: "Files or directories of documents.") var policy: [String]
  @Option(help: "Who opens the connection.") var from: String?
  @Option(help: "Who is asked.") var to: String?
  @Option(help: "tcp/443, udp/53, icmp/8, http, …") var port: String?
  @Flag(help: "Read questions from standard input, a JSON object a line.") var batch = false
  @OptionGroup var options: OutputOptions

  func validate() throws {
    let hasPort = try port != nil || destination()?.port != nil
    guard batch == (from == nil && to == nil && port == nil), batch || (from != nil && to != nil && hasPort) else {
      throw ValidationError("give either --from, --to and --port (or --to ADDRESS:PORT), or --batch")
    }
  }

  /// Whom --to names, and the port that it or --port names.
  private func destination() throws -> (end: String, port: String?)? {
    guard let to else { return nil }
    guard case (let address, let number?)? = try WhyReader.address(to) else { return (to, port) }
    let named = "tcp/\(number)"
    if let port, port.split(separator: "/").last != "\(number)" {
      throw ValidationError("--to names port \(number) and --port \(port): name one")
    }
    return ("\(address)", port ?? named)
  }

  func run() throws {
    var desk = VerdictDesk(try OfflinePolicy.read(policy))
    guard let from, let to = try destination() else {
      if try desk.answerAll() { throw ExitCode(ExitStatus.refused.rawValue) }
      return
    }
    let answer = try desk.answer(from, to.end, to.port ?? "")
    try options.print(answer) { answer.text }
    if answer.verdict != "allow" { throw ExitCode(ExitStatus.refused.rawValue) }
  }
}

extension OfflinePolicy {
  /// Reads and compiles documents; prints their warnings.
  static func read(_ paths: [String]) throws -> OfflinePolicy {
    let loaded = try LoadedPolicy.read(paths)
    for warning in loaded.warnings { Terminal.warn(warning) }
    return try OfflinePolicy(loaded.policy)
  }
}

/// Answers questions about one policy, and remembers who was asked about.
struct VerdictDesk {
  private var policy: OfflinePolicy
  private var ends: [String: OfflinePolicy.End] = [:]
  private var texts: [String: [UInt8]] = [:]
  /// What each rule is called, as JSON; made when a rule first decides.
  private var names: [UInt32: [UInt8]] = [:]

  init(_ policy: OfflinePolicy) { self.policy = policy }

  /// What one end says.
  struct Side: Encodable {
    var verdict: String
    var decidedBy: String
  }

  /// The answer to one question.
  struct Answer: Encodable {
    var from: String
    var to: String
    var port: String
    var verdict: String
    var outgoing: Side?
    var incoming: Side?

    var text: String {
      var lines = ["\(from) -> \(to) \(port): \(verdict)"]
      if let outgoing { lines.append("  outgoing: \(outgoing.verdict) by \(outgoing.decidedBy)") }
      if let incoming { lines.append("  incoming: \(incoming.verdict) by \(incoming.decidedBy)") }
      return lines.map { $0.shownSafely + "\n" }.joined()
    }
  }

  private mutating func end(_ text: String) throws(QuestionError) -> OfflinePolicy.End {
    if let known = ends[text] { return known }
    let made = try policy.end(text)
    // A stream may ask about ever new ones.
    if ends.count >= 1 << 20 { ends = [:] }
    ends[text] = made
    return made
  }

  private func name(_ decision: OfflinePolicy.Decision) -> String {
    if decision.isLocal { return "local" }
    if decision.rule == 0 { return "default" }
    let rule = policy.rules[Int(decision.rule) - 1]
    return "rule \(rule) at \(rule.source)"
  }

  /// Answers one question.
  mutating func answer(_ from: String, _ to: String, _ port: String) throws(QuestionError) -> Answer {
    let (source, destination) = (try end(from), try end(to))
    let (proto, number) = try policy.port(port, of: destination)
    let (outgoing, incoming) = policy.decisions(from: source, to: destination, protocol: proto, port: number)
    func side(_ decision: OfflinePolicy.Decision) -> Side {
      Side(verdict: decision.action.description, decidedBy: name(decision))
    }
    let isAllowed = outgoing?.action != .reject && incoming?.action != .reject
    return Answer(
      from: from, to: to, port: port, verdict: isAllowed ? "allow" : "reject", outgoing: outgoing.map(side),
      incoming: incoming.map(side))
  }

  // MARK: The stream

  /// The longest question, in bytes.
  private static let longestLine = 1 << 16

  /// Answers every line of standard input; true = there was an error.
  mutating func answerAll() throws -> Bool {
    var out = JSONWriter(capacity: 1 << 17)
    var rest: [UInt8] = []
    var hadError = false
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.read(0, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw KernelError("read", "standard input", .init(rawValue: errno)) }
      rest += buffer[..<count]
      var start = 0
      while let end = rest[start...].firstIndex(of: 0x0a) ?? (count == 0 && start < rest.count ? rest.count : nil) {
        if !answer(rest[start..<end], &out) { hadError = true }
        start = min(end + 1, rest.count)
      }
      rest.removeFirst(start)
      if rest.count > Self.longestLine {
        throw Failure("a question has more than \(Self.longestLine) bytes", remedy: "write one JSON object a line")
      }
      Terminal.write(out.bytes)
      out.removeAll()
      if count == 0 { return hadError }
    }
  }

  /// Answers one line; false = with an error.
  private mutating func answer(_ line: ArraySlice<UInt8>, _ out: inout JSONWriter) -> Bool {
    guard line.contains(where: { $0 > 32 }) else { return true }
    do {
      let question = try Question(line)
      let (source, destination) = (try end(question.from), try end(question.to))
      let (proto, number) = try policy.port(question.port, of: destination)
      let decisions = policy.decisions(from: source, to: destination, protocol: proto, port: number)
      write(question, decisions.outgoing, decisions.incoming, &out)
      return true
    } catch {
      out.raw("{\"error\":")
      out.string("\(error)")
      out.raw("}\n")
      return false
    }
  }

  private struct Question {
    var from = ""
    var to = ""
    var port = ""

    init(_ line: ArraySlice<UInt8>) throws {
      var reader = JSONReader(Array(line))
      var missing: Set<String> = ["from", "to", "port"]
      var (from, to, port) = ("", "", "")
      var stranger: String?
      try reader.object { reader, key throws(JSONFault) in
        let value = try reader.string()
        guard let value, missing.remove(key) != nil else {
          stranger = key
          return
        }
        switch key {
        case "from": from = value
        case "to": to = value
        default: port = value
        }
      }
      try reader.end()
      if let stranger {
        throw QuestionError(
          stranger, "is no text of a question, or there twice", "write from, to and port, each a text")
      }
      if let name = missing.min() { throw QuestionError(name, "is missing", "write from, to and port, each a text") }
      (self.from, self.to, self.port) = (from, to, port)
    }
  }

  private mutating func json(_ text: String) -> [UInt8] {
    if let known = texts[text] { return known }
    var out = JSONWriter(capacity: text.utf8.count + 2)
    out.string(text)
    if texts.count >= 1 << 20 { texts = [:] }
    texts[text] = out.bytes
    return out.bytes
  }

  private mutating func write(
    _ question: Question, _ outgoing: OfflinePolicy.Decision?, _ incoming: OfflinePolicy.Decision?,
    _ out: inout JSONWriter
  ) {
    let isAllowed = outgoing?.action != .reject && incoming?.action != .reject
    out.raw("{\"from\":")
    out.raw(json(question.from))
    out.raw(",\"to\":")
    out.raw(json(question.to))
    out.raw(",\"port\":")
    out.raw(json(question.port))
    if isAllowed { out.raw(",\"verdict\":\"allow\"") } else { out.raw(",\"verdict\":\"reject\"") }
    if let outgoing {
      out.raw(",\"outgoing\":")
      write(outgoing, &out)
    }
    if let incoming {
      out.raw(",\"incoming\":")
      write(incoming, &out)
    }
    out.raw("}\n")
  }

  private mutating func write(_ decision: OfflinePolicy.Decision, _ out: inout JSONWriter) {
    if decision.action == .allow { out.raw("{\"verdict\":\"allow\"") } else { out.raw("{\"verdict\":\"reject\"") }
    out.raw(",\"decidedBy\":")
    if decision.isLocal {
      out.raw("\"local\"")
    } else if decision.rule == 0 {
      out.raw("\"default\"")
    } else {
      if names[decision.rule] == nil {
        var made = JSONWriter(capacity: 128)
        made.string(name(decision))
        names[decision.rule] = made.bytes
      }
      out.raw(names[decision.rule] ?? [])
    }
    out.raw("}")
  }
}
