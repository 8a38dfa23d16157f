// What must be there before anything is loaded, each with its remedy.
internal import Kernel
internal import SystemPackage
internal import Workloads

enum Preflight {
  /// Finds the cgroup to enforce on, after checking privileges and file systems.
  ///
  /// - Throws: the first thing that is missing, as a `Failure` that says what to do.
  static func check(_ configuration: AgentConfiguration) throws -> CgroupDirectory {
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
        "no cgroup to enforce on", remedy: "name a cgroup v2 directory with --cgroup", status: .usage)
    }
    guard path.hasPrefix("/") else {
      throw Failure("--cgroup \(path) is no absolute path", remedy: "write it from the root", status: .usage)
    }
    return try CgroupHierarchy.find().directory(mountedAt: FilePath(path))
  }
}
