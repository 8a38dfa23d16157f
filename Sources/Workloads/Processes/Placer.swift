// Moves processes into cgroups of their own, below the one that they are in.
package import Kernel
internal import Policy
internal import SystemPackage

/// Where a process was put.
package struct PlacedProcess: Sendable {
  /// The cgroup that it is in now.
  package let cgroup: CgroupDirectory
  /// The path of the cgroup that it was in.
  package let from: String
  /// Whether it was moved; otherwise it was there already, as children of a placed process are.
  package let wasMoved: Bool
}

/// Gives matching processes a cgroup each, `sallyport-RULE-PID`, tagged and removed when it is empty.
///
/// The cgroup is made below the one that the process is in, so that what is told about that one (systemd's unit, limits)
/// stays true: systemd kills and counts sub-cgroups with the unit. What the process starts is in it from the beginning.
package struct Placer: Sendable {
  private let root: CgroupDirectory

  /// Places below and including `root`, where policy is enforced.
  package init(root: CgroupDirectory) { self.root = root }

  /// Moves a process into a cgroup of its own for a rule; what is in one for this rule already stays where it is.
  ///
  /// The tag is on the cgroup before the process is in it. On failure the process is where it was and nothing is left.
  ///
  /// - Throws: ESRCH when the process is gone; otherwise with the remedy.
  package func place(
    _ process: borrowing ProcessHandle, tag: WorkloadTag
  ) throws(KernelError) -> PlacedProcess {
    let membership = try CgroupHierarchy.membership(of: process.id)
    guard !process.hasExited else { throw KernelError("place", "process \(process.id)", .noSuchProcess) }
    let old = membership.path
    guard !membership.isDeleted, old.starts(with: root.path) else {
      throw KernelError(
        "place", "process \(process.id)", .invalidArgument,
        remedy: "it is in \(old), and policy is enforced at and below \(root.path)")
    }
    let (parent, current) = try base(of: old, rule: tag.name)
    if let current { return PlacedProcess(cgroup: current, from: old.description, wasMoved: false) }
    let name = Self.name(of: tag.name, process.id)
    guard let component = FilePath.Component(name) else {
      throw KernelError("place", "process \(process.id)", .invalidArgument, remedy: "no cgroup can be called \(name)")
    }
    let cgroup = try parent.create(component)
    do throws(KernelError) {
      var tag = tag
      tag.transientOwner = process.id.rawValue
      try cgroup.setLabels(Array(tag.text.utf8))
      try process.move(to: cgroup)
    } catch {
      // Its number may be that of a process before it, whose cgroup is still in use: then it stays.
      try? cgroup.remove(within: 0)
      throw Self.explained(error, parent)
    }
    return PlacedProcess(cgroup: cgroup, from: old.description, wasMoved: true)
  }

  /// Moves a process back to where it came from, because it did not become what it was placed for.
  ///
  /// Nothing happens to one that is not in a cgroup of that rule.
  package func withdraw(_ process: borrowing ProcessHandle, rule: String) throws(KernelError) {
    let path = try CgroupHierarchy.membership(of: process.id).path
    let (parent, current) = try base(of: path, rule: rule)
    if current != nil { try process.move(to: parent) }
  }

  /// The cgroup below which a process of `path` is placed, and its own one if it is in one of this rule.
  ///
  /// Cgroups that were made by placing are left out: a process that starts another program, again and again, does not
  /// get deeper each time. One counts only with its tag, since whoever owns a cgroup may make directories of any name.
  private func base(
    of path: FilePath, rule: String
  ) throws(KernelError) -> (parent: CgroupDirectory, current: CgroupDirectory?) {
    var parent = root
    var directory = root
    for component in path.components.dropFirst(root.path.components.count) {
      directory = try directory.child(component)
      guard component.string.hasPrefix(Self.prefix), let tag = Self.tag(of: directory) else {
        parent = directory
        continue
      }
      if tag.name == rule { return (parent, directory) }
    }
    return (parent, nil)
  }

  /// The tag of a cgroup that was made by placing.
  static func tag(of cgroup: CgroupDirectory) -> WorkloadTag? {
    guard let bytes = try? cgroup.labels(),
      let tag = try? WorkloadTag(parsing: String(decoding: bytes, as: UTF8.self)), tag.transientOwner != nil
    else { return nil }
    return tag
  }

  /// Whether the last directory of a path has a name that placing gives; only its tag says whether it did.
  package static func made(_ path: String) -> Bool { path.split(separator: "/").last?.hasPrefix(prefix) == true }

  static let prefix = "sallyport-"

  /// `sallyport-RULE-PID`, the rule as far as it is plain and short enough.
  static func name(of rule: String, _ process: ProcessID) -> String {
    let plain = rule.utf8.map { byte in
      switch byte {
      case 48...57, 65...90, 97...122, UInt8(ascii: "_"), UInt8(ascii: "."): byte
      default: UInt8(ascii: "_")
      }
    }
    return prefix + String(decoding: plain.prefix(128), as: UTF8.self) + "-\(process)"
  }

  private static func explained(_ error: KernelError, _ parent: CgroupDirectory) -> KernelError {
    let remedy: String? =
      switch error.errno {
      case .resourceBusy:
        "controllers are enabled in the subtree_control of \(parent.path): start it in a unit of its own"
      case .notSupportedOnSocket, Errno(rawValue: 95):
        "\(parent.path) is threaded, and a process cannot leave its threaded domain: start it in a unit of its own"
      case Errno(rawValue: 18), .noSuchFileOrDirectory:
        "the cgroup namespace does not let processes leave it (nsdelegate): run the agent in the host's one"
      case .permissionDenied: "run as root in the host's cgroup namespace"
      default: error.remedy
      }
    return KernelError(error.operation, error.subject, error.errno, remedy: remedy)
  }
}
