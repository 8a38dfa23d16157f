// Numbers that Swift writes for itself, because Policy knows no kernel or a type wants a literal, against those of the
// ABI header.

import CDatapath
import Policy
import Testing

@testable import Enforcement

@Suite("ABI agreement") struct ABIAgreementTests {
  @Test("Identity numbers are those of the header")
  func identities() {
    #expect(IdentityNumber.unknown.rawValue == SP_IDENTITY_UNKNOWN)
    #expect(IdentityNumber.host.rawValue == SP_IDENTITY_HOST)
    #expect(IdentityNumber.world.rawValue == SP_IDENTITY_WORLD)
    #expect(IdentityNumber.firstAllotted.rawValue == SP_IDENTITY_FIRST_ALLOTTED)
    #expect(IdentityNumber.firstExternal.rawValue == SP_IDENTITY_FIRST_EXTERNAL)
    #expect(IdentityNumber.capacity == SP_IDENTITY_CAPACITY)
  }

  @Test("Ports, types and protocols have the indices of the header")
  func ports() {
    #expect(Tables.portIndex(.tcp, 0) == Int(SP_PORT_TCP))
    #expect(Tables.portIndex(.udp, 0) == Int(SP_PORT_UDP))
    #expect(Tables.portIndex(.sctp, 0) == Int(SP_PORT_SCTP))
    #expect(Tables.portIndex(.icmp, 0) == Int(SP_PORT_ICMP))
    #expect(Tables.portIndex(.icmp6, 0) == Int(SP_PORT_ICMP6))
    #expect(Tables.portIndex(IPProtocol(rawValue: 0), 0) == Int(SP_PORT_OTHER))
    #expect(Tables.portClassCount == Int(SP_PORT_COUNT))
    #expect(PortRow.width == Int(SP_PORTS_PER_ROW))
    #expect(PortRow.count == Int(SP_PORT_ROWS))
    #expect(SP_PORT_ROWS * SP_PORTS_PER_ROW == SP_PORT_COUNT)
  }

  @Test("Bits are those of the header")
  func flags() {
    #expect(Probes.peerAndPort.rawValue == SP_PROBE_PEER_PORT)
    #expect(Probes.peer.rawValue == SP_PROBE_PEER)
    #expect(Probes.port.rawValue == SP_PROBE_PORT)
    #expect(Probes.any.rawValue == SP_PROBE_ANY)
    #expect(FlowEvent.Flags.log.rawValue == SP_RECORD_LOG)
    #expect(FlowEvent.Flags.revoked.rawValue == SP_RECORD_REVOKED)
    #expect(FlowEvent.Flags.peerSide.rawValue == SP_RECORD_PEER_SIDE)
    #expect(FlowEvent.Flags.failed.rawValue == SP_RECORD_FAILED)
  }

  @Test("Arrays that stand for a whole struct have its size")
  func widths() {
    #expect(MemoryLayout<Rows.Ports>.size == MemoryLayout<sp_port_row>.size)
    #expect(MemoryLayout<Rows.Counts>.size == MemoryLayout<sp_counts>.size)
    #expect(MemoryLayout<Rows.Statistics>.size == MemoryLayout<sp_stats>.size)
    #expect(ConversationTables.Lanes(repeating: 0).count == Int(SP_LANES))
    #expect(MemoryLayout<CommandName>.size == MemoryLayout.size(ofValue: sp_record().comm))
    #expect(MarkLayout(mask: 0x1f_ffff).map { $0.lastSource < SP_MARKS } == true)
    // A wider mask would have more sources than rows.
    #expect(MarkLayout(mask: 0xff_ffff) == nil && 0xff_ffff >> 8 >= SP_MARKS - 1)
  }

  @Test("Every byte is one case or none, and written as it was read")
  func cases() throws {
    var directions: [Direction] = []
    var actions: [Action] = []
    var reasons: [FlowEvent.DecidedBy] = []
    var assurances: [FlowEvent.Assurance] = []
    var kinds: [FlowEvent.Kind] = []
    for byte in UInt8.min...UInt8.max {
      if let found = Rows.direction(try #require(sp_direction(rawValue: byte))) {
        directions.append(found)
        #expect(Rows.direction(found).rawValue == byte)
      }
      if let found = Rows.action(try #require(sp_action(rawValue: byte))) {
        actions.append(found)
        #expect(Rows.action(found).rawValue == byte)
      }
      if let found = Rows.decidedBy(try #require(sp_decided_by(rawValue: byte))) {
        reasons.append(found)
        #expect(Rows.decidedBy(found).rawValue == byte)
        // Two counters each, before those that have a meaning of their own.
        #expect(UInt32(byte) << 1 + 1 < SP_COUNT_EVICTED)
      }
      if let found = Rows.assurance(try #require(sp_assurance(rawValue: byte))) { assurances.append(found) }
      if let found = Rows.kind(try #require(sp_record_kind(rawValue: byte))) { kinds.append(found) }
    }
    #expect(Rows.action(nil).rawValue == 0)
    #expect(directions == Direction.allCases && actions == Action.allCases)
    #expect(reasons == FlowEvent.DecidedBy.allCases && assurances == FlowEvent.Assurance.allCases)
    #expect(kinds == FlowEvent.Kind.allCases)
  }

  @Test("Each counter of the datapath arrives under its own name")
  func statistics() {
    let found = Rows.statistics([Rows.Statistics { UInt64($0) + 1 }, Rows.Statistics(repeating: 100)])
    #expect(found.records == 101 && found.recordsLost == 102 && found.recordsSuppressed == 103)
    #expect(found.conversationsFull == 104 && found.sendersFailed == 105 && found.sendersAmbiguous == 106)
    #expect(found.tableMissing == 107 && found.evicted == 108)
  }
}
