// From programs to their maps and back, by the kernel's numbers: how what is not pinned any more is found.
internal import CLibbpf
package import Kernel
internal import SystemPackage

extension BPFProgram {
  /// The kernel's numbers of the maps that the program uses or is bound to.
  package borrowing func mapNumbers() throws(BPFError) -> [UInt32] {
    // The verifier lets a program use 64 maps (MAX_USED_MAPS); some may be bound to it.
    var numbers = [UInt32](repeating: 0, count: 128)
    var count: UInt32 = 0
    let rc = unsafe numbers.withUnsafeMutableBufferPointer { buffer in
      var info = bpf_prog_info()
      info.nr_map_ids = UInt32(buffer.count)
      info.map_ids = UInt64(UInt(bitPattern: buffer.baseAddress))
      var size = UInt32(MemoryLayout<bpf_prog_info>.size)
      let rc = unsafe bpf_obj_get_info_by_fd(descriptor.raw, &info, &size)
      count = info.nr_map_ids
      return rc
    }
    try checkBPF(rc, "describe", "program \(name)")
    return Array(numbers.prefix(Int(count)))
  }

  /// Keeps a map as long as the program lives, as if the program used it.
  ///
  /// The corresponding function is `bpf_prog_bind_map`; kernel 5.10.
  package borrowing func bind(map: borrowing OwnedDescriptor) throws(BPFError) {
    try checkBPF(bpf_prog_bind_map(descriptor.raw, map.raw, nil), "bind map to", name)
  }

  /// The numbers of all programs in the kernel, in their order.
  ///
  /// Needs CAP_SYS_ADMIN (`bpf_prog_get_next_id`).
  package static func allNumbers() -> [UInt32] {
    var numbers: [UInt32] = []
    var number: UInt32 = 0
    while unsafe bpf_prog_get_next_id(number, &number) == 0 { numbers.append(number) }
    return numbers
  }
}

extension OwnedDescriptor {
  /// The map with a number; ENOENT once it is gone.
  ///
  /// Needs CAP_SYS_ADMIN (`bpf_map_get_fd_by_id`).
  package static func map(numbered id: UInt32) throws(BPFError) -> OwnedDescriptor {
    OwnedDescriptor(adopting: try checkBPF(bpf_map_get_fd_by_id(id), "open map", "number \(id)"))
  }
}

extension PinnedLink {
  /// The numbers of all links in the kernel, in their order (`bpf_link_get_next_id`).
  package static func allNumbers() -> [UInt32] {
    var numbers: [UInt32] = []
    var number: UInt32 = 0
    while unsafe bpf_link_get_next_id(number, &number) == 0 { numbers.append(number) }
    return numbers
  }
}

extension BPFLink {
  /// The link with a number; ENOENT once it is gone.
  ///
  /// Needs CAP_SYS_ADMIN (`bpf_link_get_fd_by_id`).
  package static func numbered(_ id: UInt32) throws(BPFError) -> BPFLink {
    BPFLink(descriptor: OwnedDescriptor(adopting: try checkBPF(bpf_link_get_fd_by_id(id), "open link", "number \(id)")))
  }

  /// The link pinned at `path`, held: it lives as long as this value, whatever becomes of the pin.
  package static func held(_ path: String) throws(BPFError) -> BPFLink {
    BPFLink(descriptor: try OwnedDescriptor.pinned(path, "link"))
  }
}

/// The first 32 bits of the first value of a pinned map whose values may have any size.
package func firstWord(ofMapAt path: String) throws(BPFError) -> UInt32? {
  let map = try OwnedDescriptor.pinned(path, "map")
  let info = try MapInfo(of: map)
  guard info.keySize == 4, info.valueSize >= 4, !info.type.isPerCPU else { return nil }
  var key: UInt32 = 0
  var value = [UInt8](repeating: 0, count: info.valueSize)
  let rc = unsafe value.withUnsafeMutableBytes { unsafe bpf_map_lookup_elem(map.raw, &key, $0.baseAddress) }
  try checkBPF(rc, "look up", info.name)
  return unsafe value.span.bytes.unsafeLoadUnaligned(as: UInt32.self)
}
