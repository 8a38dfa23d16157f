// Why a process or cgroup has the labels that it has.
package import Enforcement
package import Kernel
internal import Policy
internal import SystemPackage

/// Which source gave which label to a cgroup and to those above it.
package struct WorkloadExplanation: Sendable, Codable, Equatable {
  /// A label and where it comes from.
  package struct Origin: Sendable, Codable, Equatable {
    /// `key=value`.
    package var label: String
    /// `tag`, `rule NAME`, or the name of a source such as `docker`.
    package var source: String
    /// Whose value holds instead; nil when this one does.
    package var overriddenBy: String?
  }

  /// One cgroup on the way up.
  package struct Step: Sendable, Codable, Equatable {
    /// The path below the root of the hierarchy.
    package var path: String
    /// Whether it is a workload; otherwise what is known of it only helps rules to match.
    package var isWorkload: Bool
    /// What is said about it, in the order in which it counts.
    package var origins: [Origin]
    /// What people should know about it.
    package var warnings: [String]
  }

  /// The process that was asked about, if it was one.
  package var process: Int32?
  /// Its executable, if that can be read.
  package var executable: String?
  /// Its user.
  package var user: String?
  /// The cgroup it is in.
  package var cgroup: String
  /// What it is part of; nil for the host.
  package var workload: WorkloadInstance?
  /// The cgroup and those above it, up to the watched one; those of which nothing is known are left out.
  package var steps: [Step]
}

extension WorkloadTracker {
  /// Explains a process.
  ///
  /// - Throws: when there is no such process, or it is not below the watched cgroup.
  package func explain(_ id: ProcessID) throws(KernelError) -> WorkloadExplanation {
    let process = try ProcessHandle.open(id)
    let facts = try process.facts()
    let path = facts.cgroup.path.description
    var explanation = try explain(cgroup: path)
    explanation.process = id.rawValue
    explanation.executable = facts.executable?.description
    explanation.user = AccountNames().user(facts.user) ?? String(facts.user)
    return explanation
  }

  /// Explains the cgroup with this path below the root of the hierarchy.
  package func explain(cgroup path: String) throws(KernelError) -> WorkloadExplanation {
    let asked = FilePath(path).lexicallyNormalized()
    guard asked.starts(with: root.path) else {
      throw KernelError("explain", path, .invalidArgument, remedy: "it is not below \(root.path), which is watched")
    }
    var byPath: [String: TrackedCgroup] = [:]
    for known in cgroups.values where asked.string.hasPrefix(known.facts.path) { byPath[known.facts.path] = known }
    guard byPath[asked.string] != nil else {
      throw KernelError(
        "explain", path, .noSuchFileOrDirectory, remedy: "name a cgroup, such as /system.slice/a.service")
    }
    var explanation = WorkloadExplanation(cgroup: asked.string, steps: [])
    var place = asked
    while true {
      if let known = byPath[place.string] {
        let workload = known.classification.workload
        if explanation.workload == nil { explanation.workload = workload }
        let step = WorkloadExplanation.Step(known)
        if step.isWorkload || !step.origins.isEmpty || !step.warnings.isEmpty { explanation.steps.append(step) }
      }
      if place == root.path || !place.removeLastComponent() { break }
    }
    return explanation
  }
}

extension WorkloadExplanation.Step {
  fileprivate init(_ known: TrackedCgroup) {
    path = known.facts.path
    isWorkload = known.classification.workload != nil
    origins = known.classification.origins.map {
      WorkloadExplanation.Origin(label: $0.label.description, source: $0.source, overriddenBy: $0.overriddenBy)
    }
    warnings = known.classification.warnings + known.faults
  }
}
