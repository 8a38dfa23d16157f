// A real agent on a cgroup of a sandbox, and the commands that are run against it.
internal import FoundationEssentials
internal import Glibc
internal import Kernel
internal import SystemPackage
internal import TestSupport
internal import Testing

/// What a command came to.
struct CommandResult {
  var status: Int32
  var output: String
  var errors: String
  /// Both streams.
  var text: String { output + errors }
}

/// A directory for one test, an agent that enforces below `enforced`, and the commands that talk to it.
final class AgentBench {
  /// Labelled workloads are refused everything but what other documents allow; the host is not.
  static let defaults = """
    apiVersion: sallyport/v1
    kind: Defaults
    metadata: {name: d}
    spec: {incoming: reject, outgoing: reject, host: {incoming: allow, outgoing: allow}}

    """

  let sandbox: Sandbox
  /// What the agent enforces on.
  let enforced: CgroupDirectory
  /// Where the agent and the commands run.
  let outside: CgroupDirectory
  /// Where workloads run; its loopback interface is up.
  let network: NetworkNamespace
  let directory: String
  var state: String { "\(directory)/state" }
  private var counter = 0

  init(_ sandbox: Sandbox) throws {
    self.sandbox = sandbox
    enforced = try sandbox.makeCgroup("enforced")
    outside = try sandbox.makeCgroup("outside")
    network = try sandbox.makeNamespace()
    directory = "/tmp/sallyport-agent-\(getpid())-\(outside.id)"
    // Workloads of other users start programs from here.
    try makeDirectory(directory, mode: 0o755)
  }

  deinit { try? sandbox.command(["rm", "-rf", "--one-file-system", directory]) }

  // MARK: Documents

  /// A document that labels what matches; `match` and what is in `more` are YAML in flow style.
  static func workload(_ name: String, _ labels: String, match: String, _ more: String...) -> String {
    """
    ---
    apiVersion: sallyport/v1
    kind: Workload
    metadata: {name: \(name)}
    spec: {\((["labels: {\(labels)}", "match: {\(match)}"] + more).joined(separator: ", "))}

    """
  }

  /// A document that allows a subject everything.
  static func free(_ subject: String) -> String {
    """
    ---
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: free}
    spec:
      subject: \(subject)
      outgoing: [{action: allow, peers: any, ports: any}]
      incoming: [{action: allow, peers: any, ports: any}]

    """
  }

  /// Writes a file in the directory and returns its path.
  @discardableResult
  func write(_ name: String, _ text: String) throws -> String {
    try replaceFile(FilePath("\(directory)/\(name)"), with: Array(text.utf8))
    return "\(directory)/\(name)"
  }

  /// A program of its own: busybox under another name, which differs in its last bytes from all others.
  func program(_ name: String) throws -> String {
    let path = "\(directory)/busybox-\(name)"
    try sandbox.command([
      "sh", "-c", "cp /bin/busybox \"$0\" && echo \"$1\" >> \"$0\" && chmod 755 \"$0\"", path, "\(outside.id) \(name)",
    ])
    return path
  }

  // MARK: Commands

  /// Runs the product to its end.
  func run(_ words: [String]) throws -> CommandResult {
    counter += 1
    let paths = (out: "\(directory)/out-\(counter)", errors: "\(directory)/errors-\(counter)")
    let child = try Self.start(
      [Product.sallyport] + words, cgroup: outside, output: try Self.file(paths.out),
      errors: try Self.file(paths.errors))
    let status = try child.wait()
    return CommandResult(
      status: status, output: try readKernelFile(FilePath(paths.out)),
      errors: try readKernelFile(FilePath(paths.errors)))
  }

  /// Runs a command with the agent's state directory; fails the test unless it ends with 0.
  @discardableResult
  func ask(_ words: String...) throws -> CommandResult {
    let result = try run(words + ["--state", state])
    try #require(result.status == 0, "\(words.joined(separator: " ")): \(result.text)")
    return result
  }

