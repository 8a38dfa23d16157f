// Which labels a cgroup has: pure, from rules and facts alone.
public import Enforcement
internal import Kernel
public import Policy

/// What was decided about one cgroup.
public struct Classification: Sendable, Equatable {
  /// The workload, or nil when nothing labels this cgroup: it then belongs to its nearest labelled ancestor.
  public var workload: WorkloadInstance?
  /// What people should know, one line each.
  public var warnings: [String]

  /// Takes both parts.
  public init(workload: WorkloadInstance?, warnings: [String] = []) {
    self.workload = workload
    self.warnings = warnings
  }
}

/// Labels cgroups by rules.
///
/// Within one rule every kind of pattern that is given must match (`cgroups` and `units` and `executables` and
/// `users`), and any one pattern of a kind suffices. All rules that match are merged; when two set one key, the rule
/// that comes first by name wins and the other is a warning. What is written on the cgroup itself beats every rule.
public struct Classifier: Sendable {
  private let rules: [WorkloadRule]

  /// Takes rules in any order.
  public init(rules: [WorkloadRule]) { self.rules = rules.sorted { $0.name < $1.name } }

  /// Whether any rule asks for what processes there are.
  public var needsProcesses: Bool { rules.contains { $0.match.asksForProcesses } }

  /// Whether the processes of this cgroup must be known in order to classify it.
  public func needsProcesses(of facts: CgroupFacts) -> Bool {
    rules.contains { $0.match.asksForProcesses && $0.placeMatches(facts) }
  }

  /// Decides about one cgroup.
  public func classify(_ facts: CgroupFacts) -> Classification {
    var warnings: [String] = []
    var merged = Merged()
    if let tag = facts.tag {
      merged.add(tag.labels, from: "tag" + (tag.name.isEmpty ? "" : " \(tag.name)"), &warnings, facts.path)
      merged.observe = tag.mode == .observe
    }
    for rule in rules where matches(rule, facts, &warnings) {
      merged.add(rule.labels, from: "rule \(rule.name)", &warnings, facts.path)
      merged.observe = merged.observe || rule.mode == .observe
      merged.addresses += rule.addresses
    }
    guard !merged.sources.isEmpty else { return Classification(workload: nil, warnings: warnings) }
    guard facts.level <= WorkloadInstance.deepestLevel else {
      warnings.append(
        "\(facts.path): \(facts.level) levels deep and the kernel looks at \(WorkloadInstance.deepestLevel): "
          + "not labelled; it belongs to its nearest labelled ancestor")
      return Classification(workload: nil, warnings: warnings)
    }
    guard facts.level > 0 else {
      warnings.append("\(facts.path): the root of the hierarchy is the host itself: not labelled")
      return Classification(workload: nil, warnings: warnings)
    }
    if let unit = facts.unit, let label = try? Label("sallyport.unit", unit), let set = try? LabelSet([label]) {
      merged.labels = merged.labels.merging(set)
    }
    let workload = WorkloadInstance(
      cgroup: facts.cgroup, path: facts.path, level: facts.level, labels: merged.labels, observe: merged.observe,
      source: merged.sources.joined(separator: ", "), addresses: Array(Set(merged.addresses)).sorted())
    return Classification(workload: workload, warnings: warnings)
  }

  private func matches(_ rule: WorkloadRule, _ facts: CgroupFacts, _ warnings: inout [String]) -> Bool {
    guard !rule.match.isEmpty, rule.placeMatches(facts) else { return false }
    if facts.isAttachRoot {
      // Everything that is not labelled would inherit these labels: only somebody who wrote this very path meant it.
      guard rule.match.cgroups.contains(where: { $0.pattern == facts.path }) else { return false }
    }
    guard rule.match.asksForProcesses else { return true }
    guard let processes = facts.processes, !processes.isEmpty else { return false }
    let matching = processes.count { rule.matches($0) }
    if matching == processes.count && !facts.isAttachRoot { return true }
    guard matching > 0 else { return false }
    warnings.append(
      facts.isAttachRoot
        ? "\(facts.path): rule \(rule.name) asks for processes, and this cgroup is the agent's own root: not labelled"
        : "\(facts.path): mixed cgroup: rule \(rule.name) matches \(matching) of \(processes.count) processes: "
          + "not labelled; start them in a cgroup of their own (sallyport exec, or a systemd unit)")
    return false
  }

  private struct Merged {
    var labels = LabelSet.empty
    var owner: [String: String] = [:]
    var sources: [String] = []
    var observe = false
    var addresses: [IPAddress] = []

    mutating func add(_ more: LabelSet, from source: String, _ warnings: inout [String], _ path: String) {
      for label in more.labels {
        guard let before = owner[label.key], !holds(label) else { continue }
        warnings.append(
          "\(path): \(source) says \(label), but \(before) already says otherwise: the latter holds")
      }
      for label in more.labels where owner[label.key] == nil { owner[label.key] = source }
      labels = more.merging(labels)
      sources.append(source)
    }

    private func holds(_ label: Label) -> Bool { labels.labels.contains(label) }
  }
}

extension WorkloadRule {
  /// Whether the patterns over the cgroup's place, as far as there are any, match.
  func placeMatches(_ facts: CgroupFacts) -> Bool {
    if !match.cgroups.isEmpty, !match.cgroups.contains(where: { $0.matches(facts.path) }) { return false }
    if let selector = match.labels, !selector.matches(facts.foundLabels) { return false }
    if match.units.isEmpty { return true }
    guard let unit = facts.unit else { return false }
    return match.units.contains { $0.matches(unit) }
  }

  /// Whether the patterns over processes, as far as there are any, match one process.
  func matches(_ process: ProcessTraits) -> Bool {
    if !match.executables.isEmpty {
      guard let path = process.executable, match.executables.contains(where: { $0.matches(path) }) else { return false }
    }
    if !match.digests.isEmpty {
      guard let digest = process.digest, match.digests.contains(digest) else { return false }
    }
    if !match.groups.isEmpty, !match.groups.contains(where: { $0 == process.group || $0 == String(process.gid) }) {
      return false
    }
    return match.users.isEmpty || match.users.contains { $0 == process.user || $0 == String(process.uid) }
  }
}
