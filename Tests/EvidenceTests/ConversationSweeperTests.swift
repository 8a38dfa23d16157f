// Does the sweep end what is idle, tell the programs what it took, and put right what a crash left?

import BPF
import CDatapath
import Kernel
import Policy
import TestSupport
import Testing

@testable import Enforcement

@Suite(.requires(.bpf)) final class ConversationSweeperTests {
  private let tables: ConversationTables
  private let sweeper: ConversationSweeper
  private let user = ConversationUser(workload: 100, direction: 1)

  init() throws {
    tables = try ConversationTables(entries: 64)
    sweeper = ConversationSweeper(tables: tables, udpIdle: .seconds(30), icmpIdle: .seconds(10))
  }

  /// Begins a conversation as the programs do.
  private func begin(_ sequence: UInt32, lane: UInt8 = 2, seen: UInt64, isEcho: Bool = false) throws {
    var key = sp_conv_key()
    key.socket = UInt64(sequence)
    key.protocol = isEcho ? 1 : 17
    if isEcho {
      key.id = UInt16(0x1234).bigEndian
      key.is_echo = 1
    } else {
      key.remote_port = UInt16(4000).bigEndian
    }
    var talk = sp_conv()
    talk.local_port = UInt16(53).bigEndian
    talk.opened = 1_000_000_000
    talk.last_seen = seen * 1_000_000_000
    talk.packets = (4, 5)
    talk.bytes = (400, 500)
    talk.workload = 100
    talk.owner = 100
    talk.rule = 3
    talk.direction = .SP_INCOMING
    talk.decided_by = .SP_BY_RULE
    talk.lane = lane
    talk.sequence = sequence
    try tables.talks.set(talk, for: key)
    try tables.queue.set(key, for: Rows.place(of: talk))
    var share = try tables.shares.value(for: user.key) ?? sp_share()
    share.held += 1
    var tails = ConversationTables.lanes(share.tail)
    tails[Int(lane)] = max(tails[Int(lane)], sequence + 1)
    share.tail = ConversationTables.lanes(tails)
    try tables.shares.set(share, for: user.key)
    var pool = try tables.pool.value(for: UInt32(SP_POOL_PROGRAMS)) ?? sp_pool()
    pool.held += 1
    try tables.pool.set(pool, for: UInt32(SP_POOL_PROGRAMS))
  }

  private func sweep(at seconds: UInt64) throws -> (sweep: ConversationSweeper.Sweep, events: [FlowEvent]) {
    var events: [FlowEvent] = []
    let sweep = try sweeper.sweep(now: seconds * 1_000_000_000) { events += $0 }
    return (sweep, events)
  }

  private var free: Int {
    get throws {
      let programs = try tables.pool.value(for: UInt32(SP_POOL_PROGRAMS)) ?? sp_pool()
      let agent = try tables.pool.value(for: UInt32(SP_POOL_AGENT)) ?? sp_pool()
      return Int(SP_CONVS) - Int(Int64(bitPattern: programs.held &- agent.removed))
    }
  }

  @Test("Idle conversations are closed with their counts, live ones stay")
  func idle() throws {
    try begin(77, seen: 3)
    try begin(5, lane: 0, seen: 3, isEcho: true)
    try begin(78, seen: 40)
    // ICMP is idle after 10 s and the margin, UDP after 30 s and the margin.
    var found = try sweep(at: 14)
    #expect(found.sweep.live == 3 && found.events.isEmpty)
    found = try sweep(at: 15)
    #expect(found.sweep.live == 2 && found.events.map(\.protocol) == [.icmp])
    #expect(found.events.first?.localPort == 0x1234 && found.events.first?.remotePort == 8)
    found = try sweep(at: 41)
    #expect(found.sweep.live == 1 && found.events.count == 1)
    let close = try #require(found.events.first)
    #expect(close.kind == .close && close.socket == 77 && close.direction == .incoming)
    #expect(close.localPort == 53 && close.remotePort == 4000 && close.duration == 2_000_000_000)
    #expect(close.packetsSent == 4 && close.packetsReceived == 5 && close.bytesSent == 400)
    #expect(close.workload == 100 && close.rule == 3)
  }

  @Test("What was removed is given back to the user and to all, and its lane begins with what lives")
  func givesBack() throws {
    for sequence in 0..<10 as Range<UInt32> { try begin(sequence, seen: sequence < 6 ? 3 : 40) }
    #expect(try free == Int(SP_CONVS) - 10)
    let found = try sweep(at: 41)
    #expect(found.sweep.ended == 6 && found.sweep.repaired == 0)
    #expect(try free == Int(SP_CONVS) - 4)
    #expect(try tables.held() == [ConversationShare(workload: .init(rawValue: 100), direction: .incoming, held: 4)])
    let row = try #require(try tables.swept.value(for: user.key))
    let floor = ConversationTables.lanes(row.floor)
    #expect(row.removed == 6 && floor[2] == 6 && floor[0] == 0)
    #expect(try tables.queue.count() == 4)
    let top = try #require(try tables.pool.value(for: UInt32(SP_POOL_TOP)))
    #expect(top.held == 4 && top.top.workload == 100 && top.top.direction == 1)
  }

  @Test("What a sweep that did not end left wrong is put right once nothing else changes it")
  func repair() throws {
    for sequence in 0..<4 as Range<UInt32> { try begin(sequence, seen: 40) }
    // Two conversations gone, their places left behind, and one place more than is counted.
    for (key, talk) in try tables.talks.entries() where talk.sequence < 2 { _ = try tables.talks.remove(key) }
    #expect(try sweep(at: 41).sweep.repaired == 0)
    #expect(try tables.held().first?.held == 4)
    #expect(try sweep(at: 42).sweep.repaired > 0)
    #expect(try tables.held().first?.held == 2)
    #expect(try tables.queue.count() == 2)
    #expect(try free == Int(SP_CONVS) - 2)
    #expect(try sweep(at: 43).sweep.repaired == 0)
  }

  @Test("The rows of a workload that is gone go with its last conversation")
  func gone() throws {
    try begin(1, seen: 3)
    try tables.workloads.set(sp_workload(identity: 16, flags: 0), for: 100)
    _ = try sweep(at: 41)
    #expect(try tables.shares.count() == 1)
    _ = try tables.workloads.remove(100)
    _ = try sweep(at: 42)
    #expect(try tables.shares.count() == 0)
    #expect(try tables.swept.count() == 0)
    #expect(try free == Int(SP_CONVS))
  }
}
