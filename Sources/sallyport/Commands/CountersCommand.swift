// `sallyport counters`: what the kernel counted, by workload and reason.
internal import ArgumentParser
internal import Enforcement
internal import Evidence

struct CountersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "counters", abstract: "Show what was allowed and refused, by workload and reason.")

  @OptionGroup var state: StateOptions
  @OptionGroup var options: OutputOptions

  func run() throws {
    throw Failure("not there yet")
  }
}
