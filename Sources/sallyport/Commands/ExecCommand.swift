// `sallyport exec`: a command as a workload of its own, policed from its first packet.
internal import ArgumentParser
internal import Kernel
internal import Policy
internal import SystemPackage
internal import Workloads

struct ExecCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "exec", abstract: "Run a command as a labelled workload.",
    discussion: """
      Makes a cgroup below the agent's, waits until the agent enforces policy on it, moves itself there and becomes \
      the command, whose exit code is the result. The agent removes the cgroup when its last process has gone.
      """)

  @Option(name: [.customShort("l"), .long], help: "A label, key=value; repeat for more.") var label: [String]
  @Option(help: "What to call the workload.") var name: String = ""
  @Flag(help: "Report what policy would do and do nothing.") var observe = false
  @Option(help: "Enter this network namespace first (a path such as /run/netns/blue).") var netns: String?
  @OptionGroup var state: StateOptions
  @Argument(parsing: .postTerminator, help: "The command, after `--`.") var command: [String]

  func validate() throws {
    guard !command.isEmpty else { throw ValidationError("name a command after `--`") }
    guard !label.isEmpty else { throw ValidationError("give at least one --label key=value") }
    guard name.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
      throw ValidationError("--name must not hold control characters")
    }
  }

  func run() throws {
    let tag = WorkloadTag(
      labels: try LabelSet(arguments: label), name: name, mode: observe ? .observe : .enforce,
      transientOwner: ProcessID.current.rawValue)
    let namespace = try netns.map { try NetworkNamespace.open(FilePath($0)) }
    let cgroup = try enforcedCgroup(tag)
    do {
      try cgroup.add(ProcessID.current)
    } catch {
      try? cgroup.remove()
      throw error
    }
    guard let namespace else { try ProcessImage.replace(with: command) }
    let command = command
    try namespace.run { try ProcessImage.replace(with: command) }
  }

  /// Makes the cgroup and returns once its labels are in force; nothing is left behind on failure.
  private func enforcedCgroup(_ tag: WorkloadTag) throws -> CgroupDirectory {
    guard let agent = try state.client.ask(ControlRequest(.status)).agent else {
      throw Failure("the agent did not say which cgroup it enforces on", remedy: "use the same version for both")
    }
    let parent = try CgroupHierarchy.find().directory(mountedAt: FilePath(agent.cgroup))
    let readable = name.utf8.filter { Self.isPlain($0) }.prefix(64)
    let base = readable.isEmpty ? "workload" : String(decoding: readable, as: UTF8.self)
    guard let component = FilePath.Component("exec-\(base)-\(ProcessID.current.rawValue)") else {
      throw Failure("no cgroup can be called \(base)", remedy: "choose another --name")
    }
    let cgroup = try parent.create(component)
    do {
      var request = ControlRequest(.labelWorkload)
      request.cgroup = cgroup.path.description
      request.tag = tag.text
      let answer = try state.client.ask(request)
      for warning in answer.warnings { Terminal.warn(warning) }
      return cgroup
    } catch {
      try? cgroup.remove()
      throw error
    }
  }

  private static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case 48...57, 65...90, 97...122, UInt8(ascii: "-"), UInt8(ascii: "_"): true
    default: false
    }
  }
}
