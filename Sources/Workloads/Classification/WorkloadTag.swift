// The labels that are written on a cgroup itself, as text in an extended attribute.
package import Policy

/// What the attribute `trusted.sallyport.labels` of a cgroup says.
///
/// The first line holds the labels (`app=web,tier=front`), further lines hold options: `name=N`, `mode=observe`,
/// `children=reject-until-labelled`, and `transient=PID` for a cgroup that the agent is to remove once it is empty and the process that made it, which may yet
/// move in, is gone. Only a process with CAP_SYS_ADMIN in the initial user namespace can write a `trusted.` attribute
/// (xattr(7)), so no container can label itself.
package struct WorkloadTag: Sendable, Hashable {
  /// The labels.
  package var labels: LabelSet
  /// What people call the workload; empty if they do not.
  package var name: String
  /// Whether verdicts are applied or only observed.
  package var mode: Mode
  /// The process that made the cgroup and is to move in, if the agent is to remove it once it and all others are gone.
  package var transientOwner: Int32?
  /// Whether traffic of cgroups below it that have no labels of their own is refused.
  package var rejectsUnlabelledChildren: Bool

  package init(
    labels: LabelSet, name: String = "", mode: Mode = .enforce, transientOwner: Int32? = nil,
    rejectsUnlabelledChildren: Bool = false
  ) {
    self.labels = labels
    self.name = name
    self.mode = mode
    self.transientOwner = transientOwner
    self.rejectsUnlabelledChildren = rejectsUnlabelledChildren
  }

  /// Reads the text of the attribute.
  ///
  /// - Throws: when a label is malformed or reserved for the agent, or an option is not known: a tag that is half
  ///   understood could enforce less than its writer meant.
  package init(parsing text: String) throws(WorkloadTagError) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    do {
      labels = try LabelSet(parsing: lines.first ?? "")
    } catch {
      throw WorkloadTagError(problem: "\(error)")
    }
    if let reserved = labels.labels.first(where: { Label.isReserved($0.key) }) {
      throw WorkloadTagError(problem: "label key \(reserved.key) is set by the agent alone")
    }
    guard !labels.labels.isEmpty else { throw WorkloadTagError(problem: "has no labels") }
    name = ""
    mode = .enforce
    transientOwner = nil
    rejectsUnlabelledChildren = false
    for line in lines.dropFirst() where !line.isEmpty {
      switch line {
      case "mode=enforce": mode = .enforce
      case "mode=observe": mode = .observe
      case "children=inherit": rejectsUnlabelledChildren = false
      case "children=reject-until-labelled": rejectsUnlabelledChildren = true
      case let line where line.hasPrefix("transient="):
        guard let pid = Int32(line.dropFirst(10)), pid > 0 else {
          throw WorkloadTagError(problem: "has no process in \(line.debugDescription)")
        }
        transientOwner = pid
      case let line where line.hasPrefix("name="): name = String(line.dropFirst(5))
      default: throw WorkloadTagError(problem: "has an unknown option \(line.debugDescription)")
      }
    }
  }

  /// What `init(parsing:)` reads back.
  package var text: String {
    var lines = [labels.description]
    if !name.isEmpty { lines.append("name=\(name)") }
    if mode == .observe { lines.append("mode=observe") }
    if rejectsUnlabelledChildren { lines.append("children=reject-until-labelled") }
    if let transientOwner { lines.append("transient=\(transientOwner)") }
    return lines.joined(separator: "\n")
  }
}

/// A tag that cannot be read.
package struct WorkloadTagError: Error, Equatable, CustomStringConvertible {
  /// What is wrong.
  package let problem: String

  /// One line.
  package var description: String { "workload tag: \(problem)" }
}
