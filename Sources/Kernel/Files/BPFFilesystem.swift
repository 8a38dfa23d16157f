// The file system that pins live on: is it there, and mounting it where it is not.
internal import CLinux
internal import SystemPackage

/// A directory that should be, or be on, a BPF file system.
package struct BPFFilesystem: Equatable, Sendable {
  /// The usual mount point.
  package static let standard = BPFFilesystem(path: "/sys/fs/bpf")

  /// The directory.
  package let path: String

  /// Names a directory; nothing is looked at yet.
  package init(path: String) { self.path = path }

  /// Whether the directory is on a BPF file system, by its magic number.
  package func isMounted() throws(KernelError) -> Bool {
    var magic: UInt64 = 0
    try check(unsafe sp_statfs_magic(path, &magic), "look at file system", path)
    return magic == UInt64(BPF_FS_MAGIC)
  }

  /// Throws ENODEV, with the command to run, if it is not.
  package func require() throws(KernelError) {
    guard try !isMounted() else { return }
    throw KernelError("use BPF file system", path, .missingDevice, remedy: "mount -t bpf bpf \(path)")
  }

  /// Mounts it if it is not; true if this call did.
  ///
  /// Needs CAP_SYS_ADMIN.
  @discardableResult
  package func mountIfMissing() throws(KernelError) -> Bool {
    guard try !isMounted() else { return false }
    try check(unsafe sp_mount("bpf", path, "bpf", 0), "mount BPF file system", path)
    return true
  }
}
