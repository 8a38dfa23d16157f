// The number of the cgroup above.
internal import Glibc

extension CgroupDirectory {
  /// The id of the directory above; nil at the top of the mount, or if this one was removed.
  package var parentID: CgroupID? {
    guard path != hierarchy.mount.root else { return nil }
    var status = stat()
    guard unsafe fstatat(descriptor.raw, "..", &status, 0) == 0 else { return nil }
    return CgroupID(rawValue: UInt64(status.st_ino))
  }
}
