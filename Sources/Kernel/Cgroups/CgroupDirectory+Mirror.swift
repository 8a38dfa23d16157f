// Directories of version 2 that stand for ones of version 1: a trusted extended attribute tells them from all others.
internal import CLinux
internal import Glibc
package import SystemPackage

extension CgroupDirectory {
  /// Vanishes with the directory, so that it outlives every agent and no directory.
  private static let mirrorAttribute = "trusted.sallyport.mirror"

  /// Whether `makeMirrored` made it.
  package func isMirrored() throws(KernelError) -> Bool {
    let rc = unsafe sp_fgetxattr(descriptor.raw, Self.mirrorAttribute, nil, 0)
    if rc == -Int(ENODATA) { return false }
    try check(Int32(rc), "read mirror mark of", path.description)
    return true
  }

  /// Makes a child that stands for a directory of version 1; one that is there already stays what it is.
  package func makeMirrored(_ name: FilePath.Component) throws(KernelError) -> CgroupDirectory {
    if let there = try? child(name) { return there }
    let made = try create(name)
    let mark: UInt8 = 1
    let rc = unsafe withUnsafeBytes(of: mark) {
      unsafe sp_fsetxattr(made.descriptor.raw, Self.mirrorAttribute, $0.baseAddress, $0.count, 0)
    }
    try check(rc, "mark as mirrored", made.path.description, remedy: rc == -EPERM ? "run with CAP_SYS_ADMIN" : nil)
    return made
  }

  /// Removes this directory alone; false if somebody is in it or below it.
  package func removeIfUnused() throws(KernelError) -> Bool {
    guard let location = hierarchy.location(of: path) else { return false }
    let rc = unsafe location.withPlatformString { unsafe rmdir($0) < 0 ? -errno : 0 }
    if rc == -EBUSY || rc == -ENOTEMPTY { return false }
    guard rc != -ENOENT else { return true }
    try check(rc, "remove cgroup", path.description)
    return true
  }
}

extension CgroupHierarchy {
  /// Mounts the hierarchy at a directory, which is made if its parent is there, as a mount that is known to be ours.
  ///
  /// Needs CAP_SYS_ADMIN. The kernel has one hierarchy of version 2 however often it is mounted; with all controllers in
  /// version 1 it has none, and is a tree of processes and no more (cgroups(7), "Cgroups v1 and cgroups v2").
  package static func mountOwn(at place: FilePath) throws(KernelError) -> CgroupHierarchy {
    try makeDirectory(place.string, mode: 0o755, mayExist: true)
    let rc = unsafe sp_mount(
      CgroupLayout.mirrorSource, place.string, "cgroup2",
      UInt(MS_NOSUID) | UInt(MS_NODEV) | UInt(MS_NOEXEC))
    let remedy =
      switch rc {
      case -EPERM: "run with CAP_SYS_ADMIN"
      case -ENODEV: "the kernel is built without CONFIG_CGROUPS"
      case -EBUSY: "something is mounted at \(place): name another directory with --mirror"
      default: nil as String?
      }
    try check(rc, "mount cgroup2 at", place.string, remedy: remedy)
    return CgroupHierarchy(mount: CgroupMount(mountPoint: place, root: "/"))
  }

  /// Takes away what `mountOwn` mounted, and its directory; what is open in it stays usable.
  package func unmountOwn() throws(KernelError) {
    let rc = unsafe umount2(mount.mountPoint.string, Int32(MNT_DETACH)) < 0 ? -errno : 0
    try check(rc, "unmount", mount.mountPoint.string)
    try removeDirectory(mount.mountPoint.string)
  }
}

/// A process's places in both versions of cgroups, read at one instant of its life.
package struct CgroupPlaces: Equatable, Sendable {
  /// In version 1.
  package let older: CgroupV1Membership
  /// In version 2.
  package let newer: CgroupMembership

  /// States places.
  package init(older: CgroupV1Membership, newer: CgroupMembership) {
    self.older = older
    self.newer = newer
  }

  /// Where a process is; nil for kernel threads, zombies, and what is outside of our cgroup namespace.
  ///
  /// For a thread that exits the kernel says `/` in version 1, wherever it was (`proc_cgroup_show()` in
  /// kernel/cgroup/cgroup.c), and the first thread of a process may exit before the others: then one of these is asked.
  package static func of(_ process: ProcessID) throws(KernelError) -> CgroupPlaces? {
    let directory = FilePath("/proc/\(process.rawValue)")
    if let places = try read(directory) { return places }
    for name in (try? directoryNames("\(directory)/task")) ?? [] where name != String(process.rawValue) {
      if let places = try? read(directory.appending("task").appending(name)) { return places }
    }
    return nil
  }

  private static func read(_ directory: FilePath) throws(KernelError) -> CgroupPlaces? {
    let text = try readKernelBytes(directory.appending("cgroup"))
    guard let older = CgroupV1Membership.parse(text), let newer = CgroupMembership.parse(text) else { return nil }
    // Read later: what exits has not begun to before.
    guard try !isExitingOrKernel(directory) else { return nil }
    return CgroupPlaces(older: older, newer: newer)
  }

  /// PF_EXITING and PF_KTHREAD of include/linux/sched.h, in the ninth field of proc_pid_stat(5).
  private static func isExitingOrKernel(_ directory: FilePath) throws(KernelError) -> Bool {
    let text = try readKernelFile(directory.appending("stat"))
    // The command may hold blanks and parentheses: it ends at the last one.
    let fields = text.lastIndex(of: ")").map { text[text.index(after: $0)...].split(separator: " ") } ?? []
    guard fields.count > 6, let flags = UInt32(fields[6]) else {
      throw KernelError("parse", "\(directory)/stat", .invalidArgument)
    }
    return flags & 0x20_0004 != 0
  }
}
