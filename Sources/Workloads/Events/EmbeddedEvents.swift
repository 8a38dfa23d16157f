// The prebuilt tracepoint programs as they lie in this binary.
internal import BPF
internal import CDatapath

/// The ELF object of the programs on tracepoints.
enum EmbeddedEvents {
  /// Parses it.
  static func open() throws(BPFError) -> OpenObject {
    // Safe: the object is constant, lives as long as the program, and its size is what the C file says it is.
    let found = unsafe sp_object_bytes(.workload)
    let bytes = unsafe UnsafeRawBufferPointer(start: found.start, count: found.size)
    return try unsafe BPFObject.open(bytes: bytes.bytes, name: "spevents")
  }
}
