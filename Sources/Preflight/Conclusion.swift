// What the findings come to: which datapath this host gets, and what stands in the way.

/// Whether something can be had on a host.
public enum Readiness: String, Sendable {
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
  public func readiness(for feature: Feature) -> Readiness {
    switch deciding(feature).map(\.finding.outcome.severity).max() ?? 0 {
    case Outcome.fail.severity: .blocked
    case Outcome.unknown.severity: .unclear
    case Outcome.warn.severity: .remarks
    default: .ready
    }
  }

  /// The rows that say whether a feature can be had.
  public func deciding(_ feature: Feature) -> [Row] {
    rows.filter { $0.check.features.contains(feature) || feature != .connectivity && $0.check.features.contains(.agent) }
  }

  /// The rows that keep a feature from being had, without those that every agent needs.
  public func blocking(_ feature: Feature) -> [Row] {
    rows.filter { $0.check.features.contains(feature) && $0.finding.outcome == .fail }
  }

  /// The datapath that an agent would get here: the best one that nothing stands in the way of; nil if there is none.
  public var datapath: Feature? {
    let order: [Feature] = [.cgroup, .netfilter]
    // What both need and every agent needs is named by the rows themselves.
    return order.first { feature in
      !rows.contains { $0.check.features.contains(feature) && $0.finding.outcome == .fail }
        && rows.contains { $0.check.features.contains(feature) }
    }
  }

  /// The outcome that counts for the exit code.
  ///
  /// With a purpose it is the worst of what that requires. Without one a host needs one datapath: what the other one lacks
  /// is a remark. What could not be looked at counts as such where something needed depends on it.
  public var outcome: Outcome {
    let needed: Set<Feature>
    if let purpose { needed = [purpose, .agent, .connectivity] } else {
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
  public var summary: String {
    let failed = rows.filter { $0.finding.outcome == .fail }.map(\.check.name)
    func named(_ names: [String]) -> String {
      names.prefix(5).joined(separator: ", ") + (names.count > 5 ? " and \(names.count - 5) more" : "")
    }
    switch purpose {
    case nil where rows.allSatisfy { !$0.check.features.contains(.cgroup) }, .some where failed.isEmpty:
      return failed.isEmpty ? "nothing stands in the way" : "in the way: \(named(failed))"
    case .some: return "in the way: \(named(failed))"
    case nil:
      let agent = rows.filter { $0.check.features.contains(.agent) && $0.finding.outcome == .fail }.map(\.check.name)
      let way: String
      switch datapath {
      case .cgroup: way = "it gets the cgroup datapath"
      case .netfilter:
        way = "it gets the netfilter datapath; the cgroup datapath lacks \(named(blocking(.cgroup).map(\.check.name)))"
      default:
        way =
          "no datapath works here: cgroup lacks \(named(blocking(.cgroup).map(\.check.name))); netfilter lacks "
          + named(blocking(.netfilter).map(\.check.name))
      }
      guard !agent.isEmpty else { return way }
      return "not ready, whatever the datapath: \(named(agent)); then \(way)"
    }
  }
}
