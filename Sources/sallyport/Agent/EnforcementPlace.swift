// What must be there before anything is loaded: the checks of preflight that an agent cannot start without.
internal import Glibc
internal import Kernel
internal import Preflight
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

  /// Finds the cgroup to enforce on, after checking privileges and file systems; mounts cgroup2 where there is none.
  ///
  /// - Throws: the first thing that is missing, as a `Failure` in the words of `sallyport preflight`.
  static func find(_ configuration: AgentConfiguration) throws -> EnforcementPlace {
    var host = HostView.current()
    host.asksUnit = false
    try require(Check.toStart.filter { $0.group == .capability }, of: host)
    if configuration.mountBPFFS { try BPFFilesystem.standard.mountIfMissing() }
    try require(Check.toStart.filter { $0.group != .capability }, of: host)
    guard let path = configuration.cgroup else {
      let mount = (try? CgroupHierarchy.find().mount.mountPoint.string) ?? "/sys/fs/cgroup"
      throw Failure(
        "no cgroup to enforce on", remedy: "name a cgroup directory, such as --cgroup \(mount)/system.slice",
        status: .usage)
    }
    guard path.hasPrefix("/") else {
      throw Failure("--cgroup \(path) is not an absolute path", remedy: "write it from the root", status: .usage)
    }
    guard configuration.mirror.hasPrefix("/") else {
      throw Failure("--mirror \(configuration.mirror) is not an absolute path", status: .usage)
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

  /// Refuses what a check fails; what could not be looked at is found out by what comes next.
  private static func require(_ checks: [Check], of host: HostView) throws {
    let failed = Check.failures(checks, in: host)
    guard let first = failed.first else { return }
    if geteuid() != 0, failed.allSatisfy({ $0.check.group == .capability }) {
      throw Failure(
        "permission denied", remedy: "run as root: sudo sallyport run …; `sallyport preflight` names what is missing",
        status: .notPermitted)
    }
    let words = failed.map { "\($0.check.requirement): \($0.finding.found) (\($0.check.name))" }
    let command = first.finding.commands.first.map { ": \($0)" } ?? ""
    throw Failure(
      words.joined(separator: "; "), remedy: first.finding.remedy + command,
      status: failed.contains { $0.check.group == .capability } ? .notPermitted : .refused)
  }
}
