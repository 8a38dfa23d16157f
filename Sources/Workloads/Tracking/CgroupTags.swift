// Tags on cgroups below the agent's: writing them, and removing cgroups that were made for one command.
package import Kernel
internal import Policy
internal import SystemPackage

/// The tags in the subtree of one cgroup.
package struct CgroupTags: Sendable {
  /// The cgroup that the programs are attached to.
  package let root: CgroupDirectory

  /// Works below and including `root`.
  package init(root: CgroupDirectory) { self.root = root }

  /// Writes a tag on the cgroup with this path below the root of the hierarchy, and returns the cgroup's id.
  ///
  /// - Throws: also when the cgroup is not below this root, where nothing would be enforced on it.
  @discardableResult
  package func write(_ tag: WorkloadTag?, on path: String) throws(KernelError) -> CgroupID {
    var below = FilePath(path).lexicallyNormalized()
    guard below.removePrefix(root.path) else {
      throw KernelError(
        "label", path, .invalidArgument, remedy: "name a cgroup at or below \(root.path), where policy is enforced")
    }
    let cgroup = try root.hierarchy.directory(at: root.path.appending(below.components))
    if let tag { try cgroup.setLabels(Array(tag.text.utf8)) } else { try cgroup.removeLabels() }
    return cgroup.id
  }

  /// The tag that is on the cgroup with this path; nil when there is none or it cannot be read.
  package func read(_ path: String) -> WorkloadTag? {
    guard let cgroup = try? root.hierarchy.directory(at: FilePath(path)) else { return nil }
    return try? Self.read(cgroup).get()
  }

  /// The tag of a cgroup, or what is wrong with it; nil when there is none.
  static func read(_ cgroup: CgroupDirectory) -> Result<WorkloadTag?, WorkloadTagError> {
    guard let bytes = try? cgroup.labels() else { return .success(nil) }
    return Result { () throws(WorkloadTagError) in try WorkloadTag(parsing: String(decoding: bytes, as: UTF8.self)) }
  }

  /// Removes a cgroup that was made for one command and that nobody can enter any more; says whether it went.
  ///
  /// One whose maker still lives stays although it is empty: its maker is about to move in.
  package func removeIfAbandoned(_ id: CgroupID) -> Bool {
    guard id != root.id, let cgroup = try? root.hierarchy.directory(id: id),
      case .success(let tag?) = Self.read(cgroup), let owner = tag.transientOwner,
      (try? cgroup.isEmpty()) == true, !Self.isAlive(owner)
    else { return false }
    // Somebody may have entered in between: then the kernel says EBUSY, and it is not abandoned.
    return (try? cgroup.remove(within: 0)) != nil
  }

  private static func isAlive(_ pid: Int32) -> Bool {
    guard let process = try? ProcessHandle.open(ProcessID(rawValue: pid)) else { return false }
    return !process.hasExited
  }
}
