// How many records a second go from the kernel's bytes to JSON lines; a figure, with a bound that debug builds meet.

import CDatapath
import JSON
import Policy
import Testing

@testable import Enforcement
@testable import Evidence

@Suite(.serialized) struct RateTests {
  @Test("Records are converted, joined and encoded at this rate")
  func rate() throws {
    #if DEBUG
      let flows = 5_000
    #else
      let flows = 200_000
    #endif
    var records: [sp_record] = []
    records.reserveCapacity(flows * 3)
    for socket in 1...UInt64(flows) {
      for kind in [.SP_RECORD_ATTEMPT, .SP_RECORD_OPEN, .SP_RECORD_CLOSE] as [sp_record_kind] {
        var record = sp_record()
        record.kind = kind
        record.time = 1_000_000 + socket * 10 + UInt64(kind.rawValue)
        record.socket = socket
        record.workload = 100
        record.peer_workload = 200
        record.subject = 16
        record.peer = 17
        record.rule = 1
        record.generation = 7
        record.protocol = 6
        record.action = kind == .SP_RECORD_ATTEMPT ? .SP_ALLOW : .SP_NONE
        record.decided_by = kind == .SP_RECORD_ATTEMPT ? .SP_BY_RULE : .SP_BY_NOTHING
        record.assurance = .SP_ASSURED_SOCKET
        record.pid = 4711
        record.local = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1)
        record.remote = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2)
        record.local_port = 40000
        record.remote_port = 80
        record.comm.0 = 0x63
        records.append(record)
      }
    }
    let clock = ContinuousClock()
    var events: [FlowEvent] = []
    let conversion = clock.measure { events = FlowEvent.events(from: records).events }
    #expect(events.count == flows * 3)
    let live = LiveFlows()
    let remembering = clock.measure { live.note(events) }
    #expect(live.count == 0)
    var tracker = try Sample.tracker(limit: 262_144)
    var joined = 0
    let joining = clock.measure { tracker.consume(events) { _ in joined += 1 } }
    #expect(joined == flows * 2 && tracker.liveFlows == 0)
    tracker = try Sample.tracker(limit: 262_144)
    var encoder = FlowEncoder()
    var json = JSONWriter(capacity: 1 << 20)
    var bytes = 0
    let all = clock.measure {
      for start in stride(from: 0, to: records.count, by: 1024) {
        let batch = Array(records[start..<min(start + 1024, records.count)])
        tracker.consume(FlowEvent.events(from: batch).events) { encoder.append($0, to: &json) }
        bytes += json.bytes.count
        json.removeAll()
      }
    }
    #expect(bytes > flows * 2 * 300)
    func rate(_ duration: Duration) -> Int { Int(Double(records.count) / (duration / .seconds(1))) }
    print(
      "rate: conversion \(rate(conversion))/s, live flows \(rate(remembering))/s, join \(rate(joining))/s,",
      "conversion + join + encode \(rate(all))/s, \(bytes / flows / 2) bytes a line")
    #expect(rate(all) > 2_000)
  }
}
