// `sallyport label`: labels on a cgroup that somebody else made.
internal import ArgumentParser
internal import Policy
internal import Workloads

struct LabelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "label", abstract: "Label a cgroup; returns once that is enforced.")

  @Argument(help: "The cgroup's path below the root of the hierarchy, such as /system.slice/nginx.service.")
  var cgroup: String
  @Argument(help: "The labels, key=value.") var labels: [String]
  @Flag(help: "Report what policy would do and do nothing.") var observe = false
  @OptionGroup var state: StateOptions

  func run() throws {
    var request = ControlRequest(.labelWorkload)
    request.cgroup = cgroup
    request.tag = WorkloadTag(labels: try LabelSet(arguments: labels), mode: observe ? .observe : .enforce).text
    let answer = try state.client.ask(request)
    for warning in answer.warnings { Terminal.warn(warning) }
    Terminal.print("labelled: generation \(answer.generation ?? 0)")
  }
}

extension LabelSet {
  /// Reads labels as they are given on a command line: each argument one label or several with commas.
  init(arguments: [String]) throws {
    do {
      self = try LabelSet(parsing: arguments.joined(separator: ","))
    } catch {
      throw Failure("\(error)", remedy: "write labels as key=value", status: .usage)
    }
  }
}
