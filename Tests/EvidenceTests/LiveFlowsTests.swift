// What is remembered of live flows, and that it is bounded.

import Enforcement
import Policy
import Testing

@Suite struct LiveFlowsTests {
  @Test("An outgoing flow has the attempt's identities and the opening's ports, until it closes")
  func lifecycle() throws {
    let flows = LiveFlows()
    flows.note([try Sample.attempt(9, at: 10), try Sample.open(9, at: 20)])
    let flow = try #require(flows[9])
    #expect(flow.peer == Sample.api && flow.peerWorkload == 200 && flow.workload == 100 && flow.isJudged)
    #expect(flow.localPort == 43210 && flow.direction == .outgoing)
    flows.note([try Sample.close(9, at: 30)])
    #expect(flows[9] == nil && flows.count == 0)
  }

  @Test("Without its attempt the direction is still known, the identity is not")
  func lostAttempt() throws {
    let flows = LiveFlows()
    flows.note([try Sample.open(9, at: 20)])
    #expect(flows[9]?.direction == .outgoing && flows[9]?.isJudged == false)
  }

  @Test("What does not fit is dropped and counted; room that a close makes is used again")
  func bounded() throws {
    let flows = LiveFlows(limit: 10)
    flows.note(try (1...25 as ClosedRange<UInt64>).map { try Sample.attempt($0, at: $0) })
    // One workload has half of the room.
    #expect(flows.count == 5 && flows.dropped == 20)
    flows.note([try Sample.close(3, at: 99), try Sample.attempt(30, at: 100)])
    #expect(flows.count == 5 && flows.dropped == 20 && flows[30] != nil)
    // What another has is not taken from it.
    var other = try Sample.attempt(40, at: 101)
    other.workload = 999
    flows.note([other])
    #expect(flows.count == 6 && flows.dropped == 20 && flows[40] != nil)
  }

  @Test("A flow whose close was lost goes when its socket is gone, a younger one stays")
  func forget() throws {
    let flows = LiveFlows()
    flows.note(try (1...3 as ClosedRange<UInt64>).map { try Sample.attempt($0, at: $0 * 100) })
    #expect(flows.forget(missingFrom: [1], before: 250) == 1)
    #expect(flows[1] != nil && flows[2] == nil && flows[3] != nil)
  }

  @Test("The end of one conversation of a datagram socket does not forget another")
  func datagrams() throws {
    let flows = LiveFlows()
    var open = try Sample.attempt(9, at: 1)
    open.kind = .open
    open.protocol = .udp
    flows.note([open])
    var close = try Sample.close(9, at: 5)
    close.protocol = .udp
    close.remotePort = 81
    flows.note([close])
    #expect(flows[9] != nil)
    close.remotePort = 80
    flows.note([close])
    #expect(flows[9] == nil)
  }
}
