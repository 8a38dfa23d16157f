// Do the objects of the netfilter datapath load here, with the programs that rules and links call?
import BPF
import CDatapath
import TestSupport
import Testing

@Suite("Objects of the netfilter datapath", .requires(.bpf))
struct NetfilterObjectTests {
  /// No feature that a kernel may lack.
  private static let oldest = sp_config(
    abi_version: SP_ABI_VERSION, features: 0, udp_idle: 60_000_000_000, icmp_idle: 30_000_000_000)

  @Test(
    "The exact view loads, with two programs for rules and one for a tracepoint",
    .requires(.kernelTypes, .kernel(5, 17)))
  func exactView() throws {
    try Self.loadExact(unsafe Self.bytes(.netfilter).bytes)
  }

  @Test("So does the one for kernels before 5.17, on them and on all others", .requires(.kernelTypes))
  func exactViewOfOldKernels() throws {
    try Self.loadExact(unsafe Self.bytes(.netfilter_legacy).bytes)
  }

  private static func bytes(_ object: sp_object) -> UnsafeRawBufferPointer {
    let found = unsafe sp_object_bytes(object)
    return unsafe UnsafeRawBufferPointer(start: found.start, count: found.size)
  }

  private static func loadExact(_ bytes: RawSpan) throws {
    let open = try BPFObject.open(bytes: bytes, name: "sp_netfilter")
    try open.setReadOnlyData(".rodata.config", oldest)
    try open.setReadOnlyData(".rodata.netfilter", sp_nf_config(cgroup: 1, level: 0, pad: 0))
    let loaded = try open.load()
    #expect(loaded.programNames.sorted() == ["sp_nf_input", "sp_nf_output", "sp_nf_state"])
  }

  @Test("The mark view loads, with the same two programs and the tables that the agent keeps for it")
  func toldView() throws {
    let open = try BPFObject.open(bytes: unsafe Self.bytes(.netfilter_mark).bytes, name: "sp_mark")
    try open.setReadOnlyData(".rodata.config", Self.oldest)
    try open.setReadOnlyData(".rodata.mark", sp_mark_config(source_mask: 0xFFFF_0000, namespace_mask: 0xFF))
    let loaded = try open.load()
    #expect(loaded.programNames.sorted() == ["sp_nf_input", "sp_nf_output"])
    #expect(loaded.mapNames.contains("sp_marks") && loaded.mapNames.contains("sp_listeners"))
  }
}
