// What the kernel programs told, kept in order, and waited for instead of sleeping.
internal import Dispatch
package import Enforcement
internal import Synchronization

/// All flow events since the sandbox was made.
package final class PolicedEvents: Sendable {
  private struct State {
    var events: [FlowEvent] = []
    var waiting: [DispatchSemaphore] = []
  }

  private let state = Mutex(State())

  /// An empty log.
  package init() {}

  /// How many came so far: a mark from which to look.
  package var count: Int { state.withLock { $0.events.count } }

  /// What came after a mark.
  package func since(_ mark: Int) -> [FlowEvent] { state.withLock { Array($0.events.dropFirst(mark)) } }

  /// Takes a batch.
  package func note(_ batch: [FlowEvent]) {
    let waiting = state.withLock { state in
      state.events += batch
      defer { state.waiting = [] }
      return state.waiting
    }
    for waiter in waiting { waiter.signal() }
  }

  /// The first event after a mark that fits, waited for at most `seconds`.
  package func first(
    after mark: Int, within seconds: Double = 8, where fits: @Sendable (FlowEvent) -> Bool
  ) -> FlowEvent? {
    let deadline = DispatchTime.now() + seconds
    let arrived = DispatchSemaphore(value: 0)
    while true {
      let found = state.withLock { state in
        let found = state.events.dropFirst(mark).first(where: fits)
        if found == nil { state.waiting.append(arrived) }
        return found
      }
      if let found { return found }
      if arrived.wait(timeout: deadline) == .timedOut { return nil }
    }
  }
}
