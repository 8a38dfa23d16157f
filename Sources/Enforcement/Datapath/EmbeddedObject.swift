// The prebuilt programs as they lie in this binary.

internal import CDatapath

/// The ELF object of a datapath.
enum EmbeddedObject {
  case cgroup
  /// The same for kernels before 5.15.
  case cgroupStatic
  case netfilter
  /// The same for kernels before 5.17.
  case netfilterStatic
  case netfilterTold

  /// Those that a datapath may use, the best first.
  static func of(_ kind: DatapathKind, view: NetfilterView? = nil) -> [EmbeddedObject] {
    switch (kind, view) {
    case (.cgroup, _): [.cgroup, .cgroupStatic]
    case (.netfilter, .exact): [.netfilter, .netfilterStatic]
    case (.netfilter, .told): [.netfilterTold]
    case (.netfilter, nil): [.netfilter, .netfilterStatic, .netfilterTold]
    }
  }

  /// What people call it.
  var name: String {
    switch self {
    case .cgroup, .cgroupStatic: "cgroup"
    case .netfilter, .netfilterStatic: "netfilter"
    case .netfilterTold: "netfilter-told"
    }
  }

  /// What is to be said when it is used because better ones did not load.
  var meaning: String {
    switch self {
    case .cgroup, .netfilter: name
    case .cgroupStatic: "programs for kernels before 5.15"
    case .netfilterStatic: "programs for kernels before 5.17"
    case .netfilterTold: "told view"
    }
  }

  /// The programs that are pinned.
  var programs: [String] {
    switch self {
    case .cgroup, .cgroupStatic: Hook.all.map(\.program)
    case .netfilter, .netfilterStatic:
      [NetfilterDatapath.output, NetfilterDatapath.input, NetfilterDatapath.tracepoint.program]
    case .netfilterTold: [NetfilterDatapath.output, NetfilterDatapath.input]
    }
  }

  /// The sections of read-only data that the loader fills.
  var configurations: [String] {
    switch self {
    case .cgroup, .cgroupStatic: [".rodata.config"]
    case .netfilter, .netfilterStatic: [".rodata.config", ".rodata.netfilter"]
    case .netfilterTold: [".rodata.config", ".rodata.told"]
    }
  }

  /// Calls `body` with its bytes.
  ///
  /// The one place of this module that follows a C pointer.
  func withBytes<T: ~Copyable, E: Error>(_ body: (RawSpan) throws(E) -> T) throws(E) -> T {
    // Safe: the object is constant, lives as long as the program, and its size is what the C file says it is.
    let bytes =
      switch self {
      case .cgroup: unsafe UnsafeRawBufferPointer(start: sp_cgroup_object_start(), count: sp_cgroup_object_size)
      case .cgroupStatic:
        unsafe UnsafeRawBufferPointer(start: sp_cgroup_static_object_start(), count: sp_cgroup_static_object_size)
      case .netfilter:
        unsafe UnsafeRawBufferPointer(start: sp_netfilter_object_start(), count: sp_netfilter_object_size)
      case .netfilterStatic:
        unsafe UnsafeRawBufferPointer(start: sp_netfilter_static_object_start(), count: sp_netfilter_static_object_size)
      case .netfilterTold:
        unsafe UnsafeRawBufferPointer(start: sp_netfilter_told_object_start(), count: sp_netfilter_told_object_size)
      }
    return try unsafe body(bytes.bytes)
  }
}
