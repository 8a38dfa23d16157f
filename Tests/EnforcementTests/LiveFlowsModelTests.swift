// Is every live flow found by its socket, and no other, whatever came and went before it?

import Policy
import Testing

@testable import Enforcement

@Suite struct LiveFlowsModelTests {
  private func event(_ kind: FlowEvent.Kind, _ socket: UInt64, time: UInt64) -> FlowEvent {
    var event = FlowEvent(kind: kind, time: time, socket: socket)
    event.protocol = .tcp
    event.direction = .incoming
    return event
  }

  @Test("flows are as a dictionary by socket would hold them, however they come and go")
  func model() {
    let live = LiveFlows(limit: 25)
    var model: [UInt64: UInt64] = [:]
    for time in 1...2000 as ClosedRange<UInt64> {
      let socket = UInt64.random(in: 1...60)
      switch Int.random(in: 0..<20) {
      case 0:
        let kept = Set((0..<30).map { _ in UInt64.random(in: 1...60) })
        let lost = model.filter { $0.value + 100 < time && !kept.contains($0.key) }
        #expect(live.forget(missingFrom: kept, before: time - min(time, 100)) == (time < 100 ? 0 : lost.count))
        if time >= 100 { for socket in lost.keys { model[socket] = nil } }
      case 1..<10:
        live.note([event(.close, socket, time: time)])
        model[socket] = nil
      default:
        live.note([event(.open, socket, time: time)])
        if model[socket] != nil || model.count < 25 - model.count { model[socket] = time }
      }
      #expect(live.count == model.count)
    }
    for socket in 1...60 as ClosedRange<UInt64> { #expect(live[socket]?.time == model[socket]) }
    #expect(live.dropped > 0)
  }
}
