// A program in the kernel: who it is, running it on a packet, pinning it.
internal import CLibbpf
package import Kernel
internal import SystemPackage

/// A loaded program, held by descriptor.
package struct BPFProgram: ~Copyable, Sendable {
  /// The program's descriptor.
  package let descriptor: OwnedDescriptor
  /// The kernel's number for it, unique while it lives.
  package let id: UInt32
  /// At most 15 characters.
  package let name: String
  /// A hash of the instructions as 16 hexadecimal digits: the same code has the same tag.
  package let tag: String
  /// The kernel's kind.
  package let type: ProgramType
  /// How many instructions the verifier walked; 0 before kernel 5.16.
  package let verifiedInstructions: UInt32
  /// How many instructions it has in the kernel, calls inlined and dead branches removed.
  package let instructions: UInt32
  /// Whether it runs as machine code and not in the interpreter.
  package let isCompiled: Bool

  /// Takes a program's descriptor and asks the kernel about it; EINVAL if it is no program.
  package init(descriptor: consuming OwnedDescriptor) throws(BPFError) {
    try descriptor.requireKind("prog")
    var info = bpf_prog_info()
    var size = UInt32(MemoryLayout<bpf_prog_info>.size)
    try checkBPF(unsafe bpf_obj_get_info_by_fd(descriptor.raw, &info, &size), "describe", "program")
    id = info.id
    name = text(of: info.name)
    type = ProgramType(rawValue: info.type)
    verifiedInstructions = info.verified_insns
    instructions = info.xlated_prog_len / UInt32(MemoryLayout<bpf_insn>.size)
    isCompiled = info.jited_prog_len > 0
    tag = unsafe withUnsafeBytes(of: info.tag) { bytes in
      unsafe bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
    self.descriptor = descriptor
  }

  /// The program pinned at `path`.
  package static func pinned(_ path: String) throws(BPFError) -> BPFProgram {
    try BPFProgram(descriptor: OwnedDescriptor.pinned(path, "program"))
  }

  /// Loads raw instructions, for probes and tests.
  ///
  /// The corresponding function is `bpf_prog_load`.
  package static func load(
    _ type: ProgramType, attach: AttachType? = nil, name: String, instructions: [Instruction],
    license: String = "Dual BSD/GPL"
  ) throws(BPFError) -> BPFProgram {
    let log = UnsafeMutableBufferPointer<CChar>.allocate(capacity: 1 << 16)
    defer { unsafe log.deallocate() }
    unsafe log.initialize(repeating: 0)
    let raw = unsafe instructions.withUnsafeBytes { bytes in
      var options = unsafe bpf_prog_load_opts()
      unsafe options.sz = MemoryLayout<bpf_prog_load_opts>.size
      unsafe options.expected_attach_type = bpf_attach_type(rawValue: attach?.rawValue ?? 0)
      unsafe options.log_buf = log.baseAddress
      unsafe options.log_size = UInt32(log.count)
      // The verifier's log is asked for only when the first attempt failed, as libbpf does for objects.
      unsafe options.log_level = 0
      let code = unsafe bytes.baseAddress?.assumingMemoryBound(to: bpf_insn.self)
      return unsafe bpf_prog_load(
        bpf_prog_type(rawValue: type.rawValue), name, license, code, instructions.count, &options)
    }
    guard raw >= 0 else {
      let said = unsafe String(decoding: UnsafeRawBufferPointer(log).prefix { $0 != 0 }, as: UTF8.self)
      throw BPFError("load program", name, Errno(rawValue: -raw), verifierLog: said)
    }
    return try BPFProgram(descriptor: OwnedDescriptor(adopting: raw))
  }

  /// Pins the program.
  package borrowing func pin(at path: String) throws(BPFError) {
    try descriptor.pin(at: path)
  }

  /// Runs the program on `packet`, which starts with an Ethernet header for the socket-buffer types.
  ///
  /// `context` is a `struct __sk_buff` as bytes, of which the kernel takes some fields and refuses others.
  /// `nanoseconds` is the mean over `repeating` runs. Some types cannot be run: 524, ENOTSUPP.
  /// The corresponding function is `bpf_prog_test_run_opts`.
  package borrowing func testRun(
    packet: [UInt8], context: [UInt8]? = nil, repeating: Int = 1
  ) throws(BPFError) -> (returnValue: UInt32, nanoseconds: UInt32) {
    var options = unsafe bpf_test_run_opts()
    unsafe options.sz = MemoryLayout<bpf_test_run_opts>.size
    unsafe options.repeat = Int32(clamping: repeating)
    let rc = unsafe packet.withUnsafeBytes { packet in
      unsafe (context ?? []).withUnsafeBytes { context in
        if unsafe !packet.isEmpty {
          unsafe options.data_in = packet.baseAddress
          unsafe options.data_size_in = UInt32(packet.count)
        }
        if unsafe !context.isEmpty {
          unsafe options.ctx_in = context.baseAddress
          unsafe options.ctx_size_in = UInt32(context.count)
        }
        return unsafe bpf_prog_test_run_opts(descriptor.raw, &options)
      }
    }
    try checkBPF(rc, "test-run", name)
    return unsafe (options.retval, options.duration)
  }
}
