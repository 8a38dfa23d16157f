// How an agent runs: a YAML file and the command line, which has the last word.
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import Workloads
internal import Yams

/// How an agent runs; what a file and the command line may say of it is in `ConfigurationKey.all`.
struct AgentConfiguration: Sendable, Equatable {
  var cgroup: String?
  var policy: String?
  var state = "/run/sallyport"
  var maxEntries = Int(DatapathOptions(cgroup: "").maxEntries)
  /// Nil = the best that works here.
  var datapath: DatapathKind?
  var sparesOwnNamespace = false
  var mirror = "/run/sallyport/cgroup2"
  var mountBPFFS = false
  /// Nil = `flows.jsonl` in the state directory.
  var flows: String?
  var flowsSize = 64 << 20
  var inotify = false
  var triesCoverage = true
  var sources = SourceSettings()
  /// Containers and units that are not workloads although a source knows them; nil = none.
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
    for (name, value) in mapping {
      let place = "\(file):\(name.mark?.line ?? 1): \(name.string ?? "?")"
      do {
        let key = try ConfigurationKey.named(name.string)
        try key.set(&configuration, key.text(of: value))
      } catch let failure as Failure {
        throw Failure("\(place): \(failure.problem)", remedy: failure.remedy)
      }
    }
    return configuration
  }

  /// The text of a file that says the same; what has no value and no default is left out.
  var text: String {
    get throws {
      try ConfigurationKey.all.compactMap { key in
        try key.get(self).map { "\(key.name): \(try key.yaml($0))\n" }
      }.joined()
    }
  }
}
