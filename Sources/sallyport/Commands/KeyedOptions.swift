// Options of the command line that are made of the keys of the configuration.
internal import ArgumentParser

/// Which keys a command has as options.
protocol OptionSelection {
  static var standing: ConfigurationKey.Standing { get }
}

/// One option for each key of a selection.
///
/// ArgumentParser finds options by reflection and decodes them by name, so both are answered from the table.
struct KeyedOptions<Selection: OptionSelection>: ParsableArguments, CustomReflectable {
  /// What was given, in the order of the table.
  private(set) var given: [(key: ConfigurationKey, text: String)] = []

  private static var keys: [ConfigurationKey] { ConfigurationKey.all.filter { $0.standing == Selection.standing } }

  init() {}

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: KeyName.self)
    for key in Self.keys {
      let name = KeyName(stringValue: key.name)
      switch key.form {
      case .flag(let standard):
        let isGiven = try container.decode(Flag<Bool>.self, forKey: name).wrappedValue
        if isGiven { given.append((key, String(!standard))) }
      case .text, .number:
        if let text = try container.decode(Option<String?>.self, forKey: name).wrappedValue {
          given.append((key, text))
        }
      }
    }
  }

  var customMirror: Mirror {
    Mirror(self, children: Self.keys.map { (label: "_\($0.name)", value: $0.definition) })
  }

  /// Lays what was given over a configuration.
  func apply(to configuration: inout AgentConfiguration) throws {
    for (key, text) in given {
      do { try key.set(&configuration, text) } catch let failure as Failure {
        throw Failure("--\(key.name) \(text): \(failure.problem)", remedy: failure.remedy, status: .usage)
      }
    }
  }
}

private struct KeyName: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }
  init(stringValue: String) { self.stringValue = stringValue }
  init?(intValue: Int) { nil }
}

extension ConfigurationKey {
  /// What it is called on the command line.
  var optionName: String { form == .flag(byDefault: true) ? "no-\(name)" : name }

  /// What ArgumentParser is to parse.
  fileprivate var definition: Any {
    switch form {
    case .flag(let standard):
      Flag(
        wrappedValue: false, name: .customLong(optionName),
        help: ArgumentHelp(standard ? "Do not \(help.prefix(1).lowercased())\(help.dropFirst())" : help))
    case .text(let placeholder):
      Option<String?>(
        name: .customLong(name), help: ArgumentHelp("\(help)\(defaultInHelp)", valueName: placeholder))
    case .number:
      Option<String?>(name: .customLong(name), help: ArgumentHelp("\(help)\(defaultInHelp)", valueName: "number"))
    }
  }

  private var defaultInHelp: String { standard == "none" ? "" : " (default: \(standard))" }
}
