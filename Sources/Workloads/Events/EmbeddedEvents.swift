// The prebuilt tracepoint programs as they lie in this binary, and their records as events.
internal import BPF
internal import CDatapath
internal import Kernel

/// The ELF object of the programs on tracepoints.
enum EmbeddedEvents {
  /// Parses it.
  static func open() throws(BPFError) -> OpenObject {
    // Safe: the object is constant, lives as long as the program, and its size is what the C file says it is.
    let bytes = unsafe UnsafeRawBufferPointer(start: sp_workload_object_start(), count: sp_workload_object_size)
    return try unsafe BPFObject.open(bytes: bytes.bytes, name: "spevents")
  }
}

extension WorkloadEvent {
  /// What a record tells; a kind that this version does not know is something that cannot be told apart.
  init(_ record: sp_event) {
    let cgroup = CgroupID(rawValue: record.cgroup)
    let process = ProcessID(rawValue: Int32(bitPattern: record.pid))
    switch sp_event_kind(UInt32(record.kind)) {
    case SP_EVENT_MADE: self = .made(cgroup)
    case SP_EVENT_REMOVED: self = .removed(cgroup)
    case SP_EVENT_RELEASED: self = .released(cgroup)
    case SP_EVENT_EMPTIED: self = .emptied(cgroup)
    case SP_EVENT_ENTERED: self = .entered(cgroup, process)
    case SP_EVENT_EXECUTED:
      self = .executed(ProcessStart(process: process, cgroup: cgroup, time: record.time, path: record.givenPath))
    case SP_EVENT_EXITED: self = .exited(cgroup, ProcessEnd(process: process, time: record.time))
    case SP_EVENT_ENTERED_V1: self = .enteredV1(process)
    case SP_EVENT_REMOVED_V1: self = .removedV1(record.givenPath)
    default: self = .unknown
    }
  }
}

extension sp_event {
  /// The path, if there is one.
  fileprivate var givenPath: String? {
    guard path_length > 0 else { return nil }
    // Safe: the bytes are copied out of this value, and the prefix never exceeds them.
    return unsafe withUnsafeBytes(of: path) { unsafe String(decoding: $0.prefix(Int(path_length)), as: UTF8.self) }
  }
}
