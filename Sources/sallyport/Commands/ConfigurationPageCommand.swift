// docs/CONFIGURATION.md, made of the keys themselves.
internal import ArgumentParser

/// Prints the reference page; a test compares it with the file.
struct ConfigurationPageCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "configuration-page", abstract: "Print docs/CONFIGURATION.md.", shouldDisplay: false)

  func run() throws {
    let example = try ConfigurationKey.all.map { "\($0.name): \(try $0.yaml($0.example))\n" }.joined()
    Terminal.write(
      """
      # Configuration of the agent

      `sallyport run --config FILE` reads a YAML mapping of the keys below. Each is an option of `run`
      too, which has the last word; `sallyport run --config FILE --print-config` prints what results.
      A key that is not known, and a value that cannot be, is refused with file, line and key.

      This page is printed by `sallyport configuration-page`, and a test keeps it true:
      `SALLYPORT_WRITE_PAGES=1 swift test --filter ConfigurationTests` writes it again.

      ## Every key, with a value that is not the default
      ```yaml
      \(example)```

      """ + ConfigurationKey.all.map(\.section).joined())
  }
}

extension ConfigurationKey {
  fileprivate var section: String {
    let kind =
      switch form {
      case .text: "text"
      case .number(let range): "a number from \(range.lowerBound) to \(range.upperBound)"
      case .flag: "true or false"
      }
    let option =
      switch standing {
      case .ofRun, .ofSources: "--\(optionName)"
      case .place: "--place \(name)=PATH"
      }
    return """

      ## `\(name)`
      \(help.wrapped(at: 100))

      - value: \(kind); default: \(standard)
      - option: `\(option)`

      """
  }
}

extension String {
  /// The same words on lines of at most so many characters.
  fileprivate func wrapped(at width: Int) -> String {
    var lines = [""]
    for word in split(separator: " ") {
      let last = lines[lines.count - 1]
      if last.isEmpty {
        lines[lines.count - 1] += word
      } else if last.count + 1 + word.count <= width {
        lines[lines.count - 1] += " " + word
      } else {
        lines.append(String(word))
      }
    }
    return lines.joined(separator: "\n")
  }
}
