// What somebody probably meant who typed a command that there is not.
internal import ArgumentParser
internal import Policy

enum CommandHints {
  /// What others call our commands.
  private static let others = [
    "logs": "flows", "log": "flows", "events": "flows", "top": "flows --follow", "ps": "workloads", "ls": "workloads",
    "list": "workloads", "start": "run", "agent": "run", "stop": "detach", "uninstall": "detach",
    "check": "policy check",
    "validate": "policy check", "apply": "policy apply", "explain": "why", "trace": "why", "tags": "tag",
  ]

  /// Refuses a word that is no command, with the one that was probably meant.
  ///
  /// - Throws: exit code 2; what else is wrong with a command line is left to its parser.
  static func check(_ arguments: [String], of root: any ParsableCommand.Type) throws {
    var command = root
    var path = "sallyport"
    for word in arguments {
      let known = command.configuration.subcommands
      guard !known.isEmpty, !word.hasPrefix("-"), word != "help" else { return }
      if let next = known.first(where: { $0._commandName == word }) {
        command = next
        path += " \(word)"
        continue
      }
      let names = known.map { $0._commandName }
      let meant =
        Spelling.nearest(to: word, in: names).map { "\(path) \($0)" } ?? others[word].map { "sallyport \($0)" }
      throw Failure(
        (path == "sallyport" ? "" : "\(path.dropFirst(10)): ") + "unknown command \(word.debugDescription)",
        remedy: meant.map { "did you mean `\($0)`?" } ?? "see `\(path) --help`", status: .usage)
    }
  }
}
