// `sallyport run`: the agent.
internal import ArgumentParser
internal import Enforcement
internal import Evidence
internal import Glibc
internal import Kernel
internal import Logging
internal import ServiceLifecycle
internal import SystemPackage
internal import Workloads

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Run the agent: enforce policy on a cgroup and everything below it.",
    discussion: """
      SIGTERM and SIGINT stop the agent and leave enforcement in place; SIGHUP reads the policy again. Only \
      `sallyport detach` ends enforcement. Every option but --config and --ready-fd may stand in the configuration \
      file under its own name, such as `max-entries: 262144`.
      """)

  @Option(
    help: """
      The cgroup directory to enforce on: of version 2, or of any hierarchy on a host that mounts version 1 alone.
      """)
  var cgroup: String?
  @Option(help: "A directory of policy documents, or one file.") var policy: String?
  @Option(help: "The state directory (default: /run/sallyport).") var state: String?
  @Option(help: "A configuration file in YAML.") var config: String?
  @Option(help: "Room for policy cells in the kernel, the policy in force and the next one together.")
  var maxEntries: Int?
  @Option(
    help: "How packets are judged: by programs on the cgroup, by iptables rules, or auto: the best that works here.")
  var datapath: DatapathChoice?
  @Flag(help: "With --datapath netfilter, write no rules in the network namespace that the agent runs in.")
  var spareOwnNamespace = false
  @Flag(help: "Mount a BPF file system at /sys/fs/bpf if there is none.") var mountBpffs = false
  @Option(
    help: """
      Where to mount cgroup2 on a host that mounts version 1 alone, whose processes are mirrored there (default: \
      /run/sallyport/cgroup2).
      """)
  var mirror: String?
  @Option(help: "The file of flow records (default: flows.jsonl in the state directory).") var flows: String?
  @Option(help: "Write a newline to this file descriptor and close it once everything is enforced.")
  var readyFd: Int32?
  @Flag(help: "Watch cgroups by inotify, also where the kernel's tracepoints could tell more.") var inotify = false
  @Flag(help: "Do not try in the background what the datapath covers: `status --coverage` then knows nothing new.")
  var noCoverage = false
  @OptionGroup var sources: SourceOptions
  @Flag(help: "Log more.") var verbose = false

  func validate() throws {
    if let maxEntries, !(2...(1 << 26)).contains(maxEntries) {
      throw ValidationError("--max-entries must be between 2 and \(1 << 26)")
    }
    if let readyFd, readyFd < 0 { throw ValidationError("--ready-fd must not be negative") }
  }

  func run() async throws {
    try await AgentProcess(configuration: try merged(), verbose: verbose, readyDescriptor: readyFd).run()
  }

  private func merged() throws -> AgentConfiguration {
    var configuration = try config.map { try AgentConfiguration.read($0) } ?? AgentConfiguration()
    configuration.cgroup = cgroup ?? configuration.cgroup
    configuration.policy = policy ?? configuration.policy
    configuration.state = state ?? configuration.state
    configuration.maxEntries = maxEntries ?? configuration.maxEntries
    if let datapath { configuration.datapath = datapath.kind }
    configuration.flows = flows ?? configuration.flows
    configuration.mirror = mirror ?? configuration.mirror
    configuration.mountBPFFS = mountBpffs || configuration.mountBPFFS
    configuration.sparesOwnNamespace = spareOwnNamespace || configuration.sparesOwnNamespace
    configuration.inotify = inotify || configuration.inotify
    configuration.triesCoverage = !noCoverage && configuration.triesCoverage
    try sources.apply(to: &configuration.sources)
    configuration.ignored = try sources.ignored() ?? configuration.ignored
    return configuration
  }
}
