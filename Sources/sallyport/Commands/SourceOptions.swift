// Which sources of labels are asked, on the command line and in the configuration file.
internal import ArgumentParser
internal import Policy
internal import Workloads

/// The options of every command that looks at workloads itself.
struct SourceOptions: ParsableArguments {
  @OptionGroup var keys: KeyedOptions<SourceKeys>
  @Option(
    help: ArgumentHelp(
      "Where something is that sources read; repeat for more.",
      discussion: "Known are \(SourceSettings.Place.allCases.map(\.rawValue).joined(separator: ", ")).",
      valueName: "name=path"))
  var place: [String] = []

  /// Lays the options over a configuration.
  func apply(to configuration: inout AgentConfiguration) throws {
    try keys.apply(to: &configuration)
    for text in place {
      for (place, path) in try SourceSettings.places(text) { configuration.sources.places[place] = path }
    }
  }
}

/// The keys of every command that reads sources of labels.
enum SourceKeys: OptionSelection {
  static let standing = ConfigurationKey.Standing.ofSources
}

extension SourceSettings {
  /// Reads `NAME=PATH`, or several with commas between them.
  static func places(_ text: String) throws -> [(Place, String)] {
    let known = Place.allCases.map(\.rawValue)
    // A comma is part of a path unless a name and `=` come after it.
    var words: [String] = []
    for word in text.split(separator: ",", omittingEmptySubsequences: false).map(String.init) {
      if words.isEmpty || word.contains("=") { words.append(word) } else { words[words.count - 1] += "," + word }
    }
    return try words.map { word in
      let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
      guard let name = parts.first, let place = Place(rawValue: name) else {
        let name = parts.first ?? word
        throw Failure(
          "--place \(text): unknown place \(name.debugDescription)",
          remedy: Spelling.nearest(to: name, in: known).map { "did you mean `\($0)`?" }
            ?? "known are \(known.joined(separator: ", "))", status: .usage)
      }
      guard parts.count == 2, parts[1].hasPrefix("/") else {
        throw Failure(
          "--place \(word): not an absolute path", remedy: "write it like docker-socket=/run/docker.sock",
          status: .usage)
      }
      return (place, parts[1])
    }
  }

  /// Reads names with commas between them.
  static func names(_ text: String) throws -> Set<Name> {
    var names: Set<Name> = []
    for word in text.split(separator: ",") {
      guard let name = Name(rawValue: String(word)) else {
        let known = Name.allCases.map(\.rawValue)
        let near = Spelling.nearest(to: String(word), in: known).map { "did you mean `\($0)`? " } ?? ""
        throw Failure(
          "unknown source \(String(word).debugDescription)",
          remedy: "\(near)known are \(known.joined(separator: ", "))",
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
