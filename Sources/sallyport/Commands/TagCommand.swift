// `sallyport tag`: which workloads run here, with no policy and no enforcement.
internal import ArgumentParser
internal import Enforcement
internal import Evidence
internal import Kernel
internal import Logging
internal import Policy
internal import SystemPackage
internal import UnixSignals
internal import Workloads

struct TagCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tag", abstract: "List the workloads of this host, or follow them; nothing is enforced.",
    discussion: """
      Needs no agent: it looks at cgroups, systemd, container engines and processes itself. With --follow it prints one \
      line for each workload that is there, `ready` once it has told them all, and then one for each that is added, \
      changed or removed, until it is interrupted.
      """)

  @Option(help: "The cgroup directory to look below; the whole hierarchy by default.") var cgroup: String?
  @Option(help: "A policy file or directory whose Workload documents label cgroups and processes.") var policy: String?
  @Flag(name: [.customShort("f"), .long], help: "Go on and tell every change.") var follow = false
  @OptionGroup var sources: SourceOptions
  @OptionGroup var options: OutputOptions

  func run() async throws {
    var logger = Logger(label: "sallyport") { _ in SentenceLog() }
    logger.logLevel = .warning
    let hierarchy = try CgroupHierarchy.find()
    let root = try cgroup.map { try hierarchy.directory(mountedAt: FilePath($0)) } ?? hierarchy.root()
    var configuration = AgentConfiguration()
    try sources.apply(to: &configuration)
    let tagger = try Tagger(
      root: root, classifier: try classifier(ignoring: configuration.ignored),
      sources: try configuration.sources.sources(), logger: logger)
    if follow { try await tell(tagger) } else { try await list(tagger) }
  }

  private func classifier(ignoring ignored: Selector?) throws -> Classifier {
    guard let policy else { return Classifier(rules: [], ignoring: ignored) }
    let files = try PolicyDirectory(policy).read()
    let parsed = try PolicyParser.parse(files: files.map { ($0.name, $0.bytes) })
    return Classifier(rules: parsed.policy.workloads, ignoring: ignored)
  }
}

extension TagCommand {
  private func list(_ tagger: Tagger) async throws {
    let workloads = try await tagger.workloads(within: .seconds(3))
    for warning in await tagger.warnings { Terminal.warn(warning) }
    for condition in await tagger.conditions { if let fault = condition.fault { Terminal.warn("\(fault)") } }
    try options.print(workloads) {
      var table = Table(columns: [
        .init("CGROUP", minimum: 16), .init("NAME"), .init("LABELS", minimum: 16), .init("SOURCE", minimum: 10),
      ])
      for workload in workloads {
        table.add([workload.path, workload.name, workload.labels.description, workload.source])
      }
      return table.text(width: Terminal.width)
    }
  }

  private func tell(_ tagger: Tagger) async throws {
    let output = options.output
    guard output != .yaml else { throw ValidationError("--follow prints table or json") }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await tagger.run { changes, isFirst in
          for change in changes { try TagLine(change).print(output) }
          if isFirst { try TagLine.ready.print(output) }
        }
      }
      group.addTask {
        for await _ in await UnixSignalsSequence(trapping: .sigterm, .sigint) { return }
      }
      try await group.next()
      group.cancelAll()
    }
  }
}

/// One line of `tag --follow`.
private struct TagLine: Encodable {
  var event: String
  var time = Clock.wallNanoseconds()
  var workload: WorkloadInstance?
  var identity: String?
  /// `changed`: the labels before.
  var before: [String: String]?

  static var ready: TagLine { TagLine(event: "ready") }

  private init(event: String) { self.event = event }

  init(_ change: WorkloadChange) {
    switch change {
    case .added(let workload): (event, self.workload) = ("added", workload)
    case .changed(let workload, let before):
      (event, self.workload) = ("changed", workload)
      self.before = Dictionary(
        before.labels.labels.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
    case .removed(let workload), .ended(let workload): (event, self.workload) = ("removed", workload)
    }
    identity = workload?.labels.identity.description
  }

  func print(_ output: OutputFormat) throws {
    guard output == .table else { return Terminal.print(String(decoding: try Document.line(self), as: UTF8.self)) }
    guard let workload else { return Terminal.print(event) }
    let name = workload.name.isEmpty ? "" : " \(workload.name)"
    Terminal.printLine("\(event) \(workload.path)\(name) \(workload.labels) (\(workload.source))")
  }
}
