// Cgroups that the kernel tells of a moment before their directories can be opened; and whose process ids it tells.
internal import CLinux
internal import Glibc
internal import SystemPackage

extension CgroupDirectory {
  /// Returns when a cgroup of this hierarchy, whose making the kernel just told, can be opened by its number or is gone.
  ///
  /// The tracepoint cgroup_mkdir comes before the kernel activates the new directory (`cgroup_mkdir()` in
  /// kernel/cgroup/cgroup.c), and until then opening by number says ESTALE as for one that is gone. Whoever makes a
  /// directory holds the lock of the one above until it is done, and looking for any name there waits for that lock.
  package func awaitArrival(of id: CgroupID, in parent: CgroupID) {
    guard !opens(id) else { return }
    let raw = sp_open_by_id(descriptor.raw, parent.rawValue)
    guard raw >= 0 else { return }
    let above = OwnedDescriptor(adopting: raw)
    // No such file: that it was looked for is all that matters.
    _ = try? OwnedDescriptor.open("sallyport.none", flags: O_RDONLY, at: above.raw)
  }

  /// Whether the directory with a number of this hierarchy is there; needs CAP_DAC_READ_SEARCH.
  private func opens(_ id: CgroupID) -> Bool {
    let raw = sp_open_by_id(descriptor.raw, id.rawValue)
    guard raw >= 0 else { return false }
    _ = OwnedDescriptor(adopting: raw)
    return true
  }
}

extension ProcessID {
  /// Whether process ids here are those of the initial pid namespace, in which the kernel's tracepoints speak.
  ///
  /// Its inode number is fixed: PROC_PID_INIT_INO in include/linux/proc_ns.h.
  package static var areInitial: Bool { readLink("/proc/self/ns/pid") == "pid:[4026531836]" }
}
