// Which programs a cgroup has at a hook, whoever attached them.
internal import CLibbpf
package import Kernel
internal import SystemPackage

/// The programs of one cgroup at one hook.
package struct CgroupAttachments: Equatable, Sendable {
  /// How they were attached, which decides whether others can be.
  package enum Mode: String, Sendable {
    /// Any number side by side; those of descendants run too.
    case multi
    /// One, whose place a descendant's takes below that.
    case overridable
    /// One, and none below.
    case exclusive
  }

  /// The hook.
  package let hook: AttachType
  /// How they were attached.
  package let mode: Mode
  /// The kernel's numbers of the programs.
  package let programs: [UInt32]

  /// What is attached to a directory itself; nil if that is nothing.
  ///
  /// Needs CAP_BPF or CAP_NET_ADMIN. The corresponding function is `bpf_prog_query`.
  package static func query(
    _ cgroup: borrowing OwnedDescriptor, _ hook: AttachType
  ) throws(BPFError) -> CgroupAttachments? {
    var flags: UInt32 = 0
    // The kernel takes 64 programs of a kind on one cgroup (BPF_CGROUP_MAX_PROGS).
    var numbers = [UInt32](repeating: 0, count: 64)
    var count = UInt32(numbers.count)
    let type = bpf_attach_type(rawValue: hook.rawValue)
    try checkBPF(
      unsafe bpf_prog_query(cgroup.raw, type, 0, &flags, &numbers, &count), "query programs at", hook.name)
    guard count > 0 else { return nil }
    // BPF_F_ALLOW_OVERRIDE is bit 0, BPF_F_ALLOW_MULTI bit 1.
    let mode: Mode = flags & 2 != 0 ? .multi : flags & 1 != 0 ? .overridable : .exclusive
    return CgroupAttachments(hook: hook, mode: mode, programs: Array(numbers.prefix(Int(count))))
  }
}

extension BPFProgram {
  /// The program with a number; ENOENT once it is gone.
  ///
  /// Needs CAP_SYS_ADMIN (`bpf_prog_get_fd_by_id`).
  package static func numbered(_ id: UInt32) throws(BPFError) -> BPFProgram {
    let raw = try checkBPF(bpf_prog_get_fd_by_id(id), "open program", "number \(id)")
    return try BPFProgram(descriptor: OwnedDescriptor(adopting: raw))
  }
}
