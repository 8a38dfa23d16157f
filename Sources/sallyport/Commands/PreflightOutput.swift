// A survey of a host as a table, as a document, and one check explained.
internal import Evidence
internal import Kernel
internal import Preflight
internal import SystemPackage

/// What is printed as a document; docs/PREFLIGHT.md describes it.
struct PreflightDocument: Encodable {
  /// One check and what it came to.
  struct Check: Encodable {
    var name: String
    var group: String
    var requirement: String
    var requiredBy: [String]
    var purpose: String
    var outcome: String
    var found: String
    var how: String
    var meaning: String
    var remedy: String
    var commands: [String]
    var fixes: [String]
    var details: [String]

    init(_ row: Survey.Row) {
      name = row.check.name
      group = row.check.group.rawValue
      requirement = row.check.requirement
      requiredBy = row.check.features.map(\.rawValue)
      purpose = row.check.purpose
      outcome = row.finding.outcome.rawValue
      found = row.finding.found
      how = row.finding.how
      meaning = row.finding.meaning
      remedy = row.finding.remedy
      commands = row.finding.commands
      fixes = row.finding.repairs.map(\.command)
      details = row.finding.details
    }
  }

  var outcome: String
  var summary: String
  var datapath: String?
  var readiness: [String: String]
  var version: String
  var kernel: String
  var checks: [Check]

  init(_ survey: Survey) {
    outcome = survey.outcome.rawValue
    summary = survey.summary
    datapath = survey.datapath?.rawValue
    readiness = [:]
    for feature in [Purpose.cgroup, .netfilter, .cluster]
    where survey.rows.contains(where: { $0.check.features.contains(feature) }) {
      readiness[feature.rawValue] = survey.readiness(for: feature).rawValue
    }
    version = Version.text
    kernel = (try? readKernelFile("/proc/sys/kernel/osrelease")).map { String($0.prefix { $0 != "\n" }) } ?? "unknown"
    checks = survey.rows.map(Check.init)
  }
}

extension Survey {
  /// What stands in the way with its remedy, and a line for each group; with `all` a line for each check.
  func table(all: Bool, width: Int?) -> String {
    var text = ""
    if all {
      var table = Table(columns: [
        Table.Column("RESULT"), Table.Column("CHECK"), Table.Column("REQUIRED BY"), Table.Column("FOUND", minimum: 30),
      ])
      for row in rows {
        table.add([
          row.finding.outcome.rawValue, row.check.name, row.check.features.map(\.rawValue).joined(separator: ","),
          row.finding.found,
        ])
      }
      text += table.text(width: width) + "\n"
    } else {
      text += groups(width: width) + "\n"
    }
    let order: [Outcome] = [.fail, .unknown, .warn]
    for outcome in order {
      // What has one reason is told once.
      var told: [(rows: [Row], finding: Finding)] = []
      for row in rows where row.finding.outcome == outcome {
        if let place = told.firstIndex(where: { $0.finding.isSameRemark(as: row.finding) }) {
          told[place].rows.append(row)
        } else {
          told.append(([row], row.finding))
        }
      }
      for (rows, finding) in told { text += finding.remark(of: rows.map(\.check)) }
    }
    return text + "\(summary)\n"
  }

  private func groups(width: Int?) -> String {
    var table = Table(columns: [
      Table.Column("GROUP"), Table.Column("PASS", rightAligned: true), Table.Column("WARN", rightAligned: true),
      Table.Column("UNKNOWN", rightAligned: true), Table.Column("FAIL", rightAligned: true),
      Table.Column("PASSED", minimum: 30),
    ])
    for group in CheckGroup.allCases {
      let own = rows.filter { $0.check.group == group }
      guard !own.isEmpty else { continue }
      func count(_ outcome: Outcome) -> String { String(own.filter { $0.finding.outcome == outcome }.count) }
      let passed = own.filter { $0.finding.outcome == .pass }.map(\.check.word)
      table.add([
        group.rawValue, count(.pass), count(.warn), count(.unknown), count(.fail),
        passed.isEmpty && own.allSatisfy { $0.finding.outcome == .notApplicable }
          ? "not applicable: \(own[0].finding.found)" : passed.joined(separator: " "),
      ])
    }
    return table.text(width: width)
  }
}

extension Preflight.Check {
  /// The name without the group.
  fileprivate var word: String { String(name.dropFirst(group.rawValue.count + 1)) }
}

extension Finding {
  fileprivate func isSameRemark(as other: Finding) -> Bool {
    found == other.found && meaning == other.meaning && remedy == other.remedy && commands == other.commands
  }

  /// What was found by these checks and what to do, in a few lines.
  fileprivate func remark(of checks: [Preflight.Check]) -> String {
    // The group is said once: `capability.bpf perfmon`.
    var names = checks[0].name
    for (before, check) in zip(checks, checks.dropFirst()) {
      names += before.group == check.group ? " \(check.word)" : ", \(check.name)"
    }
    var text = "\(outcome.rawValue)  \(names): \(found.shownSafely)\n"
    if !meaning.isEmpty { text += "      meaning  \(meaning.shownSafely)\n" }
    if !remedy.isEmpty { text += "      remedy   \(remedy.shownSafely)\n" }
    for command in commands { text += "      run      \(command.shownSafely)\n" }
    return text
  }
}

extension Survey.Row {
  /// All there is to know.
  var explanation: String {
    var lines = [
      ("check", check.name), ("requires", check.requirement),
      ("required by", check.features.map(\.rawValue).joined(separator: ", ")), ("for", check.purpose),
      ("found out by", check.method), ("remedy", check.remedy), ("", ""),
      ("here", finding.outcome.rawValue), ("found", finding.found), ("how", finding.how), ("meaning", finding.meaning),
      ("do", finding.remedy),
    ]
    lines += finding.commands.map { ("run", $0) } + finding.repairs.map { ("--fix runs", $0.command) }
    lines += finding.details.map { ("detail", $0) }
    var text = ""
    for (title, value) in lines {
      guard !value.isEmpty else {
        if title.isEmpty { text += "\n" }
        continue
      }
      text += title + String(repeating: " ", count: max(14 - title.count, 1)) + value.shownSafely + "\n"
    }
    return text
  }
}
