// The benchmark harness: which questions it answers, and where it begins.

internal import ArgumentParser

@main
struct Entry {
  static func main() async {
    // First, so that cleaning up happens from the first thing that is made.
    Interruption.arm()
    await SallyportBench.main()
  }
}

struct SallyportBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sallyport-bench",
    abstract: "Measures what enforcement costs, as ratios of mechanisms run in turn on this machine.",
    subcommands: [
      RunCommand.self, CompareCommand.self, ReportCommand.self, PublishCommand.self, ClusterCommand.self,
      WorkloadsCommand.self, MemoryCommand.self, RevokeCommand.self, RecordsCommand.self, WorkerCommand.self,
    ], defaultSubcommand: RunCommand.self)
}
