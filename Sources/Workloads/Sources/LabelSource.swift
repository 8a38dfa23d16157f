// Where labels come from: one small protocol for everything that knows something about a cgroup.
package import Kernel
package import Policy

/// One cgroup as a source sees it: where it is, nothing about what is in it.
package struct CgroupPlace: Sendable, Hashable {
  /// The inode number of its directory.
  package var cgroup: CgroupID
  /// The path below the root of the hierarchy, `/` first; bytes that are no UTF-8 are replaced.
  package var path: String
  /// The path of the cgroup that is watched, likewise: what is below it belongs to the operator's own tree.
  package var root: String

  package init(cgroup: CgroupID, path: String, root: String = "/") {
    self.cgroup = cgroup
    self.path = path
    self.root = root
  }

  /// How many directories it is below the root of the hierarchy.
  package var level: Int { path.utf8.split(separator: UInt8(ascii: "/")).count }
}

/// What one source says about one cgroup.
package struct SourceLabels: Sendable, Equatable {
  /// The labels.
  ///
  /// Only a source that nobody but the operator can write to may give keys that are not reserved.
  package var labels: LabelSet
  /// What people call the workload; empty if they do not.
  package var name: String
  /// Whether the cgroup is a workload because of this; otherwise the labels only help rules to match.
  package var makesWorkload: Bool
  /// Whether verdicts on the workload are only reported.
  package var observe: Bool
  /// Whether traffic of cgroups below it that have no labels of their own is refused.
  package var rejectsUnlabelledChildren: Bool
  /// What people should know, such as labels that were left out and why; one line each.
  package var warnings: [String]

  package init(
    _ labels: LabelSet, name: String = "", makesWorkload: Bool = true, observe: Bool = false,
    rejectsUnlabelledChildren: Bool = false, warnings: [String] = []
  ) {
    self.labels = labels
    self.name = name
    self.makesWorkload = makesWorkload
    self.observe = observe
    self.rejectsUnlabelledChildren = rejectsUnlabelledChildren
    self.warnings = warnings
  }
}

/// What a source says changed.
package enum SourceChange: Sendable, Equatable {
  /// Everything that it ever said may be different: it came back, or lost events.
  case everything
  /// What it said about the container with this id.
  case container(String)
  /// What it said about the systemd unit with this name.
  case unit(String)
}

/// One origin of labels: a container engine, systemd, a file.
///
/// A source never decides and never blocks others: what it cannot answer is a fault, which is counted and named, and the
/// cgroup keeps the labels that it had, at least those of its nearest labelled ancestor.
package protocol LabelSource: Sendable {
  /// What people know it by, such as `docker`.
  var name: String { get }

  /// Whether it describes what runs, such as a container, so that it knows nothing once that has ended; else what it says
  /// is given by people.
  var describesProcesses: Bool { get }

  /// Whether it may know this cgroup, by its path alone. Called for every cgroup: cheap and pure.
  func claims(_ place: CgroupPlace) -> Bool

  /// What local files say, at once: called in the loop that every change goes through, so within tens of microseconds.
  ///
  /// - Returns: nil when they say nothing.
  func labels(of place: CgroupPlace) throws(SourceFault) -> SourceLabels?

  /// What a daemon says; asked besides `labels(of:)`, whose answer holds until this one comes. Bounded in time.
  ///
  /// - Returns: nil when it knows nothing of the cgroup.
  func ask(about place: CgroupPlace) async throws(SourceFault) -> SourceLabels?

  /// Tells about changes until the task is cancelled; returns at once if there can be none.
  ///
  /// A fault that may end, such as a daemon that is not there yet, is told through `report` and waited out.
  func follow(
    _ changed: @escaping @Sendable (SourceChange) -> Void, report: @escaping @Sendable (SourceFault?) -> Void
  ) async
}

extension LabelSource {
  /// People give what it says.
  package var describesProcesses: Bool { false }
  /// Says nothing.
  package func labels(of place: CgroupPlace) throws(SourceFault) -> SourceLabels? { nil }
  /// Says nothing.
  package func ask(about place: CgroupPlace) async throws(SourceFault) -> SourceLabels? { nil }
  /// Returns at once: there is nothing to follow.
  package func follow(
    _ changed: @escaping @Sendable (SourceChange) -> Void, report: @escaping @Sendable (SourceFault?) -> Void
  ) async {}
}

/// Why a source could not answer.
package struct SourceFault: Error, Sendable, Equatable, CustomStringConvertible {
  /// The source.
  package var source: String
  /// What was looked at, such as a socket, a file or a container id.
  package var subject: String
  /// What is wrong with it.
  package var problem: String
  /// What to do about it; empty if nothing can be said.
  package var remedy: String
  /// Whether asking again later may help.
  package var isPassing: Bool

  package init(_ source: String, _ subject: String, _ problem: String, remedy: String = "", isPassing: Bool = true) {
    self.source = source
    self.subject = subject
    self.problem = problem
    self.remedy = remedy
    self.isPassing = isPassing
  }

  /// One line.
  package var description: String {
    "\(source): \(subject): \(problem)" + (remedy.isEmpty ? "" : "; \(remedy)")
  }
}
