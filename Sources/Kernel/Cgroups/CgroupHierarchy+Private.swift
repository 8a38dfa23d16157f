// A mount of cgroup v2 that nobody else sees, for trials on hosts that mount version 1 alone.
internal import CLinux
internal import Glibc
internal import SystemPackage

extension CgroupHierarchy {
  /// Mounts version 2 in a mount namespace of one thread's own, and runs `body` on that thread; the mount goes with it.
  ///
  /// Directories that `body` makes are in the one hierarchy that the kernel has, whoever sees it: it removes them itself.
  /// Needs CAP_SYS_ADMIN.
  package static func withPrivateMount<T: Sendable>(
    _ body: @escaping @Sendable (CgroupHierarchy) throws -> T
  ) throws -> T {
    let result = try runOnFreshThread("private-mount") { () throws(KernelError) -> Result<T, any Error> in
      try check(sp_unshare(sp_clone_newns()), "create", "mount namespace")
      // Otherwise the mount below would be handed on to the namespace that this one was copied from.
      try check(unsafe sp_mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE)), "make private", "/")
      let place = "/sys/fs/cgroup"
      // Over whatever is there: this thread alone sees it.
      try check(unsafe sp_mount("none", place, "cgroup2", 0), "mount cgroup2 at", place)
      let hierarchy = CgroupHierarchy(mount: CgroupMount(mountPoint: FilePath(place), root: "/"))
      return Result { try body(hierarchy) }
    }
    return try result.get()
  }
}
