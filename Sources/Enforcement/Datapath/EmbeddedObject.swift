// The prebuilt programs as they lie in this binary.

internal import CDatapath

/// The ELF object of a datapath.
struct EmbeddedObject: Sendable, Equatable {
  /// Where its bytes are.
  let bytes: sp_object
  /// What people call it.
  let name: String
  let kind: DatapathKind
  /// How its programs learn whose packet it is; nil for the cgroup datapath, which has one way.
  let view: NetfilterView?
  /// The first kernel that loads a better one of the same view; nil for the best.
  let supersededBy: String?
  /// The programs that are pinned.
  let programs: [String]
  /// The sections of read-only data that the loader fills.
  let configurations: [String]

  private init(
    _ bytes: sp_object, _ name: String, _ kind: DatapathKind, _ view: NetfilterView? = nil,
    before kernel: String? = nil,
    programs: [String], configurations: [String]
  ) {
    self.bytes = bytes
    self.name = name
    self.kind = kind
    self.view = view
    supersededBy = kernel
    self.programs = programs
    self.configurations = configurations
  }

  static let cgroup = EmbeddedObject(
    .cgroup, "cgroup", .cgroup, programs: Hook.all.map(\.program), configurations: [".rodata.config"])
  static let cgroupLegacy = EmbeddedObject(
    .cgroup_legacy, "cgroup", .cgroup, before: "5.15", programs: cgroup.programs,
    configurations: cgroup.configurations)
  static let netfilter = EmbeddedObject(
    .netfilter, "netfilter", .netfilter, .exact,
    programs: [NetfilterDatapath.output, NetfilterDatapath.input, NetfilterDatapath.tracepoint.program],
    configurations: [".rodata.config", ".rodata.netfilter"])
  static let netfilterLegacy = EmbeddedObject(
    .netfilter_legacy, "netfilter", .netfilter, .exact, before: "5.17", programs: netfilter.programs,
    configurations: netfilter.configurations)
  static let netfilterMark = EmbeddedObject(
    .netfilter_mark, "netfilter-mark", .netfilter, .mark,
    programs: [NetfilterDatapath.output, NetfilterDatapath.input],
    configurations: [".rodata.config", ".rodata.mark"])

  /// Of each kind and view the best first.
  static let all = [cgroup, cgroupLegacy, netfilter, netfilterLegacy, netfilterMark]

  /// Those that a datapath may use, the best first.
  static func of(_ kind: DatapathKind, view: NetfilterView? = nil) -> [EmbeddedObject] {
    all.filter { $0.kind == kind && (view == nil || $0.view == nil || $0.view == view) }
  }

  /// What is to be said when it is used because better ones did not load.
  var meaning: String {
    if let supersededBy { return "programs for kernels before \(supersededBy)" }
    return view == .mark ? "mark view" : name
  }

  /// Calls `body` with its bytes.
  func withBytes<T: ~Copyable, E: Error>(_ body: (RawSpan) throws(E) -> T) throws(E) -> T {
    // Safe: the object is constant, lives as long as the program, and its size is what the C file says it is.
    let found = unsafe sp_object_bytes(bytes)
    return try unsafe body(UnsafeRawBufferPointer(start: found.start, count: found.size).bytes)
  }
}
