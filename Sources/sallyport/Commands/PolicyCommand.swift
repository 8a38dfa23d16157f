// `sallyport policy`: its verbs, and how documents are read for them.
internal import ArgumentParser
internal import Enforcement
internal import Policy
internal import SystemPackage

struct PolicyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "policy", abstract: "Check, apply, show, compare and query policy.",
    subcommands: [
      PolicyCheck.self, PolicyApply.self, PolicyShow.self, PolicyDiff.self, PolicyVerdict.self, PolicyMatrix.self,
      PolicyConvert.self,
    ])
}

/// Policy as documents and as what they mean.
struct LoadedPolicy {
  var sources: [PolicySource]
  var policy: PolicySet
  var warnings: [String]

  /// Reads files and directories.
  ///
  /// - Throws: after printing every error as `FILE:LINE: FIELD: PROBLEM; REMEDY`.
  static func read(_ paths: [String]) throws -> LoadedPolicy {
    var sources: [PolicySource] = []
    var notes: [String] = []
    for path in paths {
      let directory = PolicyDirectory(path)
      let read = try directory.read()
      notes += try directory.notes(of: read)
      sources += read
    }
    var loaded = try parse(sources)
    loaded.warnings = notes + loaded.warnings
    return loaded
  }

  /// Parses what was read, likewise.
  static func parse(_ sources: [PolicySource]) throws -> LoadedPolicy {
    do {
      let parsed = try PolicyParser.parse(files: sources.map { ($0.name, $0.bytes) })
      return LoadedPolicy(
        sources: sources, policy: parsed.policy,
        warnings: (parsed.warnings + PolicyReview.warnings(of: parsed.policy)).map(\.description))
    } catch {
      for warning in error.warnings { Terminal.warn(warning.description) }
      for fault in error.errors { Terminal.complain(fault.description) }
      let count = error.errors.count
      throw Failure("policy refused: \(count) error\(count == 1 ? "" : "s")")
    }
  }
}

struct PolicyApply: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apply", abstract: "Put policy in force, until the agent's policy directory changes.")

  @Argument(help: "Files or directories.") var paths: [String]
  @OptionGroup var state: StateOptions

  func run() throws {
    let loaded = try LoadedPolicy.read(paths)
    var request = ControlRequest(.applyPolicy)
    request.sources = loaded.sources
    let answer = try state.client.ask(request)
    for warning in answer.warnings { Terminal.warn(warning) }
    Terminal.print(
      "applied: generation \(answer.generation ?? 0), \(answer.rowsWritten ?? 0) rows written, "
        + "\(answer.revoked ?? 0) connections cut")
  }
}

struct PolicyShow: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Print the documents in force, as they were applied.")

  @OptionGroup var state: StateOptions
  @Option(name: [.customShort("o"), .long], help: "How to print: table (the documents as text), json or yaml.")
  var output: OutputFormat = .table

  func run() throws {
    let sources = try state.snapshot().sources
    switch output {
    case .table:
      for source in sources {
        Terminal.print("# \(source.name)")
        Terminal.print(String(decoding: source.bytes, as: UTF8.self))
      }
    case .json: Terminal.print(try Document.pretty(sources))
    case .yaml: Terminal.write(try Document.yaml(sources))
    }
  }
}
