// What a check came to: the outcome, what was seen and how, what it means, and what to do about it.

/// How a check ended.
package enum Outcome: String, Sendable, CaseIterable, Codable {
  /// What is required is there.
  case pass
  /// Nothing is required here, as on a host without a cluster.
  case notApplicable = "not-applicable"
  /// It works, but not as well as it could, or not for everybody.
  case warn
  /// It could not be looked at; `found` says why.
  case unknown
  /// What is required is not there.
  case fail

  /// From the best (0) to the worst.
  package var severity: Int { Self.order.firstIndex(of: self) ?? 0 }

  private static let order: [Outcome] = [.notApplicable, .pass, .warn, .unknown, .fail]
}

/// What `--fix` can do about a finding.
package enum Repair: Sendable, Equatable {
  /// Load a kernel module by modprobe(8).
  case loadModule(String)
  /// Mount a BPF file system at a directory.
  case mountBPF(String)
  /// Write a value to a file of /proc/sys.
  case setKernelParameter(path: String, value: String)
  /// Write a drop-in of the agent's systemd unit; it counts from the unit's next start.
  case writeUnitDropIn(path: String, text: String)

  /// The command that does the same by hand.
  package var command: String {
    switch self {
    case .loadModule(let name): "modprobe \(name)"
    case .mountBPF(let path): "mount -t bpf bpf \(path)"
    case .setKernelParameter(let path, let value):
      "sysctl -w \(path.dropFirst("/proc/sys/".count).split(separator: "/").joined(separator: "."))=\(value)"
    case .writeUnitDropIn(let path, let text):
      "printf '\(text.split(separator: "\n").joined(separator: "\\n"))\\n' > \(path) && systemctl daemon-reload"
    }
  }
}

/// What a check came to on a host.
package struct Finding: Sendable, Equatable {
  /// How it ended.
  package var outcome: Outcome
  /// What was found, in one line; for `unknown`, why it could not be looked at.
  package var found: String
  /// How it was found out: a file, a system call, an attempt.
  package var how: String
  /// What that means for Sallyport; empty where there is nothing to say.
  package var meaning = ""
  /// What to do about it, in words; empty where nothing needs to be done.
  package var remedy = ""
  /// The same as commands, to be run as root in this order.
  package var commands: [String] = []
  /// What `--fix` would do.
  package var repairs: [Repair] = []
  /// What stands behind `found`, one line each, for who wants to know more.
  package var details: [String] = []

  /// What is required is there.
  package static func pass(_ found: String, how: String, details: [String] = []) -> Finding {
    Finding(outcome: .pass, found: found, how: how, details: details)
  }

  /// Nothing is required here.
  package static func notApplicable(_ found: String, how: String) -> Finding {
    Finding(outcome: .notApplicable, found: found, how: how)
  }

  /// How what was given up says so.
  static let late = "no answer within"

  /// It could not be looked at; what took too long needs time, whatever else `remedy` says.
  package static func unknown(_ why: String, how: String, remedy: String = "") -> Finding {
    let isLate = why.contains(late)
    return Finding(outcome: .unknown, found: why, how: how, remedy: isLate ? "give it longer: --timeout 60" : remedy)
  }

  /// It works, but.
  package static func warn(
    _ found: String, how: String, meaning: String, remedy: String = "", commands: [String] = [], repairs: [Repair] = [],
    details: [String] = []
  ) -> Finding {
    Finding(
      outcome: .warn, found: found, how: how, meaning: meaning, remedy: remedy,
      commands: commands.isEmpty ? repairs.map(\.command) : commands, repairs: repairs, details: details)
  }

  /// What is required is not there.
  package static func fail(
    _ found: String, how: String, meaning: String, remedy: String, commands: [String] = [], repairs: [Repair] = [],
    details: [String] = []
  ) -> Finding {
    var finding = warn(
      found, how: how, meaning: meaning, remedy: remedy, commands: commands, repairs: repairs, details: details)
    finding.outcome = .fail
    return finding
  }
}
