// From the kernel's bytes to Swift values, field by field, and the sweep of a real table of conversations.

import CDatapath
import Policy
import Testing

@testable import Enforcement

@Suite struct KernelRecordTests {
  private func record() -> sp_record {
    var record = sp_record()
    record.time = 1
    record.socket = 2
    record.listener = 3
    record.workload = 4
    record.peer_workload = 5
    record.cgroup = 6
    record.bytes_sent = 7
    record.bytes_received = 8
    record.packets_sent = 9
    record.packets_received = 10
    record.rtt = 11
    record.subject = 12
    record.peer = 13
    record.rule = 14
    record.observed_rule = 15
    record.generation = 16
    record.pid = 17
    record.uid = 18
    record.tid = 19
    record.local_port = 20
    record.remote_port = 21
    record.local = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3)
    record.remote = (0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x42)
    record.kind = .SP_RECORD_OPEN
    record.direction = .SP_INCOMING
    record.protocol = 17
    record.action = .SP_ALLOW
    record.observed_action = .SP_REJECT
    record.decided_by = .SP_BY_DEFAULT
    record.assurance = .SP_ASSURED_HANDOFF
    record.flags = 5
    record.comm = (0x6e, 0x67, 0x69, 0x6e, 0x78, 0x3a, 0x77, 0x6f, 0x72, 0x6b, 0, 1, 2, 3, 4, 5)
    return record
  }

  @Test("Every field of a record arrives where it belongs")
  func fields() throws {
    let event = try #require(FlowEvent(record()))
    #expect(event.time == 1 && event.socket == 2 && event.listener == 3 && event.workload == 4)
    #expect(event.peerWorkload == 5 && event.cgroup == 6 && event.bytesSent == 7 && event.bytesReceived == 8)
    #expect(event.packetsSent == 9 && event.packetsReceived == 10 && event.rtt == 11)
    #expect(event.subject.rawValue == 12 && event.peer.rawValue == 13 && event.rule == 14)
    #expect(event.observedRule == 15 && event.generation == 16 && event.pid == 17 && event.uid == 18)
    #expect(event.tid == 19 && event.localPort == 20 && event.remotePort == 21)
    #expect(event.local.description == "10.1.2.3" && event.remote.description == "2001:db8::42")
    #expect(event.kind == .open && event.direction == .incoming && event.protocol == .udp)
    #expect(event.action == .allow && event.observedAction == .reject && event.decidedBy == .default)
    #expect(event.assurance == .handoff && event.flags == [.log, .peerSide])
    #expect(event.command.text == "nginx:work" && event.destinationPort == 20)
  }

  @Test("A record of a kind or direction that is not known is counted and skipped")
  func malformed() {
    var other = record()
    unsafe withUnsafeMutableBytes(of: &other.kind) { unsafe $0[0] = 99 }
    var turned = record()
    unsafe withUnsafeMutableBytes(of: &turned.direction) { unsafe $0[0] = 2 }
    let (events, malformed) = FlowEvent.events(from: [record(), other, turned, record()])
    #expect(events.count == 2 && malformed == 2)
  }

  @Test("What decided and how it is known become an error and unknown where the byte is not known")
  func unknownBytes() throws {
    var other = record()
    unsafe withUnsafeMutableBytes(of: &other.decided_by) { unsafe $0[0] = 200 }
    unsafe withUnsafeMutableBytes(of: &other.assurance) { unsafe $0[0] = 201 }
    unsafe withUnsafeMutableBytes(of: &other.action) { unsafe $0[0] = 202 }
    let event = try #require(FlowEvent(other))
    #expect(event.decidedBy == .error && event.assurance == .unknown && event.action == nil)
  }
}
