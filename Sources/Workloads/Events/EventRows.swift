// Makes the configuration of the tracepoint programs and reads their records: the only file of this module that does.
internal import CDatapath
internal import Kernel

enum EventRows {
  /// What the programs watch: cgroups at and below one, `level` below the hierarchy's root.
  static func config(_ cgroup: CgroupID, level: Int, tellsV1: Bool) -> sp_event_config {
    sp_event_config(cgroup: cgroup.rawValue, level: UInt32(level), tells_v1: tellsV1 ? 1 : 0)
  }

  /// Nil if the byte is no kind that this version knows.
  static func kind(_ record: sp_event) -> sp_event_kind? {
    sp_is_event_kind(record.kind.rawValue) ? record.kind : nil
  }

  /// What a record tells; a kind that this version does not know is something that cannot be told apart.
  static func event(_ record: sp_event) -> WorkloadEvent {
    let cgroup = CgroupID(rawValue: record.cgroup)
    let process = ProcessID(rawValue: Int32(bitPattern: record.pid))
    return switch kind(record) {
    case .SP_EVENT_MADE: .made(cgroup)
    case .SP_EVENT_REMOVED: .removed(cgroup)
    case .SP_EVENT_RELEASED: .released(cgroup)
    case .SP_EVENT_EMPTIED: .emptied(cgroup)
    case .SP_EVENT_ENTERED: .entered(cgroup, process)
    case .SP_EVENT_EXECUTED:
      .executed(ProcessStart(process: process, cgroup: cgroup, time: record.time, path: path(record)))
    case .SP_EVENT_EXITED: .exited(cgroup, ProcessEnd(process: process, time: record.time))
    case .SP_EVENT_ENTERED_V1: .enteredV1(process)
    case .SP_EVENT_REMOVED_V1: .removedV1(path(record))
    case .SP_EVENT_LOST, nil: .unknown
    }
  }

  private static func path(_ record: sp_event) -> String? {
    guard record.path_length > 0 else { return nil }
    // Safe: the bytes are copied out of this value, and the prefix never exceeds them.
    return unsafe withUnsafeBytes(of: record.path) {
      unsafe String(decoding: $0.prefix(Int(record.path_length)), as: UTF8.self)
    }
  }
}
