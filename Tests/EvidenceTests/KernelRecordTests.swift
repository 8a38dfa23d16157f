// From the kernel's bytes to Swift values, field by field, and the sweep of a real table of conversations.

import BPF
import CDatapath
import Policy
import TestSupport
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
    record.kind = 3
    record.direction = 1
    record.protocol = 17
    record.action = 1
    record.observed_action = 2
    record.decided_by = 2
    record.assurance = 3
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

  @Test("A record of a kind that is not known is counted and skipped")
  func malformed() {
    var other = record()
    other.kind = 99
    let (events, malformed) = FlowEvent.events(from: [record(), other, record()])
    #expect(events.count == 2 && malformed == 1)
  }

  @Test("Idle conversations are closed with their counts, live ones stay", .requires(.bpf))
  func sweep() throws {
    let talks = try BPFMap<sp_talk_key, sp_talk>.create(.hash, name: "sp_talks_t", maxEntries: 16, flags: 1)
    var key = sp_talk_key()
    key.socket = 77
    key.protocol = 17
    key.remote = record().remote
    key.remote_port = UInt16(4000).bigEndian
    var talk = sp_talk()
    talk.local = record().local
    talk.local_port = UInt16(53).bigEndian
    talk.opened = 1_000_000_000
    talk.last_seen = 3_000_000_000
    talk.packets = (4, 5)
    talk.bytes = (400, 500)
    talk.workload = 100
    talk.peer = 16
    talk.rule = 3
    talk.generation = 8
    talk.direction = 1
    talk.decided_by = 1
    talk.assurance = 2
    try talks.set(talk, for: key)
    var echo = key
    echo.protocol = 1
    echo.id = UInt16(0x1234).bigEndian
    echo.is_echo = 1
    echo.remote_port = 0
    try talks.set(talk, for: echo)
    key.socket = 78
    talk.last_seen = 40_000_000_000
    try talks.set(talk, for: key)

    let sweeper = ConversationSweeper(talks: talks, udpIdle: .seconds(30), icmpIdle: .seconds(10))
    // ICMP is idle after 10 s and the margin, UDP after 30 s and the margin.
    var sweep = try sweeper.sweep(now: 14_000_000_000)
    #expect(sweep.live == 3 && sweep.events.isEmpty)
    sweep = try sweeper.sweep(now: 15_000_000_000)
    #expect(sweep.live == 2 && sweep.events.map(\.protocol) == [.icmp])
    #expect(sweep.events.first?.localPort == 0x1234 && sweep.events.first?.remotePort == 8)
    sweep = try sweeper.sweep(now: 41_000_000_000)
    #expect(sweep.live == 1 && sweep.events.count == 1)
    let close = try #require(sweep.events.first)
    #expect(close.kind == .close && close.socket == 77 && close.direction == .incoming)
    #expect(close.localPort == 53 && close.remotePort == 4000 && close.duration == 2_000_000_000)
    #expect(close.packetsSent == 4 && close.packetsReceived == 5 && close.bytesSent == 400)
    #expect(close.local.description == "10.1.2.3" && close.workload == 100 && close.rule == 3)
  }
}
