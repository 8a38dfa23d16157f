// Labels that stay with a cgroup directory itself: a trusted extended attribute, readable by root alone.
internal import CLinux
internal import Glibc
internal import SystemPackage

extension CgroupDirectory {
  /// The attribute's name; `trusted.` needs CAP_SYS_ADMIN, so no workload can label itself.
  private static let attribute = "trusted.sallyport.labels"

  /// The label bytes, or nil if the directory has none.
  package func labels() throws(KernelError) -> [UInt8]? {
    // Nearly all cgroups have none, and labels are short; 64 KiB is the kernel's bound of an attribute.
    for size in [512, 65536] {
      var bytes = [UInt8](repeating: 0, count: size)
      let count = unsafe bytes.withUnsafeMutableBytes {
        unsafe sp_fgetxattr(descriptor.raw, Self.attribute, $0.baseAddress, $0.count)
      }
      if count == -Int(ENODATA) { return nil }
      if count == -Int(ERANGE), size < 65536 { continue }
      try check(Int32(count), "read labels of", path.description)
      return Array(bytes.prefix(count))
    }
    return nil
  }

  /// Writes the label bytes; they vanish with the directory.
  ///
  /// At most 64 KiB; E2BIG or ENOSPC beyond.
  package func setLabels(_ bytes: [UInt8]) throws(KernelError) {
    let rc = unsafe bytes.withUnsafeBytes {
      unsafe sp_fsetxattr(descriptor.raw, Self.attribute, $0.baseAddress, $0.count, 0)
    }
    try check(rc, "write labels of", path.description, remedy: rc == -EPERM ? "run with CAP_SYS_ADMIN" : nil)
  }

  /// Removes the label bytes; none there is success.
  package func removeLabels() throws(KernelError) {
    let rc = unsafe sp_fremovexattr(descriptor.raw, Self.attribute)
    guard rc != -ENODATA else { return }
    try check(rc, "remove labels of", path.description)
  }
}
