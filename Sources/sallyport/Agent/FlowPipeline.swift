// From the kernel's records to lines in the flow log, on the ring's own thread.
internal import Enforcement
internal import Evidence
internal import JSON
internal import Kernel
internal import Logging
internal import Synchronization

/// Joins, names, encodes and writes records; remembers live flows for revocation.
///
/// One lock around all of it: batches come from one thread, names from the agent's loop now and then.
final class FlowPipeline: Sendable {
  /// The live flows, for whoever revokes.
  let live = LiveFlows()
  private let state: Mutex<State>
  private let logger: Logger

  private struct State: ~Copyable {
    var tracker: FlowTracker
    var encoder = FlowEncoder()
    var json = JSONWriter(capacity: 1 << 16)
    var log: FlowLog
    var lastClock: UInt64 = 0
    /// Why lines are lost just now.
    var fault: String?
  }

  init(settings: FlowLog.Settings, processes: any ProcessNaming, logger: Logger) throws {
    state = Mutex(State(tracker: FlowTracker(processes: processes), log: try FlowLog.open(settings)))
    self.logger = logger
  }

  /// Says what the numbers of a generation stand for.
  func publish(_ names: NamesInForce) {
    state.withLock { state in
      let named = FlowNames(names, reusing: state.tracker.latestNames)
      state.tracker.publish(named, generation: names.generation)
    }
  }

  /// Consumes a batch from the ring or from the sweeper.
  func consume(_ events: [FlowEvent]) {
    live.note(events)
    state.withLock { state in
      let now = Clock.monotonicNanoseconds()
      // The clock on the wall may be set: look again every ten seconds.
      if now - state.lastClock > 10_000_000_000 {
        state.tracker.clock = .current()
        state.lastClock = now
      }
      var json = state.json
      var encoder = state.encoder
      var count = 0
      json.removeAll()
      state.tracker.consume(events) { record in
        encoder.append(record, to: &json)
        count += 1
      }
      let lines = json.bytes
      state.json = json
      state.encoder = encoder
      do {
        try state.log.append(lines, count: count)
        state.fault = nil
      } catch {
        // Said once per outage; every lost line is counted.
        if state.fault == nil { logger.error("flow log: \(error)") }
        state.fault = "\(error)"
      }
    }
  }

  /// How many records could not be written, and why the last ones could not if that goes on.
  var losses: (lines: Int, fault: String?) { state.withLock { (Int($0.log.lostLines), $0.fault) } }
}
