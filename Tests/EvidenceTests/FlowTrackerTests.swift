// Events are joined whatever their order and whatever is lost, in bounded memory.

import Enforcement
import Evidence
import Policy
import Testing

@Suite struct FlowTrackerTests {
  @Test("In every order of attempt, opening and close, the close is reported once and nothing is left behind")
  func permutations() throws {
    let events = [try Sample.attempt(9, at: 10), try Sample.open(9, at: 20), try Sample.close(9, at: 50)]
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
      var tracker = try Sample.tracker()
      let records = Sample.joined(&tracker, order.map { events[$0] })
      #expect(records.map(\.event).filter { $0 == .open }.count == 1, "\(order)")
      #expect(records.map(\.event).filter { $0 == .close }.count == 1, "\(order)")
      #expect(tracker.liveFlows == 0, "\(order)")
      let close = try #require(records.first { $0.event == .close })
      #expect(close.flow.bytesReceived == 2000, "\(order)")
      // Whenever the attempt came before the close, the close has everything.
      if order.firstIndex(of: 0) ?? 9 < order.firstIndex(of: 2) ?? 0 {
        #expect(close.names.process?.pid == 4711 && close.names.rule?.reference.name == "to-api", "\(order)")
        #expect(!close.isIncomplete && close.flow.localPort == 43210, "\(order)")
      }
    }
  }

  @Test("Without its attempt, a connection is reported as incomplete and guesses no identity")
  func lostAttempt() throws {
    var tracker = try Sample.tracker()
    let records = Sample.joined(&tracker, [try Sample.open(9, at: 20), try Sample.close(9, at: 50)])
    #expect(records.count == 2 && records.allSatisfy(\.isIncomplete))
    for line in Sample.lines(records) {
      #expect(line.contains("\"incomplete\":true") && !line.contains("\"identity\"") && !line.contains("assurance"))
    }
  }

  @Test("A socket that connects again is another flow")
  func reusedCookie() throws {
    var tracker = try Sample.tracker()
    var second = try Sample.attempt(9, at: 100, command: "wget")
    second.remotePort = 81
    var reopened = try Sample.open(9, at: 110)
    reopened.remotePort = 81
    // The close of the first never came.
    let records = Sample.joined(
      &tracker,
      [
        try Sample.attempt(9, at: 10), try Sample.open(9, at: 20), second, reopened, try Sample.close(9, at: 150),
      ])
    #expect(records.map(\.event) == [.open, .open, .close])
    #expect(records[2].names.process?.command.text == "wget" && records[2].duration == 40)
    #expect(tracker.statistics.unmatched == 1 && tracker.liveFlows == 0)
  }

  @Test("A connection that never was established closes as failed, with its process")
  func failed() throws {
    var tracker = try Sample.tracker()
    var close = try Sample.close(9, at: 60)
    close.flags = .failed
    let records = Sample.joined(&tracker, [try Sample.attempt(9, at: 10), close])
    #expect(records.map(\.event) == [.close])
    #expect(records[0].flow.flags.contains(.failed) && records[0].names.process?.pid == 4711)
    #expect(records[0].duration == 50)
  }

  @Test("An accepted connection and a datagram socket are attributed to the process that bound them")
  func owners() throws {
    var tracker = try Sample.tracker()
    var bind = FlowEvent(kind: .bind, time: 1, socket: 77)
    bind.pid = 99
    bind.command = CommandName("nginx")
    #expect(tracker.join(bind) == nil)
    var accepted = try Sample.attempt(500, at: 10)
    accepted.kind = .open
    accepted.direction = .incoming
    accepted.listener = 77
    accepted.pid = 0
    #expect(tracker.join(accepted)?.names.process?.command.text == "nginx")
    var datagram = accepted
    datagram.socket = 77
    datagram.listener = 0
    datagram.protocol = .udp
    #expect(tracker.join(datagram)?.names.process?.pid == 99)
  }

  @Test("One datagram socket has one flow per remote end, and their closes are told apart")
  func conversations() throws {
    var tracker = try Sample.tracker()
    for port in 1...3 as ClosedRange<UInt16> {
      var event = try Sample.attempt(77, at: UInt64(port))
      event.kind = .open
      event.protocol = .udp
      event.remotePort = port
      #expect(tracker.join(event)?.event == .open)
    }
    #expect(tracker.liveFlows == 3)
    var close = try Sample.close(77, at: 100)
    close.protocol = .udp
    close.remotePort = 2
    #expect(tracker.join(close)?.duration == 98)
    #expect(tracker.liveFlows == 2)
  }

  @Test("Names are those of the generation that decided, and of the flow's beginning when it closes")
  func generations() throws {
    var tracker = try Sample.tracker()
    var events = [try Sample.attempt(9, at: 10), try Sample.open(9, at: 20)]
    let opened = Sample.joined(&tracker, events)
    tracker.publish(.reserved, generation: 8)
    let closed = Sample.joined(&tracker, [try Sample.close(9, at: 50)])
    #expect(opened[0].names.rule?.reference.ruleSet == "web" && closed[0].names.rule?.reference.ruleSet == "web")
    events = [try Sample.attempt(10, at: 60), try Sample.open(10, at: 70)]
    #expect(Sample.joined(&tracker, events)[0].names.rule?.reference.name == "to-api")
    var later = try Sample.attempt(11, at: 80)
    later.generation = 8
    #expect(Sample.joined(&tracker, [later, try Sample.open(11, at: 90)])[0].names.rule == nil)
  }

  @Test("Names that did not change are shared by the generations")
  func sharedNames() throws {
    let first = try Sample.names()
    let names = NamesInForce(
      identities: [Sample.web: try Sample.labels(("app", "web")), Sample.api: try Sample.labels(("app", "other"))],
      workloads: [Sample.workload(100, "/t/web"), Sample.workload(200, "/t/moved")])
    let former = (first.identity(Sample.web), first.identity(Sample.api), first.workload(100), first.workload(200))
    let second = FlowNames(names, reusing: first)
    #expect(former.0 === second.identity(Sample.web) && former.0 != nil)
    #expect(former.2 === second.workload(100) && former.2 != nil)
    #expect(second.identity(Sample.api)?.labels["app"] == "other" && former.1?.labels["app"] == "api")
    #expect(second.workload(200)?.path == "/t/moved" && former.3?.path == "/t/api")
    // The generation before still means what it meant.
    #expect(first.identity(Sample.api)?.labels["app"] == "api")
    #expect(second.identity(.world)?.labels == .world && second.identity(Sample.corp) == nil)
  }

  @Test("Memory is bounded: the oldest flows are forgotten and counted")
  func bounded() throws {
    var tracker = try Sample.tracker(limit: 100)
    for socket in 1...1000 as ClosedRange<UInt64> { _ = tracker.join(try Sample.attempt(socket, at: socket)) }
    // One workload has half of the room.
    #expect(tracker.liveFlows == 50 && tracker.statistics.forgotten == 950)
    // The youngest is still complete, the oldest is not.
    #expect(tracker.join(try Sample.close(1000, at: 2000))?.isIncomplete == false)
    #expect(tracker.join(try Sample.close(1, at: 2000))?.isIncomplete == true)
    for socket in 2000...20000 as ClosedRange<UInt64> {
      _ = tracker.join(try Sample.attempt(socket, at: socket))
      _ = tracker.join(try Sample.close(socket, at: socket + 1))
    }
    #expect(tracker.liveFlows <= 100)
  }
}