  private static func file(_ path: String) throws -> OwnedDescriptor {
    try OwnedDescriptor.open(FilePath(path), flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
  }

  private static func start(
    _ words: [String], cgroup: CgroupDirectory, output: borrowing OwnedDescriptor, errors: borrowing OwnedDescriptor
  ) throws -> ChildProcess {
    try ChildProcess.start(
      FilePath(words[0]), Array(words.dropFirst()), cgroup: cgroup, output: output.raw, errors: errors.raw)
  }

  /// Starts the agent and returns once it says that it enforces.
  func startAgent(
    _ policy: String, _ options: [String] = ["--sources", ""], triesCoverage: Bool = false
  ) throws -> ChildProcess {
    try startAgent(readingFrom: try write("policy.yaml", policy), options, triesCoverage: triesCoverage)
  }

  /// Likewise, with the documents at a path: a file, or a directory of them.
  func startAgent(
    readingFrom path: String, _ options: [String] = ["--sources", ""], triesCoverage: Bool = false
  ) throws -> ChildProcess {
    let location = try #require(enforced.hierarchy.location(of: enforced.path))
    let ready = try Stream()
    let child = try Self.start(
      [
        Product.sallyport, "run", "--cgroup", location.string, "--policy", path, "--state", state, "--ready-fd", "1",
      ] + (triesCoverage ? [] : ["--no-coverage"]) + options, cgroup: outside, output: ready.other,
      errors: try Self.file("\(directory)/log"))
    try #require(ready.handOver().read() == "\n", "the agent did not start: \(log)")
    return child
  }

  /// Starts an agent and waits for nothing.
  func beginAgent(_ policy: String, _ options: [String]) throws -> ChildProcess {
    let location = try #require(enforced.hierarchy.location(of: enforced.path))
    let path = try write("policy.yaml", policy)
    return try Self.start(
      [Product.sallyport, "run", "--cgroup", location.string, "--policy", path, "--state", state, "--no-coverage"]
        + options, cgroup: outside, output: try Self.file("\(directory)/unheard"),
      errors: try Self.file("\(directory)/log-unheard"))
  }

  /// What the agent said.
  var log: String { (try? readKernelFile(FilePath("\(directory)/log"))) ?? "" }

  /// Puts documents in force.
  func apply(_ policy: String) throws {
    try ask("policy", "apply", try write("applied.yaml", policy))
  }

  /// Removes what an agent that did not end as it should has left.
  func removePins() throws {
    let snapshot = "\(state)/snapshot.json"
    guard isThere(snapshot) else { return }
    let left = try JSONDecoder().decode(Pins.self, from: Data(readKernelBytes(FilePath(snapshot))))
    guard left.pins.hasPrefix("/sys/fs/bpf/sallyport/") else { return }
    try sandbox.command(["rm", "-rf", left.pins])
  }

  private struct Pins: Decodable { var pins: String }

  // MARK: What is in force

  /// The workloads, as `workloads --output json` has them.
  func workloads() throws -> [ListedWorkload] {
    try JSONDecoder().decode([ListedWorkload].self, from: Data(ask("workloads", "--output", "json").output.utf8))
  }

  /// How the agent is, as `status --output json` has it.
  func status() throws -> ListedStatus {
    try JSONDecoder().decode(ListedStatus.self, from: Data(ask("status", "--output", "json").output.utf8))
  }

  /// Waits until the list of workloads satisfies a condition, and returns it.
  @discardableResult
  func workloads(_ what: String, until condition: ([ListedWorkload]) throws -> Bool) throws -> [ListedWorkload] {
    var last: [ListedWorkload] = []
    try eventually("\(what): \(last) \(log)") {
      last = try workloads()
      return try condition(last)
    }
    return last
  }

  /// The name of a cgroup's path below the enforced one: `/a` for `enforced/a`.
  func short(_ path: String) -> String {
    path.hasPrefix(enforced.path.string) ? String(path.dropFirst(enforced.path.string.count)) : path
  }
}

/// One line of `sallyport workloads`.
struct ListedWorkload: Decodable {
  var cgroup: UInt64
  var path: String
  var labels: [String: String]
  var identity: String
  var source: String
  var since: UInt64?
  var processes: [Int32]
  var listens: [String]
}

/// What tests read of `sallyport status`.
struct ListedStatus: Decodable {
  struct Source: Decodable {
    var name: String
    var fault: String?
    var answered: UInt64
    var failed: UInt64
  }

  var agentPid: Int32?
  var generation: UInt32
  var workloads: Int
  var ended: Int
  var revoked: Int
  var failures: Int
  var events: String?
  var eventsLost: UInt64?
  var executions: String?
  var staleSockets: Int?
  var sources: [Source]
  var warnings: [String]
}

/// Runs `body` with an agent that enforces `policy`, ends enforcement, and removes everything, whatever happens.
func withAgent(
  _ policy: (AgentBench) throws -> String, options: (AgentBench) -> [String] = { _ in ["--sources", ""] },
  body: (AgentBench) throws -> Void
) throws {
  try withSandbox { sandbox in
    let bench = try AgentBench(sandbox)
    defer { try? bench.removePins() }
    let agent = try bench.startAgent(try policy(bench), options(bench))
    try body(bench)
    try bench.ask("detach")
    #expect(try agent.wait() == 0, "\(bench.log)")
  }
}
