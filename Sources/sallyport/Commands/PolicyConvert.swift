// `sallyport policy convert`: the same policy in the other language, or why not.
internal import ArgumentParser
internal import Enforcement
internal import Policy

struct PolicyConvert: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert", abstract: "Convert a policy to native or to Kubernetes documents, where nothing is lost.",
    discussion: """
      Prints YAML. If anything cannot be said in the other language, it prints which rule and why as FILE:LINE: FIELD: PROBLEM; \
      REMEDY, nothing else, and ends with 1. Namespace, Pod and Node documents are not policy and are not printed.

      AdminNetworkPolicy and BaselineAdminNetworkPolicy (v1alpha1) are converted to ClusterNetworkPolicy (v1alpha2) by \
      `--to kubernetes`; where there are any, documents of other kinds are left out.
      """)

  enum Language: String, CaseIterable, ExpressibleByArgument { case native, kubernetes }

  @Option(help: "native or kubernetes.") var to: Language
  @Argument(help: "Files or directories.") var paths: [String]

  func run() throws {
    if to == .kubernetes, try convertsAdminPolicies() { return }
    let loaded = try LoadedPolicy.read(paths)
    for warning in loaded.warnings { Terminal.warn(warning) }
    let made = to == .native ? PolicyConversion.native(loaded.policy) : PolicyConversion.kubernetes(loaded.policy)
    for problem in made.problems { Terminal.complain(problem.description) }
    guard made.problems.isEmpty else {
      throw Failure("\(made.problems.count) rules cannot be converted to \(to.rawValue) documents")
    }
    Terminal.print(made.documents.joined(separator: "\n---\n"))
  }

  /// Converts the older kinds of cluster-wide policies; false if there are none.
  private func convertsAdminPolicies() throws -> Bool {
    let sources = try paths.flatMap { try PolicyDirectory($0).read() }
    guard sources.contains(where: { $0.bytes.contains("AdminNetworkPolicy".utf8) }) else { return false }
    let made = AdminPolicyConversion(files: sources.map { ($0.name, $0.bytes) })
    if made.documents.isEmpty, made.problems.isEmpty { return false }
    for warning in made.warnings { Terminal.warn(warning.description) }
    for problem in made.problems { Terminal.complain(problem.description) }
    let count = made.problems.count
    guard count == 0 else { throw Failure("not converted: \(count) problem\(count == 1 ? "" : "s")") }
    if made.others > 0 { Terminal.warn("\(made.others) documents of other kinds are left out") }
    Terminal.print(made.documents.joined(separator: "\n---\n"))
    return true
  }
}
