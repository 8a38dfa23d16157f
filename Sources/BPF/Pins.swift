// Descriptors of BPF objects in the BPF filesystem: pin, open, remove.
internal import CLibbpf
internal import Glibc
package import Kernel
internal import SystemPackage

extension OwnedDescriptor {
  /// Opens what is pinned at `path`; the kind is not checked here.
  ///
  /// The corresponding function is `bpf_obj_get`.
  package static func pinned(_ path: String, _ kind: String) throws(BPFError) -> OwnedDescriptor {
    let raw = unsafe bpf_obj_get(path)
    return OwnedDescriptor(adopting: try checkBPF(raw, "open pinned \(kind)", path))
  }

  /// Pins a map, program or link; the directory must be on a BPF filesystem.
  ///
  /// The corresponding function is `bpf_obj_pin`.
  package borrowing func pin(at path: String) throws(BPFError) {
    let rc = unsafe bpf_obj_pin(raw, path)
    guard rc < 0 else { return }
    let remedy = -rc == EPERM || -rc == EINVAL ? "the directory must be on a bpf filesystem" : nil
    throw BPFError("pin", path, Errno(rawValue: -rc), remedy: remedy)
  }

  /// Throws EINVAL unless the descriptor is a `kind`: map, prog or link.
  ///
  /// The kernel describes whatever it is given, and a map's description reads well as a program's: so the kind is
  /// taken from the descriptor's name in /proc. Without /proc nothing is refused.
  borrowing func requireKind(_ kind: String) throws(BPFError) {
    guard let target = target?.string else { return }
    // The kernel writes bpf-map and bpf-prog, but bpf_link.
    guard target == "anon_inode:bpf-\(kind)" || target == "anon_inode:bpf_\(kind)" else {
      throw BPFError("open \(kind)", "descriptor \(raw)", .invalidArgument, remedy: "it is \(target)")
    }
  }

  /// A descriptor of our own for one that libbpf keeps; negative means that there is none.
  static func duplicate(of raw: Int32, _ subject: String) throws(BPFError) -> OwnedDescriptor {
    try checkBPF(raw, "find", subject)
    let copy = fcntl(raw, F_DUPFD_CLOEXEC, 3)
    let rc = copy < 0 ? -errno : copy
    return OwnedDescriptor(adopting: try checkBPF(rc, "duplicate", subject))
  }
}

/// Removes a pin; what is pinned lives on as long as something else holds it.
///
/// A missing pin is success.
package func removePin(at path: String) throws(BPFError) {
  let rc = unsafe unlink(path)
  guard rc < 0, errno != ENOENT else { return }
  throw BPFError("remove pin", path, Errno(rawValue: errno))
}
