// Which labels a cgroup has: pure, from rules and facts alone.
package import Enforcement
internal import Kernel
package import Policy

/// Which source gave a label.
package struct LabelOrigin: Sendable, Hashable {
  /// The label.
  package var label: Label
  /// `tag`, `rule NAME`, or the name of a source such as `docker`.
  package var source: String
  /// The source whose value holds instead; nil when this one does.
  package var overriddenBy: String?

  package init(_ label: Label, source: String, overriddenBy: String? = nil) {
    self.label = label
    self.source = source
    self.overriddenBy = overriddenBy
  }
}

/// What was decided about one cgroup.
package struct Classification: Sendable, Equatable {
  /// The workload, or nil when nothing labels this cgroup: it then belongs to its nearest labelled ancestor.
  package var workload: WorkloadInstance?
  /// What people should know, one line each.
  package var warnings: [String]
  /// Every label that somebody gave, in the order in which they count.
  package var origins: [LabelOrigin]

  package init(workload: WorkloadInstance?, warnings: [String] = [], origins: [LabelOrigin] = []) {
    self.workload = workload
    self.warnings = warnings
    self.origins = origins
  }
}

/// Labels cgroups by rules.
///
/// Within one rule every kind of pattern that is given must match, and any one pattern of a kind suffices. All rules that
/// match are merged; when two set one key, the rule that comes first by name wins and the other is a warning. What is
/// written on the cgroup itself beats every rule, and rules beat what sources found out.
package struct Classifier: Sendable {
  /// The rules, by name.
  package let rules: [WorkloadRule]
  /// Cgroups that sources alone would make workloads and that are none, by their labels; nil = none.
  package let ignored: Selector?
  /// The rules that are about one pod each, by `NAMESPACE/NAME`: a cluster has very many, and a host few of them.
  private let podRules: [String: [WorkloadRule]]
  /// All others, by name.
  private let otherRules: [WorkloadRule]

  /// Takes rules in any order.
  package init(rules: [WorkloadRule], ignoring ignored: Selector? = nil) {
    self.rules = rules.sorted { $0.name < $1.name }
    self.ignored = ignored
    var podRules: [String: [WorkloadRule]] = [:]
    for rule in self.rules where !rule.match.pods.isEmpty {
      for pod in Set(rule.match.pods) { podRules[pod, default: []].append(rule) }
    }
    self.podRules = podRules
    otherRules = self.rules.filter { $0.match.pods.isEmpty || $0.match.asksForProcesses }
  }

  /// The rules that may label a cgroup, by name.
  private func candidates(_ facts: CgroupFacts) -> [WorkloadRule] {
    if podRules.isEmpty { return otherRules }
    let found = facts.podTitles.flatMap { podRules[$0] ?? [] }.filter { !$0.match.asksForProcesses }
    return found.isEmpty ? otherRules : (otherRules + found).sorted { $0.name < $1.name }
  }

  /// Whether any rule asks for what processes there are.
  package var needsProcesses: Bool { otherRules.contains { $0.match.asksForProcesses } }

  /// Whether any rule asks for digests of executables.
  package var needsDigests: Bool { otherRules.contains { !$0.match.digests.isEmpty } }

  /// Whether any rule wants processes in cgroups of their own.
  package var placesProcesses: Bool { otherRules.contains { $0.placement == .ownCgroup } }

  /// The executables of such rules: what must not begin elsewhere.
  package var placedExecutables: [Glob] {
    otherRules.filter { $0.placement == .ownCgroup }.flatMap(\.match.executables)
  }

  /// Whether the processes of this cgroup must be known in order to classify it.
  package func needsProcesses(of facts: CgroupFacts) -> Bool {
    otherRules.contains { $0.match.asksForProcesses && $0.placement == .inPlace && $0.placeMatches(facts) }
  }

  /// The first rule that wants this process in a cgroup of its own, or nil.
  package func placement(of process: ProcessTraits, in facts: CgroupFacts) -> WorkloadRule? {
    otherRules.first { $0.placement == .ownCgroup && $0.placeMatches(facts) && $0.matches(process) }
  }

  /// Decides about one cgroup.
  package func classify(_ facts: CgroupFacts) -> Classification {
    var labels = LabelMerge(path: facts.path)
    var labelling: [String] = []
    var workload = WorkloadInstance(cgroup: facts.cgroup, path: facts.path, level: facts.level, labels: .empty)
    if let tag = facts.tag {
      let source = "tag" + (tag.name.isEmpty ? "" : " \(tag.name)")
      labels.add(tag.labels, from: source)
      labelling.append(source)
      workload.observe = tag.mode == .observe
      workload.name = tag.name
      workload.rejectsUnlabelledChildren = tag.rejectsUnlabelledChildren
    }
    for rule in candidates(facts) where matches(rule, facts, &labels.warnings) {
      labels.add(rule.labels, from: "rule \(rule.name)")
      labelling.append("rule \(rule.name)")
      workload.observe = workload.observe || rule.mode == .observe
      workload.rejectsUnlabelledChildren = workload.rejectsUnlabelledChildren || rule.rejectsUnlabelledChildren
      workload.addresses += rule.addresses
    }
    let isIgnored = labelling.isEmpty && ignored?.matches(facts.foundLabels) == true
    for (source, found) in facts.found.sorted(by: { $0.key < $1.key }) {
      labels.add(found.labels, from: source)
      labels.warnings += found.warnings.map { "\(facts.path): \(source): \($0)" }
      if workload.name.isEmpty { workload.name = found.name }
      guard found.makesWorkload, !isIgnored else { continue }
      labelling.append(source)
      workload.observe = workload.observe || found.observe
      workload.rejectsUnlabelledChildren = workload.rejectsUnlabelledChildren || found.rejectsUnlabelledChildren
    }
    let result = Classification(workload: nil, warnings: labels.warnings, origins: labels.origins)
    return decide(workload, labels.labels, labelling, result)
  }

  /// Leaves out what the kernel cannot police, and says so.
  private func decide(
    _ workload: WorkloadInstance, _ labels: LabelSet, _ labelling: [String], _ result: Classification
  ) -> Classification {
    var workload = workload
    var result = result
    guard !labelling.isEmpty else { return result }
    guard workload.level <= WorkloadInstance.deepestLevel else {
      result.warnings.append(
        "\(workload.path): \(workload.level) levels deep and the kernel looks at \(WorkloadInstance.deepestLevel): "
          + "not labelled; it belongs to its nearest labelled ancestor")
      return result
    }
    guard workload.level > 0 else {
      result.warnings.append("\(workload.path): the root of the hierarchy is the host itself: not labelled")
      return result
    }
    workload.labels = labels
    workload.source = labelling.joined(separator: ", ")
    workload.addresses = Array(Set(workload.addresses)).sorted()
    result.workload = workload
    return result
  }

  private func matches(_ rule: WorkloadRule, _ facts: CgroupFacts, _ warnings: inout [String]) -> Bool {
    guard !rule.match.isEmpty, rule.placement == .inPlace, rule.placeMatches(facts) else { return false }
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
          + "not labelled; give the rule `placement: own-cgroup`, or start them in a cgroup of their own")
    return false
  }
}

/// Labels of several sources laid over each other: the first that gives a key wins.
private struct LabelMerge {
  let path: String
  var labels = LabelSet.empty
  var origins: [LabelOrigin] = []
  var warnings: [String] = []
  private var owner: [String: (source: String, label: Label)] = [:]

  init(path: String) { self.path = path }

  mutating func add(_ more: LabelSet, from source: String) {
    for label in more.labels {
      guard let before = owner[label.key] else {
        owner[label.key] = (source, label)
        origins.append(LabelOrigin(label, source: source))
        continue
      }
      origins.append(LabelOrigin(label, source: source, overriddenBy: before.source))
      guard before.label != label else { continue }
      warnings.append("\(path): \(source) says \(label), but \(before.source) already says otherwise: the latter holds")
    }
    labels = more.merging(labels)
  }
}

extension WorkloadRule {
  /// Whether the patterns over the cgroup's place, as far as there are any, match.
  func placeMatches(_ facts: CgroupFacts) -> Bool {
    if !match.cgroups.isEmpty, !match.cgroups.contains(where: { $0.matches(facts.path) }) { return false }
    if !match.pods.isEmpty, facts.podTitles.isDisjoint(with: match.pods) { return false }
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
