// All checks of a host: what must be tried for them is tried at once, then each judges.
package import Kernel

/// What is looked at, and how long.
package struct SurveySettings: Sendable {
  /// Nil for everything.
  package var purpose: Purpose?
  /// One check by its name; nil for all.
  package var only: String?
  /// Addresses that must be reached.
  package var destinations: [Destination] = []
  /// Where certificates of authorities are.
  package var trustStore = TrustStore(path: nil)
  /// The time for all of it.
  package var limit: Duration = .seconds(10)
  /// Whether anything is tried on the machine that this runs on; a recorded tree is of another.
  package var triesHere = true
  /// Added to the environment of iptables.
  package var iptablesEnvironment: [String] = []

  /// Everything, within 10 seconds.
  package init() {}

  /// The checks that are wanted, in their order.
  package var checks: [Check] {
    let all = Check.all + destinations.map(Check.destination)
    return all.filter { check in
      if let only { return check.name == only }
      guard let purpose else { return true }
      return check.features.contains { $0 == purpose || $0 == .agent || $0 == .connectivity }
    }
  }
}

/// A host, looked at.
package struct Survey: Sendable {
  /// One check and what it came to.
  package struct Row: Sendable {
    /// The requirement.
    package let check: Check
    /// What was found.
    package let finding: Finding

    /// States a row.
    package init(check: Check, finding: Finding) {
      self.check = check
      self.finding = finding
    }
  }

  /// In the order of the checks.
  package let rows: [Row]
  /// What the host was looked at for; nil for everything.
  package let purpose: Purpose?

  /// States a survey.
  package init(rows: [Row], purpose: Purpose? = nil) {
    self.rows = rows
    self.purpose = purpose
  }

  /// Looks at a host; `progress` is told what is still waited for.
  package static func of(
    _ host: HostView, _ settings: SurveySettings = SurveySettings(), progress: ([String]) -> Void = { _ in }
  ) throws(KernelError) -> Survey {
    let checks = settings.checks
    let end = ContinuousClock.now + settings.limit
    let kinds = checks.reduce(into: Set<ProbeKind>()) { $0.formUnion($1.probes) }
    let tried = ProbeKind.allCases.filter { settings.triesHere && kinds.contains($0) }
    var probes = tried.compactMap { probe($0, host, settings) }
    probes += settings.destinations.map { Probe.reach($0, settings.trustStore, within: settings.limit * 8 / 10) }
    // A tenth is for the files that checks read.
    let results = try Probe.run(probes, within: settings.limit * 9 / 10, progress: progress)
    ScratchCgroup.removeAbandoned()
    let judging = Judging(checks: checks, host: host, results: results)
    let findings = try judging.run(until: end, patience: settings.limit / 10)
    return Survey(rows: zip(checks, findings).map { Row(check: $0, finding: $1) }, purpose: settings.purpose)
  }

  private static func probe(_ kind: ProbeKind, _ host: HostView, _ settings: SurveySettings) -> Probe? {
    switch kind {
    case .rules: .rules(host, environment: settings.iptablesEnvironment)
    case .programs: .programs
    case .hooks: .hooks
    case .features: .features
    case .sockets: .sockets
    case .tools: .tools
    case .cgroupPrograms: .cgroupPrograms(of: settings.limit)
    case .packetFilters: .packetFilters
    case .destinations: nil
    }
  }
}
