// A cgroup v1 hierarchy of this machine, if it has one, and a cgroup of a test's own in it.
import Glibc
import Kernel
import SystemPackage
import TestSupport

/// Finds v1 hierarchies, whose cgroups have numbers of their own.
enum V1Hierarchy {
  /// The mount point of one that has no settings to be made first; nil on a machine without.
  static func find() -> FilePath? {
    let text = (try? readKernelFile("/proc/self/mountinfo")) ?? ""
    let mounts = text.split(separator: "\n").filter { $0.contains(" - cgroup ") && !$0.contains("cpuset") }
    return mounts.first.flatMap { $0.split(separator: " ").dropFirst(4).first }.map { FilePath(String($0)) }
  }

  /// Makes a cgroup in it, moves a process there and back, and removes it; returns its number.
  static func visit(_ hierarchy: FilePath, _ process: ProcessID, name: String) throws -> CgroupID {
    let path = hierarchy.appending(name)
    guard unsafe mkdir(path.string, 0o755) == 0 else { throw KernelError("make", path.string, Errno(rawValue: errno)) }
    defer { unsafe _ = rmdir(path.string) }
    var status = stat()
    unsafe stat(path.string, &status)
    try writeKernelFile(path.appending("cgroup.procs"), "\(process)")
    try writeKernelFile(hierarchy.appending("cgroup.procs"), "\(process)")
    return CgroupID(rawValue: UInt64(status.st_ino))
  }
}

extension MachineRequirement {
  /// A mounted cgroup v1 hierarchy.
  static let hybridCgroups = MachineRequirement("cgroup v1 beside v2") {
    V1Hierarchy.find() == nil ? "no cgroup v1 hierarchy is mounted" : nil
  }
}
