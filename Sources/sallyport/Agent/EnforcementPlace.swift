// What must be there before anything is loaded, each with its remedy.
internal import Kernel
internal import SystemPackage
internal import Workloads

/// Where an agent enforces.
struct EnforcementPlace {
  /// The cgroup.
  let root: CgroupDirectory
  /// The absolute path of its directory.
  let location: String
  /// What brings processes there on a host that mounts version 1 alone; nil on all others.
  let mirror: CgroupMirror?
}

extension EnforcementPlace {
  /// Finds the cgroup to enforce on, after checking privileges and file systems; mounts cgroup2 where there is none.
  ///
  /// - Throws: the first thing that is missing, as a `Failure` that says what to do.
  static func find(_ configuration: AgentConfiguration) throws -> EnforcementPlace {
    do {
      try Capabilities.require([.bpf, .netAdmin, .perfmon, .sysAdmin, .sysPtrace])
    } catch {
      throw Failure("\(error)", status: .notPermitted)
    }
    if configuration.mountBPFFS {
      try BPFFilesystem.standard.mountIfMissing()
    } else {
      do {
        try BPFFilesystem.standard.require()
      } catch {
        throw Failure("\(error)", remedy: "or start with --mount-bpffs")
      }
    }
    guard let path = configuration.cgroup else {
      throw Failure(
        "no cgroup to enforce on", remedy: "name a cgroup directory with --cgroup", status: .usage)
    }
    guard path.hasPrefix("/") else {
      throw Failure("--cgroup \(path) is no absolute path", remedy: "write it from the root", status: .usage)
    }
    guard configuration.mirror.hasPrefix("/") else {
      throw Failure("--mirror \(configuration.mirror) is no absolute path", status: .usage)
    }
    let mirror = try CgroupMirror.open(at: FilePath(configuration.mirror), enforcingOn: FilePath(path))
    do {
      let root = try mirror?.root ?? CgroupHierarchy.find().directory(mountedAt: FilePath(path))
      try SocketOwnership.check(below: root)
      return EnforcementPlace(root: root, location: mirror?.location.string ?? path, mirror: mirror)
    } catch {
      if let mirror, mirror.isNew { try? mirror.end() }
      throw error
    }
  }
}
