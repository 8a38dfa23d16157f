// `sallyport preflight`: can this host run Sallyport, with which datapath, and what stands in the way?
internal import ArgumentParser
internal import Glibc
internal import Kernel
internal import Preflight
internal import SystemPackage

/// What `--for` says.
enum PreflightPurpose: String, CaseIterable, ExpressibleByArgument {
  case cgroup, netfilter, cluster

  var feature: Purpose? { Purpose(rawValue: rawValue) }
}

struct PreflightCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "preflight",
    abstract: "Check whether this host meets Sallyport's requirements, and name the remedy for each that it does not.",
    discussion: """
      Changes nothing without --fix. Works without privileges: what could not be looked at is told as such. Ends with 0 \
      if nothing stands in the way, 1 if something required is missing, 5 if it is ready with remarks, 6 if something \
      required could not be looked at. docs/PREFLIGHT.md lists the checks.
      """)

  @Option(name: .customLong("for"), help: "Look only at what this needs: cgroup, netfilter or cluster.")
  var purpose: PreflightPurpose?
  @Flag(help: "Show every check, also those that pass.") var all = false
  @Option(help: "Show all there is to know about one check, such as host.time.") var explain: String?
  @Option(
    help: """
      An address that this host is to reach: HOST:PORT or tls://HOST:PORT with a certificate, tcp://HOST:PORT without. \
      May be given several times.
      """)
  var connect: [String] = []
  @Option(help: "A file with such addresses, one a line; # begins a comment.") var connectFrom: String?
  @Option(help: "A file or directory of authorities' certificates, instead of OpenSSL's own.") var trustStore: String?
  @Option(help: "The time for everything, in seconds.") var timeout: Int = 10
  @Flag(help: "Repair what the findings say can be repaired, then look again.") var fix = false
  @Flag(help: "With --fix: only say what would be done.") var dryRun = false
  @Flag(help: .hidden) var page = false
  @Option(help: .hidden) var root: String = ""
  @OptionGroup var options: OutputOptions

  func validate() throws {
    guard (1...600).contains(timeout) else { throw ValidationError("--timeout must be between 1 and 600") }
    guard !dryRun || fix else { throw ValidationError("--dry-run is for --fix") }
    guard explain == nil || !fix else { throw ValidationError("--explain and --fix do not go together") }
  }

  func run() throws {
    if page { return Terminal.write(PreflightPage.text) }
    let settings = try settings()
    let survey = try look(settings)
    if let explain {
      guard let row = survey.rows.first else {
        throw Failure("no check is called \(explain)", remedy: "`sallyport preflight --all` lists them", status: .usage)
      }
      return try options.print(PreflightDocument.Check(row)) { row.explanation }
    }
    guard fix else { return try show(survey) }
    try repair(survey, settings)
  }

  private func look(_ settings: SurveySettings) throws -> Survey {
    let host = root.isEmpty ? HostView.current(environment: Self.environment) : HostView(root: root)
    defer { Progress.clear() }
    return try Survey.of(host, settings) { Progress.show($0) }
  }

  /// Prints a survey, and ends with what it comes to; with 1 where something that was to be done was not.
  private func show(_ survey: Survey, leavesUndone: Bool = false) throws {
    try options.print(PreflightDocument(survey)) { survey.table(all: all, width: Terminal.width) }
    let status = leavesUndone ? .refused : ExitStatus(survey.outcome)
    if status != .done { throw ExitCode(status.rawValue) }
  }

  private func settings() throws -> SurveySettings {
    var settings = SurveySettings()
    settings.purpose = purpose?.feature
    settings.only = explain
    settings.limit = .seconds(timeout)
    settings.triesHere = root.isEmpty
    settings.trustStore = TrustStore(path: trustStore)
    if let trustStore, !isThere(trustStore) {
      throw Failure("--trust-store \(trustStore): no such file or directory", status: .usage)
    }
    var addresses = connect
    if let connectFrom {
      let lines = String(decoding: try readRegularFile(connectFrom, limit: 1 << 20), as: UTF8.self).split(
        separator: "\n")
      addresses += lines.map { String($0.prefix { $0 != "#" }) }.filter { !$0.allSatisfy(\.isWhitespace) }
    }
    for address in addresses {
      guard let destination = Destination(address) else {
        throw Failure(
          "'\(address)' is no address to connect to", remedy: "write HOST:PORT, tls://HOST:PORT or tcp://HOST:PORT",
          status: .usage)
      }
      if !settings.destinations.contains(destination) { settings.destinations.append(destination) }
    }
    return settings
  }

  /// Those that say where a kubeconfig is.
  private static var environment: [String: String] {
    var found: [String: String] = [:]
    for name in ["KUBECONFIG", "HOME"] {
      if let value = unsafe getenv(name) { found[name] = unsafe String(cString: value) }
    }
    return found
  }

  // MARK: Repairs

  private func repair(_ survey: Survey, _ settings: SurveySettings) throws {
    let planned = survey.repairs
    guard !planned.isEmpty else {
      Terminal.complain("nothing of what was found can be repaired from here")
      return try show(survey)
    }
    if dryRun {
      for (repair, checks) in planned {
        Terminal.print("would run: \(repair.command)   # \(checks.joined(separator: ", "))")
      }
      return
    }
    var failures = 0
    for result in survey.repair(below: root) {
      if let failure = result.failure {
        failures += 1
        Terminal.complain("not done: \(result.repair.command): \(failure)")
      } else {
        Terminal.complain("done: \(result.repair.command)")
      }
    }
    // What was done shows in what is found now, and not in what was meant.
    let after = try look(settings)
    try show(after, leavesUndone: failures > 0)
  }
}

extension ExitStatus {
  /// How a survey ends.
  init(_ outcome: Outcome) {
    self =
      switch outcome {
      case .fail: .refused
      case .unknown: .unclear
      case .warn: .remarks
      case .pass, .notApplicable: .done
      }
  }
}

/// What is still waited for, on a terminal's last line.
private enum Progress {
  private static let isWelcome = isatty(2) == 1

  static func show(_ names: [String]) {
    guard isWelcome, !names.isEmpty else { return }
    let list = names.prefix(4).joined(separator: ", ") + (names.count > 4 ? " …" : "")
    Terminal.hint("\r\u{1b}[Klooking: \(list)")
  }

  static func clear() {
    if isWelcome { Terminal.hint("\r\u{1b}[K") }
  }
}
