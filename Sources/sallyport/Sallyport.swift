// The command: its nouns, its verbs, and how it ends.
internal import ArgumentParser
internal import Enforcement
internal import Glibc
internal import Kernel
internal import SystemPackage

@main
struct Sallyport: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sallyport",
    abstract: "Identity-based microsegmentation for Linux hosts.",
    discussion: """
      Exit codes: 0 done, 1 refused or invalid, 2 usage, 3 not enforcing, 4 permission denied; \
      of preflight also 5 ready with remarks, 6 a check could not run.
      """,
    version: Version.text,
    groupedSubcommands: [
      CommandGroup(
        name: "Inspect",
        subcommands: [
          StatusCommand.self, WorkloadsCommand.self, TagCommand.self, IdentitiesCommand.self, FlowsCommand.self,
          WhyCommand.self, CountersCommand.self,
        ]),
      CommandGroup(
        name: "Change",
        subcommands: [
          RunCommand.self, ExecCommand.self, LabelCommand.self, UnitCommand.self, PolicyCommand.self,
          DetachCommand.self,
        ]),
      CommandGroup(
        name: "Diagnose",
        subcommands: [
          PreflightCommand.self, ProbeCommand.self, VersionCommand.self, ConfigurationPageCommand.self,
        ]),
    ])

  static func main() async {
    do {
      try CommandHints.check(HostIdentity.arguments, of: Sallyport.self)
      var command = try parseAsRoot(HostIdentity.arguments)
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch {
      end(with: error)
    }
  }

  /// Shows an error and ends with the exit code that the documentation promises for it.
  private static func end(with error: any Error) -> Never {
    switch error {
    case let failure as Failure:
      Terminal.complain(failure.description)
      Glibc.exit(failure.status.rawValue)
    case let code as ExitCode: Glibc.exit(code.rawValue)
    case let error as any ExplainedError where error.denied != nil:
      Terminal.complain(Failure.denied(error).description)
      Glibc.exit(ExitStatus.notPermitted.rawValue)
    default:
      let code = exitCode(for: error)
      if code == .success { exit(withError: error) }
      if code == .validationFailure {
        let text = fullMessage(for: error)
        Terminal.complain(text.hasPrefix("Error: ") ? String(text.dropFirst(7)) : text)
        Glibc.exit(ExitStatus.usage.rawValue)
      }
      Terminal.complain("\(error)")
      Glibc.exit(ExitStatus.refused.rawValue)
    }
  }
}

/// What this program calls itself.
enum Version {
  static let text = "0.1.0"
}
