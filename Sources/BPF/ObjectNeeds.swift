// What the programs of an object call and keep, read from the object itself: what a kernel must have for them.
internal import CLibbpf
internal import CLinux
internal import Kernel
internal import SystemPackage

/// A call of a kernel function by a kind of program.
package struct HelperCall: Hashable, Sendable {
  /// The helper's number: `BPF_FUNC_*`.
  package let helper: UInt32
  /// The kind of program that calls it.
  package let program: ProgramType
  /// Where that program is to be attached: some helpers depend on it.
  package let attach: AttachType

  /// Such as `bpf_map_lookup_elem`, or its number.
  package var name: String {
    guard let known = unsafe sp_bpf_helper_name(helper) else { return "helper \(helper)" }
    return unsafe String(cString: known)
  }

  /// Whether this kernel lets such a program call it.
  package func probe() -> FeatureSupport {
    let attachment: AttachType? = attach.rawValue == 0 && program != .cgroupSKB ? nil : attach
    // The hook is in the name, by which answers are remembered: what one may call another may not.
    return Feature.helper(helper, for: program, attach: attachment, name: "\(name) at \(attach.name)", since: "?")
      .probe()
  }
}

/// What an object asks of a kernel.
package struct ObjectNeeds: Sendable {
  /// The kinds of its maps, each once, in the order of the file.
  package let maps: [MapType]
  /// The calls of its programs; functions that several programs share are not looked into.
  package let calls: Set<HelperCall>
}

extension OpenObject {
  /// What its maps and programs need; nothing is asked of the kernel.
  package func needs() throws(BPFError) -> ObjectNeeds {
    var maps: [MapType] = []
    for name in mapNames {
      let type = MapType(rawValue: try unsafe bpf_map__type(handle.map(name)).rawValue)
      if !maps.contains(type) { maps.append(type) }
    }
    var calls: Set<HelperCall> = []
    for name in programNames {
      let program = try unsafe handle.program(name)
      let type = ProgramType(rawValue: unsafe bpf_program__type(program).rawValue)
      let attach = AttachType(rawValue: unsafe bpf_program__expected_attach_type(program).rawValue)
      let start = unsafe bpf_program__insns(program)
      let instructions = unsafe Array(UnsafeBufferPointer(start: start, count: bpf_program__insn_cnt(program)))
      for instruction in instructions {
        // BPF_JMP | BPF_CALL; source register 0 is a helper, 1 a function of the object, 2 one of the kernel's.
        guard instruction.code == 0x85, instruction.src_reg == 0 else { continue }
        calls.insert(HelperCall(helper: UInt32(bitPattern: instruction.imm), program: type, attach: attach))
      }
    }
    return ObjectNeeds(maps: maps, calls: calls)
  }
}

extension ProgramType {
  /// The name that bpftool and libbpf use, or the number.
  package var name: String {
    guard let text = unsafe libbpf_bpf_prog_type_str(bpf_prog_type(rawValue: rawValue)) else {
      return "type \(rawValue)"
    }
    return unsafe String(cString: text)
  }
}

extension MapType {
  /// The name that bpftool and libbpf use, or the number.
  package var name: String {
    guard let text = unsafe libbpf_bpf_map_type_str(bpf_map_type(rawValue: rawValue)) else { return "type \(rawValue)" }
    return unsafe String(cString: text)
  }

  /// Whether this kernel makes such maps, tried with the smallest one; the corresponding function is
  /// `libbpf_probe_bpf_map_type`, which knows what each kind asks for.
  package func probe() -> FeatureSupport {
    let rc = libbpf_probe_bpf_map_type(bpf_map_type(rawValue: rawValue), nil)
    if rc > 0 { return .supported }
    return rc == 0
      ? .unsupported(reason: "the kernel makes no \(name)")
      : .inconclusive(reason: "\(name): \(KernelError.describe(Errno(rawValue: -rc)))")
  }
}
