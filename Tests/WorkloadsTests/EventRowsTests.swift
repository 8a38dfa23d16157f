// From the bytes of the tracepoint programs to events.

import CDatapath
import Kernel
import Testing

@testable import Workloads

@Suite struct EventRowsTests {
  private func record(kind: UInt8) -> sp_event {
    var record = sp_event()
    record.time = 9
    record.cgroup = 7
    record.pid = 42
    record.path_length = 2
    record.path.0 = 0x2f
    record.path.1 = 0x61
    unsafe withUnsafeMutableBytes(of: &record.kind) { unsafe $0[0] = kind }
    return record
  }

  private func event(_ kind: sp_event_kind) -> WorkloadEvent { EventRows.event(record(kind: kind.rawValue)) }

  @Test("Every kind of record is the event of its name")
  func kinds() {
    let cgroup = CgroupID(rawValue: 7)
    let process = ProcessID(rawValue: 42)
    #expect(event(.SP_EVENT_MADE) == .made(cgroup) && event(.SP_EVENT_REMOVED) == .removed(cgroup))
    #expect(event(.SP_EVENT_RELEASED) == .released(cgroup) && event(.SP_EVENT_EMPTIED) == .emptied(cgroup))
    #expect(event(.SP_EVENT_ENTERED) == .entered(cgroup, process) && event(.SP_EVENT_ENTERED_V1) == .enteredV1(process))
    let start = ProcessStart(process: process, cgroup: cgroup, time: 9, path: "/a")
    #expect(event(.SP_EVENT_EXECUTED) == .executed(start))
    #expect(event(.SP_EVENT_EXITED) == .exited(cgroup, ProcessEnd(process: process, time: 9)))
    #expect(event(.SP_EVENT_REMOVED_V1) == .removedV1("/a") && event(.SP_EVENT_LOST) == .unknown)
  }

  @Test("A byte that is no kind asks for a full rescan")
  func unknown() {
    let known = (UInt8.min...UInt8.max).filter { EventRows.kind(record(kind: $0)) != nil }
    #expect(known == Array(1...10))
    for byte in [0, 11, 200, 255] as [UInt8] { #expect(EventRows.event(record(kind: byte)) == .unknown) }
  }

  @Test("A path that does not fit is not told")
  func longPath() {
    var long = record(kind: sp_event_kind.SP_EVENT_REMOVED_V1.rawValue)
    long.path_length = 0
    #expect(EventRows.event(long) == .removedV1(nil))
  }
}
