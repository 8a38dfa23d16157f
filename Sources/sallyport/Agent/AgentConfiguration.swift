// What an agent is told: a YAML file and the command line, which has the last word.
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import Workloads
internal import Yams

/// How an agent runs; the keys of the file are the names of the options.
struct AgentConfiguration: Sendable, Equatable {
  /// The cgroup to enforce on.
  var cgroup: String?
  /// The policy directory or file.
  var policy: String?
  /// The state directory.
  var state = "/run/sallyport"
  /// How many cells the policy table holds, both slots together; nil = the default.
  var maxEntries: Int?
  /// Which datapath is to enforce; nil = the best that works here.
  var datapath: DatapathKind?
  /// Whether the netfilter datapath writes no rules in the agent's own network namespace.
  var sparesOwnNamespace = false
  /// Where to mount cgroup2 on a host that mounts version 1 alone.
  var mirror = "/run/sallyport/cgroup2"
  /// Whether to mount bpffs when it is missing.
  var mountBPFFS = false
  /// The file of flow records; nil = `flows.jsonl` in the state directory.
  var flows: String?
  /// How many bytes a file of flow records may have before it is rotated.
  var flowsSize = 64 << 20
  /// Whether cgroups are watched by inotify although the kernel could tell more.
  var inotify = false
  /// Whether it is tried what the datapath covers, when that is not known.
  var triesCoverage = true
  /// Which sources of labels are asked, and where they are.
  var sources = SourceSettings()
  /// Containers and units that are no workloads although a source knows them; nil = none.
  var ignored: Selector?

  var stateDirectory: FilePath { FilePath(state) }

  /// Reads a configuration file.
  ///
  /// - Throws: with file, line and key, for everything that is not understood.
  static func read(_ path: String) throws -> AgentConfiguration {
    let text = try readKernelFile(FilePath(path))
    return try parse(text, file: path)
  }

  /// Reads the text of a configuration file.
  static func parse(_ text: String, file: String) throws -> AgentConfiguration {
    var configuration = AgentConfiguration()
    let root: Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch {
      throw Failure("\(file): \(error)", remedy: "write YAML: one `key: value` a line")
    }
    guard let root else { return configuration }
    guard let mapping = root.mapping else {
      throw Failure("\(file):1: not a mapping", remedy: "write one `key: value` a line")
    }
    for (key, value) in mapping {
      let place = "\(file):\(key.mark?.line ?? 1): \(key.string ?? "?")"
      switch key.string {
      case "cgroup": configuration.cgroup = try string(value, place)
      case "policy": configuration.policy = try string(value, place)
      case "state": configuration.state = try string(value, place)
      case "mirror": configuration.mirror = try string(value, place)
      case "flows": configuration.flows = try string(value, place)
      case "max-entries": configuration.maxEntries = try number(value, place, 2...(1 << 26))
      case "flows-size": configuration.flowsSize = try number(value, place, 65536...(1 << 40))
      case "datapath": configuration.datapath = try DatapathChoice(string(value, place), place).kind
      case "spare-own-namespace":
        guard let flag = value.bool else { throw Failure("\(place): not a truth value", remedy: "write true or false") }
        configuration.sparesOwnNamespace = flag
      case "mount-bpffs":
        guard let flag = value.bool else { throw Failure("\(place): not a truth value", remedy: "write true or false") }
        configuration.mountBPFFS = flag
      case "inotify":
        guard let flag = value.bool else { throw Failure("\(place): not a truth value", remedy: "write true or false") }
        configuration.inotify = flag
      case "coverage":
        guard let flag = value.bool else { throw Failure("\(place): not a truth value", remedy: "write true or false") }
        configuration.triesCoverage = flag
      case "sources": configuration.sources.enabled = try SourceSettings.names(string(value, place))
      case "labels": configuration.sources.labels = try string(value, place)
      case "ignore": configuration.ignored = try Selector(argument: string(value, place))
      case let name?:
        guard let known = SourceSettings.Place(rawValue: name) else {
          let near = Spelling.nearest(to: name, in: Self.keys).map { "did you mean `\($0)`? " } ?? ""
          throw Failure("\(place): unknown key", remedy: "\(near)known are \(Self.keys.joined(separator: ", "))")
        }
        configuration.sources.places[known] = try string(value, place)
      case nil: throw Failure("\(place): not a text", remedy: "known are \(Self.keys.joined(separator: ", "))")
      }
    }
    return configuration
  }

  private static let keys =
    [
      "cgroup", "policy", "state", "flows", "flows-size", "max-entries", "datapath", "spare-own-namespace",
      "mount-bpffs", "mirror", "inotify", "coverage", "sources", "labels", "ignore",
    ]
    + SourceSettings.Place.allCases.map(\.rawValue)

  private static func string(_ node: Node, _ place: String) throws -> String {
    guard let text = node.string, !text.isEmpty else { throw Failure("\(place): not a text", remedy: "write a path") }
    return text
  }

  private static func number(_ node: Node, _ place: String, _ range: ClosedRange<Int>) throws -> Int {
    guard let number = node.int, range.contains(number) else {
      throw Failure("\(place): not a number in range", remedy: "write \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }
}
