// Which sources of labels are asked, on the command line and in the configuration file.
internal import ArgumentParser
internal import Policy
internal import Workloads

/// The options of every command that looks at workloads itself.
struct SourceOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The sources of labels to ask, with commas between them (default: all).",
      discussion: "Known are \(SourceSettings.Name.allCases.map(\.rawValue).joined(separator: ", ")).",
      valueName: "names"))
  var sources: String?
  @Option(
    help: ArgumentHelp(
      "Where something is that sources read; repeat for more.",
      discussion: "Known are \(SourceSettings.Place.allCases.map(\.rawValue).joined(separator: ", ")).",
      valueName: "name=path"))
  var place: [String] = []
  @Option(help: "A YAML file of labels by cgroup path.") var labels: String?
  @Option(help: "A selector: containers and units whose labels match it are no workloads.") var ignore: String?

  /// Lays the options over settings.
  func apply(to settings: inout SourceSettings) throws {
    if let sources { settings.enabled = try SourceSettings.names(sources) }
    for text in place {
      let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2, let place = SourceSettings.Place(rawValue: parts[0]), parts[1].hasPrefix("/") else {
        throw Failure(
          "--place \(text) is not understood", remedy: "write it like docker-socket=/run/docker.sock", status: .usage)
      }
      settings.places[place] = parts[1]
    }
    settings.labels = labels ?? settings.labels
  }

  /// What is to be ignored.
  func ignored() throws -> Selector? { try ignore.map { try Selector(argument: $0) } }
}

extension SourceSettings {
  /// Reads names with commas between them.
  static func names(_ text: String) throws -> Set<Name> {
    var names: Set<Name> = []
    for word in text.split(separator: ",") {
      guard let name = Name(rawValue: String(word)) else {
        throw Failure(
          "there is no source \(word)", remedy: "known are \(Name.allCases.map(\.rawValue).joined(separator: ", "))",
          status: .usage)
      }
      names.insert(name)
    }
    return names
  }
}

extension Selector {
  /// Reads a selector as it is given on a command line.
  init(argument: String) throws {
    do {
      self = try Selector(parsing: argument)
    } catch {
      throw Failure("\(error)", remedy: "write it like app=web,!legacy", status: .usage)
    }
  }
}
