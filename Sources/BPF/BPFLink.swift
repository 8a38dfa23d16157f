// An attachment of a program, as a link: it ends with its last holder, and it is replaced in one step.
internal import CLibbpf
package import Kernel
internal import SystemPackage

/// What the kernel says about a link.
package struct LinkInfo: Equatable, Sendable {
  /// The kernel's number for the link.
  package let id: UInt32
  /// The program that runs now.
  package let programID: UInt32
  /// The cgroup, for cgroup links; nil once the link is detached or the cgroup is gone.
  package let cgroupID: UInt64?
  /// The hook, for cgroup links.
  package let attachType: AttachType?
  /// Whether it is a cgroup link that was detached, or whose cgroup is gone.
  package let isDetached: Bool
}

/// An attachment that ends when this value goes, unless it was pinned.
package struct BPFLink: ~Copyable, Sendable {
  /// The link's descriptor.
  package let descriptor: OwnedDescriptor

  /// Takes a link's descriptor.
  package init(descriptor: consuming OwnedDescriptor) {
    self.descriptor = descriptor
  }

  /// Attaches a program to a cgroup v2 directory, beside others (never instead of them).
  ///
  /// The corresponding function is `bpf_link_create`; kernel 5.7.
  package static func attach(
    _ program: borrowing BPFProgram, cgroup: borrowing OwnedDescriptor, type: AttachType
  ) throws(BPFError) -> BPFLink {
    let kind = bpf_attach_type(rawValue: type.rawValue)
    let raw = bpf_link_create(program.descriptor.raw, cgroup.raw, kind, nil)
    try checkBPF(raw, "attach \(program.name)", type.name)
    return BPFLink(descriptor: OwnedDescriptor(adopting: raw))
  }

  /// Attaches a program to a raw tracepoint, such as `cgroup_mkdir`.
  ///
  /// The corresponding function is `bpf_raw_tracepoint_open`.
  package static func attach(
    _ program: borrowing BPFProgram, rawTracepoint: String
  ) throws(BPFError) -> BPFLink {
    let raw = unsafe bpf_raw_tracepoint_open(rawTracepoint, program.descriptor.raw)
    try checkBPF(raw, "attach \(program.name)", "raw tracepoint \(rawTracepoint)")
    return BPFLink(descriptor: OwnedDescriptor(adopting: raw))
  }

  /// Pins the link: from now on the attachment outlives this process.
  ///
  /// On failure the attachment ends here.
  package consuming func pin(at path: String) throws(BPFError) -> PinnedLink {
    try descriptor.pin(at: path)
    return PinnedLink(descriptor: descriptor, path: path)
  }

  /// Replaces the program in one step: no packet passes between old and new.
  ///
  /// The corresponding function is `bpf_link_update`.
  package borrowing func replace(program: borrowing BPFProgram) throws(BPFError) {
    try descriptor.replaceLinkProgram(program)
  }

  /// Ends the attachment now, whoever else holds the link.
  package borrowing func detach() throws(BPFError) {
    try checkBPF(bpf_link_detach(descriptor.raw), "detach", "link")
  }

  /// What the kernel says about the link.
  package borrowing func info() throws(BPFError) -> LinkInfo {
    try descriptor.linkInfo()
  }
}

/// An attachment that a pin keeps; it stays when this value goes.
package struct PinnedLink: ~Copyable, Sendable {
  /// The link's descriptor.
  package let descriptor: OwnedDescriptor
  /// Where it is pinned.
  package let path: String

  init(descriptor: consuming OwnedDescriptor, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  /// The link pinned at `path`; EINVAL if something else is pinned there.
  package static func open(_ path: String) throws(BPFError) -> PinnedLink {
    let descriptor = try OwnedDescriptor.pinned(path, "link")
    _ = try descriptor.linkInfo()
    return PinnedLink(descriptor: descriptor, path: path)
  }

  /// Replaces the program in one step: no packet passes between old and new.
  ///
  /// The corresponding function is `bpf_link_update`.
  package borrowing func replace(program: borrowing BPFProgram) throws(BPFError) {
    try descriptor.replaceLinkProgram(program)
  }

  /// Ends the attachment now; the pin stays until `unpin()`.
  ///
  /// The corresponding function is `bpf_link_detach`; kernel 5.9.
  package borrowing func detach() throws(BPFError) {
    try checkBPF(bpf_link_detach(descriptor.raw), "detach", path)
  }

  /// Removes the pin and gives the attachment to the result, whose end is the attachment's end.
  package consuming func unpin() throws(BPFError) -> BPFLink {
    try removePin(at: path)
    return BPFLink(descriptor: descriptor)
  }

  /// What the kernel says about the link.
  package borrowing func info() throws(BPFError) -> LinkInfo {
    try descriptor.linkInfo()
  }
}

extension OwnedDescriptor {
  fileprivate borrowing func replaceLinkProgram(_ program: borrowing BPFProgram) throws(BPFError) {
    try checkBPF(bpf_link_update(raw, program.descriptor.raw, nil), "replace program of link", program.name)
  }

  fileprivate borrowing func linkInfo() throws(BPFError) -> LinkInfo {
    try requireKind("link")
    var info = bpf_link_info()
    var size = UInt32(MemoryLayout<bpf_link_info>.size)
    try checkBPF(unsafe bpf_obj_get_info_by_fd(raw, &info, &size), "describe", "link")
    let isCgroup = info.type == BPF_LINK_TYPE_CGROUP.rawValue
    let cgroup = info.cgroup.cgroup_id
    return LinkInfo(
      id: info.id, programID: info.prog_id, cgroupID: isCgroup && cgroup != 0 ? cgroup : nil,
      attachType: isCgroup ? AttachType(rawValue: info.cgroup.attach_type) : nil,
      isDetached: isCgroup && cgroup == 0)
  }
}
