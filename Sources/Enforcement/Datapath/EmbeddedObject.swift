// The prebuilt programs as they lie in this binary.

internal import CDatapath

/// The ELF object of a datapath.
enum EmbeddedObject {
  case cgroup
  /// The same for kernels before 5.15.
  case cgroupLegacy
  case netfilter
  /// The same for kernels before 5.17.
  case netfilterLegacy
  case netfilterMark

  /// Those that a datapath may use, the best first.
  static func of(_ kind: DatapathKind, view: NetfilterView? = nil) -> [EmbeddedObject] {
    switch (kind, view) {
    case (.cgroup, _): [.cgroup, .cgroupLegacy]
    case (.netfilter, .exact): [.netfilter, .netfilterLegacy]
    case (.netfilter, .mark): [.netfilterMark]
    case (.netfilter, nil): [.netfilter, .netfilterLegacy, .netfilterMark]
    }
  }

  /// What people call it.
  var name: String {
    switch self {
    case .cgroup, .cgroupLegacy: "cgroup"
    case .netfilter, .netfilterLegacy: "netfilter"
    case .netfilterMark: "netfilter-mark"
    }
  }

  /// What is to be said when it is used because better ones did not load.
  var meaning: String {
    switch self {
    case .cgroup, .netfilter: name
    case .cgroupLegacy: "programs for kernels before 5.15"
    case .netfilterLegacy: "programs for kernels before 5.17"
    case .netfilterMark: "mark view"
    }
  }

  /// The programs that are pinned.
  var programs: [String] {
    switch self {
    case .cgroup, .cgroupLegacy: Hook.all.map(\.program)
    case .netfilter, .netfilterLegacy:
      [NetfilterDatapath.output, NetfilterDatapath.input, NetfilterDatapath.tracepoint.program]
    case .netfilterMark: [NetfilterDatapath.output, NetfilterDatapath.input]
    }
  }

  /// The sections of read-only data that the loader fills.
  var configurations: [String] {
    switch self {
    case .cgroup, .cgroupLegacy: [".rodata.config"]
    case .netfilter, .netfilterLegacy: [".rodata.config", ".rodata.netfilter"]
    case .netfilterMark: [".rodata.config", ".rodata.mark"]
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
      case .cgroupLegacy:
        unsafe UnsafeRawBufferPointer(start: sp_cgroup_legacy_object_start(), count: sp_cgroup_legacy_object_size)
      case .netfilter:
        unsafe UnsafeRawBufferPointer(start: sp_netfilter_object_start(), count: sp_netfilter_object_size)
      case .netfilterLegacy:
        unsafe UnsafeRawBufferPointer(start: sp_netfilter_legacy_object_start(), count: sp_netfilter_legacy_object_size)
      case .netfilterMark:
        unsafe UnsafeRawBufferPointer(start: sp_netfilter_mark_object_start(), count: sp_netfilter_mark_object_size)
      }
    return try unsafe body(bytes.bytes)
  }
}
