// The prebuilt programs as they lie in this binary.

internal import CDatapath

/// The ELF object of a datapath.
enum EmbeddedObject {
  case cgroup
  case netfilter

  static func of(_ kind: DatapathKind) -> EmbeddedObject { kind == .cgroup ? .cgroup : .netfilter }

  /// Calls `body` with its bytes.
  ///
  /// The one place of this module that follows a C pointer.
  func withBytes<T: ~Copyable, E: Error>(_ body: (RawSpan) throws(E) -> T) throws(E) -> T {
    // Safe: the object is constant, lives as long as the program, and its size is what the C file says it is.
    let bytes =
      switch self {
      case .cgroup: unsafe UnsafeRawBufferPointer(start: sp_cgroup_object_start(), count: sp_cgroup_object_size)
      case .netfilter:
        unsafe UnsafeRawBufferPointer(start: sp_netfilter_object_start(), count: sp_netfilter_object_size)
      }
    return try unsafe body(bytes.bytes)
  }
}
