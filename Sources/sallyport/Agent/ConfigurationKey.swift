// What one key of the configuration is: how it is read, shown and documented.
internal import Policy
internal import Workloads
internal import Yams

/// A key of the configuration file; the option of the command line has the same name.
struct ConfigurationKey: Sendable {
  /// What stands after the name.
  enum Form: Sendable, Equatable {
    case text(placeholder: String)
    case number(ClosedRange<Int>)
    /// `true` or `false`; the option has no value and turns the default round.
    case flag(byDefault: Bool)
  }

  /// Where it stands on the command line.
  enum Standing: Sendable, Equatable {
    case ofRun
    /// Of `run` and of every command that reads sources of labels.
    case ofSources
    /// As `--place NAME=PATH`.
    case place
  }

  let name: String
  let form: Form
  let standing: Standing
  /// What holds without it, for people.
  let standard: String
  /// A value that is not the default, for the reference page and its test.
  let example: String
  let help: String
  /// Reads a value into a configuration.
  ///
  /// - Throws: `Failure` with the problem alone: the caller knows where it stands.
  let set: @Sendable (inout AgentConfiguration, String) throws -> Void
  /// The value of a configuration, as `set` reads it; nil = none.
  let get: @Sendable (AgentConfiguration) -> String?

  /// The key of that name.
  static func named(_ name: String?) throws -> ConfigurationKey {
    if let key = all.first(where: { $0.name == name }) { return key }
    let names = all.map(\.name)
    guard let name else { throw Failure("not a text", remedy: "known are \(names.joined(separator: ", "))") }
    let near = Spelling.nearest(to: name, in: names).map { "did you mean `\($0)`? " } ?? ""
    throw Failure("unknown key", remedy: "\(near)known are \(names.joined(separator: ", "))")
  }

  /// The text of a value in a file.
  func text(of node: Node) throws -> String {
    switch form {
    case .text:
      guard let text = node.string, !text.isEmpty else { throw Failure("not a text", remedy: "write a path") }
      return text
    case .number(let range):
      guard let number = node.int else { throw Self.outside(range) }
      return String(number)
    case .flag:
      guard let flag = node.bool else { throw Failure("not a truth value", remedy: "write true or false") }
      return String(flag)
    }
  }

  /// A value as it stands in a file.
  func yaml(_ text: String) throws -> String {
    guard case .text = form else { return text }
    let scalar = try Yams.serialize(node: Node(text))
    return String(scalar.prefix { $0 != "\n" })
  }

  static func outside(_ range: ClosedRange<Int>) -> Failure {
    Failure("not a number in range", remedy: "write \(range.lowerBound) to \(range.upperBound)")
  }
}

extension ConfigurationKey {
  /// Where a configuration has the value.
  typealias Place<Value> = any WritableKeyPath<AgentConfiguration, Value> & Sendable

  /// A path or another text.
  static func text(
    _ name: String, _ place: Place<String?>, _ placeholder: String = "path",
    standing: Standing = .ofRun, standard: String = "none", example: String, help: String
  ) -> ConfigurationKey {
    ConfigurationKey(
      name: name, form: .text(placeholder: placeholder), standing: standing, standard: standard, example: example,
      help: help, set: { $0[keyPath: place] = $1 }, get: { $0[keyPath: place] })
  }

  /// A path that has a default.
  static func text(
    _ name: String, _ place: Place<String>, _ placeholder: String = "path",
    example: String, help: String
  ) -> ConfigurationKey {
    ConfigurationKey(
      name: name, form: .text(placeholder: placeholder), standing: .ofRun,
      standard: AgentConfiguration()[keyPath: place], example: example, help: help,
      set: { $0[keyPath: place] = $1 }, get: { $0[keyPath: place] })
  }

  static func number(
    _ name: String, _ place: Place<Int>, _ range: ClosedRange<Int>,
    example: Int, help: String
  ) -> ConfigurationKey {
    ConfigurationKey(
      name: name, form: .number(range), standing: .ofRun, standard: String(AgentConfiguration()[keyPath: place]),
      example: String(example), help: help,
      set: { configuration, text in
        guard let number = Int(text), range.contains(number) else { throw outside(range) }
        configuration[keyPath: place] = number
      }, get: { String($0[keyPath: place]) })
  }

  static func flag(
    _ name: String, _ place: Place<Bool>, help: String
  ) -> ConfigurationKey {
    let standard = AgentConfiguration()[keyPath: place]
    return ConfigurationKey(
      name: name, form: .flag(byDefault: standard), standing: .ofRun, standard: String(standard),
      example: String(!standard), help: help, set: { $0[keyPath: place] = $1 == "true" },
      get: { String($0[keyPath: place]) })
  }

  /// A text that is read into something else.
  static func parsed(
    _ name: String, _ placeholder: String, standing: Standing, standard: String, example: String, help: String,
    set: @escaping @Sendable (inout AgentConfiguration, String) throws -> Void,
    get: @escaping @Sendable (AgentConfiguration) -> String?
  ) -> ConfigurationKey {
    ConfigurationKey(
      name: name, form: .text(placeholder: placeholder), standing: standing, standard: standard, example: example,
      help: help, set: set, get: get)
  }
}
