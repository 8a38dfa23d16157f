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
      `sallyport detach` ends enforcement. The configuration file has the same keys as there are options, such as \
      `max-entries: 262144`; options have the last word.
      """)

  @OptionGroup var keys: KeyedOptions<RunKeys>
  @OptionGroup var sources: SourceOptions
  @Option(help: "A configuration file in YAML.") var config: String?
  @Flag(help: "Print the configuration that file and options result in, and exit.") var printConfig = false
  @Option(help: "Write a newline to this file descriptor and close it once everything is enforced.")
  var readyFd: Int32?
  @Flag(help: "Log more.") var verbose = false

  func validate() throws {
    if let readyFd, readyFd < 0 { throw ValidationError("--ready-fd must not be negative") }
  }

  func run() async throws {
    let configuration = try merged()
    if printConfig { return Terminal.write(try configuration.text) }
    try await AgentProcess(configuration: configuration, verbose: verbose, readyDescriptor: readyFd).run()
  }

  private func merged() throws -> AgentConfiguration {
    var configuration = try config.map { try AgentConfiguration.read($0) } ?? AgentConfiguration()
    try keys.apply(to: &configuration)
    try sources.apply(to: &configuration)
    return configuration
  }
}

/// The keys that are options of `run` alone.
enum RunKeys: OptionSelection {
  static let standing = ConfigurationKey.Standing.ofRun
}
