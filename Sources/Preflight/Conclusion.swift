// What the findings come to: which datapath this host gets, and what stands in the way.

/// Whether something can be had on a host.
package enum Readiness: String, Sendable {
  /// Everything that it requires is there.
  case ready
  /// It is there, with remarks.
  case remarks = "ready with remarks"
  /// Something could not be looked at.
  case unclear = "cannot tell"
  /// Something is missing.
  case blocked = "not ready"
}

extension Survey {
  /// Whether the requirements of a feature, and those of every agent, are met.
  package func readiness(for feature: Purpose) -> Readiness {
    switch deciding(feature).map(\.finding.outcome.severity).max() ?? 0 {
    case Outcome.fail.severity: .blocked
    case Outcome.unknown.severity: .unclear
    case Outcome.warn.severity: .remarks
    default: .ready
    }
  }

  /// The rows that say whether a feature can be had.
  package func deciding(_ feature: Purpose) -> [Row] {
    rows.filter {
      $0.check.features.contains(feature) || feature != .connectivity && $0.check.features.contains(.agent)
    }
  }

  /// The rows that keep a feature from being had, without those that every agent needs.
  package func blocking(_ feature: Purpose) -> [Row] {
    own(feature, .fail)
  }

  /// The datapath that an agent would get here: the best one that nothing stands in the way of; nil if there is none, or
  /// it could not be found out.
  ///
  /// What every agent needs is not in it: that is named by the rows themselves.
  package var datapath: Purpose? {
    let order: [Purpose] = [.cgroup, .netfilter]
    let best = order.first { feature in
      own(feature, .fail).isEmpty && rows.contains { $0.check.features.contains(feature) }
    }
    return best.flatMap { own($0, .unknown).isEmpty ? $0 : nil }
  }

  /// The rows of a feature that ended in a way.
  private func own(_ feature: Purpose, _ outcome: Outcome) -> [Row] {
    rows.filter { $0.check.features.contains(feature) && $0.finding.outcome == outcome }
  }

  /// The outcome that counts for the exit code.
  ///
  /// With a purpose it is the worst of what that requires. Without one a host needs one datapath: what the other one lacks
  /// is a remark. What could not be looked at counts as such where something needed depends on it.
  package var outcome: Outcome {
    let needed: Set<Purpose>
    if let purpose {
      needed = [purpose, .agent, .connectivity]
    } else {
      needed = [datapath ?? .cgroup, .agent, .connectivity, .cluster]
    }
    var worst = Outcome.pass
    for row in rows {
      var outcome = row.finding.outcome
      if needed.isDisjoint(with: row.check.features), outcome.severity > Outcome.warn.severity { outcome = .warn }
      if outcome.severity > worst.severity { worst = outcome }
    }
    return worst
  }

  /// The result in one line.
  package var summary: String {
    let failed = rows.filter { $0.finding.outcome == .fail }.map(\.check)
    guard purpose == nil, rows.contains(where: { $0.check.features.contains(.cgroup) }) else {
      if !failed.isEmpty { return "in the way: \(Self.list(failed))" }
      let unknown = rows.filter { $0.finding.outcome == .unknown }.map(\.check)
      return unknown.isEmpty ? "nothing stands in the way" : "could not be looked at: \(Self.list(unknown))"
    }
    let others = failed.filter { !Set($0.features).isDisjoint(with: [.agent, .connectivity, .cluster]) }
    let head = others.isEmpty ? "" : "in the way: \(Self.list(others)); "
    switch datapath {
    case .cgroup: return head + "the agent gets the cgroup datapath"
    case .netfilter:
      return head + "the agent gets the netfilter datapath; cgroup lacks \(Self.list(blocking(.cgroup).map(\.check)))"
    default: break
    }
    let reasons = [Purpose.cgroup, .netfilter].map { feature in
      let missing = blocking(feature).map(\.check)
      return missing.isEmpty
        ? "whether \(feature.rawValue) works could not be tried" : "\(feature.rawValue) lacks \(Self.list(missing))"
    }
    return head + "no datapath is known to work here: \(reasons.joined(separator: "; "))"
  }

  private static func list(_ checks: [Check]) -> String {
    let names = checks.map(\.name)
    return names.prefix(5).joined(separator: ", ") + (names.count > 5 ? " and \(names.count - 5) more" : "")
  }
}
