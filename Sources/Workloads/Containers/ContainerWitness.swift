// Is a cgroup that is named like a container really that container's?
internal import Glibc
internal import Kernel
internal import SystemPackage

/// What the kernel says against a claim that a path makes.
///
/// A path is only a name. Who may write into a directory, such as a user in the subtree of the own service manager or a
/// service with `Delegate=yes`, can make a cgroup below it that is named like anybody's container. Two things such a
/// tenant cannot do: make a directory inside one that it does not own, and move another container's process.
struct ContainerWitness: Sendable {
  private let mountPoints: [String]

  /// Looks at the cgroup v2 hierarchy that is mounted here, and at what it mirrors: that is where tenants own directories.
  init() {
    var found = [(try? CgroupHierarchy.find())?.mount.mountPoint.description ?? "/sys/fs/cgroup"]
    if case .v1(let mounts, _) = try? CgroupLayout.current() {
      found += mounts.filter { $0.root == "/" }.map { $0.mountPoint.description }
    }
    mountPoints = found
  }

  /// The labels of a container, if the cgroup is its.
  ///
  /// - Throws: the objection, as a fault of `source`.
  func labels(
    _ facts: ContainerFacts, of reference: ContainerReference, source: String
  ) throws(SourceFault) -> SourceLabels {
    if let objection = objection(to: reference, process: facts.process) {
      throw SourceFault(source, "container \(reference.id.prefix(12))", objection, isPassing: false)
    }
    return facts.sourceLabels
  }

  /// Why the cgroup cannot be trusted to be what its path says, or nil.
  ///
  /// - Parameter process: the container's first process as the engine knows it; 0 if it has none yet.
  func objection(to reference: ContainerReference, process: Int32) -> String? {
    if let owner = owner(above: reference.cgroupPath), owner != 0 {
      return "its cgroup was made in a directory of user \(owner), so anybody may have named it"
    }
    guard process > 0, let path = cgroup(of: process) else { return nil }
    // Not the container's own cgroup but one below it is right too: crun and systemd inside make such.
    guard path == reference.cgroupPath || path.hasPrefix(reference.cgroupPath + "/") else {
      return "its process \(process) is in \(path), so \(reference.cgroupPath) only bears its name"
    }
    return nil
  }

  /// The user who owns the directory in which the container's cgroup was made, root only if all of them are root's; nil if
  /// it is gone.
  private func owner(above path: String) -> UInt32? {
    let parent = path.lastIndex(of: "/").map { path[..<$0] } ?? ""
    let owners = mountPoints.compactMap { mountPoint -> UInt32? in
      var status = stat()
      return unsafe stat(mountPoint + parent, &status) == 0 ? status.st_uid : nil
    }
    return owners.max()
  }

  private func cgroup(of process: Int32) -> String? {
    guard let bytes = try? readKernelBytes(FilePath("/proc/\(process)/cgroup")),
      let membership = CgroupMembership.parse(bytes), !membership.isDeleted
    else { return nil }
    return membership.path.description
  }
}
