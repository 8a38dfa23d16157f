// `sallyport label`: labels on a cgroup that somebody else made.
internal import ArgumentParser
internal import Policy
internal import Workloads

struct LabelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "label", abstract: "Label a cgroup, or remove its labels; returns once that is enforced.",
    discussion: "Labels given this way stay on the cgroup, also across agents, until --remove or the cgroup's end.")

  @Argument(help: "The cgroup's path below the root of the hierarchy, such as /system.slice/nginx.service.")
  var cgroup: String
  @Argument(help: "The labels, key=value.") var labels: [String] = []
  @Flag(help: "Report what policy would do and do nothing.") var observe = false
  @Flag(help: "Remove the labels that `label` or `exec` gave.") var remove = false
  @OptionGroup var state: StateOptions

  func validate() throws {
    guard remove == labels.isEmpty else {
      throw ValidationError(remove ? "--remove takes no labels" : "give at least one label, key=value, or --remove")
    }
  }

  func run() throws {
    var request = ControlRequest(remove ? .unlabelWorkload : .labelWorkload)
    request.cgroup = cgroup
    let labels = try LabelSet(arguments: labels)
    if !remove { request.tag = WorkloadTag(labels: labels, mode: observe ? .observe : .enforce).text }
    let answer = try state.client.ask(request)
    for warning in answer.warnings { Terminal.warn(warning) }
    Terminal.printLine(remove ? "\(cgroup): labels removed" : "\(cgroup) labelled \(labels)")
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
