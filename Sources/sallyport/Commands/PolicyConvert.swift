// `sallyport policy convert`: the same policy in the other language, or why not.
internal import ArgumentParser
internal import Policy

struct PolicyConvert: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert", abstract: "Convert a policy to native or to Kubernetes documents, where nothing is lost.",
    discussion: """
      Prints YAML. If anything cannot be said in the other language, it prints which rule and why as FILE:LINE: FIELD: PROBLEM; \
      REMEDY, nothing else, and ends with 1. Namespace, Pod and Node documents are no policy and are not printed.
      """)

  enum Language: String, CaseIterable, ExpressibleByArgument { case native, kubernetes }

  @Option(help: "native or kubernetes.") var to: Language
  @Argument(help: "Files or directories.") var paths: [String]

  func run() throws {
    let loaded = try LoadedPolicy.read(paths)
    for warning in loaded.warnings { Terminal.warn(warning) }
    let made = to == .native ? PolicyConversion.native(loaded.policy) : PolicyConversion.kubernetes(loaded.policy)
    for problem in made.problems { Terminal.complain(problem.description) }
    guard made.problems.isEmpty else {
      throw Failure("\(made.problems.count) rules cannot be converted to \(to.rawValue) documents")
    }
    Terminal.print(made.documents.joined(separator: "\n---\n"))
  }
}
