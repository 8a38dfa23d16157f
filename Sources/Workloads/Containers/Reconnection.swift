// Stays connected to something that comes and goes, and says when it is gone.
internal import Synchronization

/// How an engine that is away is tried again.
struct Reconnection: Sendable {
  /// The source that says so.
  var source: String
  /// The socket.
  var subject: String
  /// What may help while it is away.
  var remedy: String
  /// Whether a missing engine is worth a word: on a host that has none installed it is not.
  var isExpected: @Sendable () -> Bool
  /// The first delay, doubled after each failure.
  var first: Duration = .milliseconds(100)
  /// The longest delay.
  var longest: Duration = .seconds(30)

  /// Runs `session` again and again until the task is cancelled.
  ///
  /// - Parameters:
  ///   - report: told of each new fault once, and with nil of its end.
  ///   - session: calls its argument once it stands, and throws when it ends.
  func run(
    report: @escaping @Sendable (SourceFault?) -> Void,
    session: (@escaping @Sendable () -> Void) async throws(EngineFailure) -> Void
  ) async {
    let stood = Flag()
    var delay = first
    var told: EngineFailure?
    while !Task.isCancelled {
      var failure = EngineFailure.closed
      do {
        try await session {
          stood.set(true)
          report(nil)
        }
      } catch let thrown { failure = thrown }
      if Task.isCancelled || failure == .cancelled { return }
      if stood.set(false) {
        delay = first
        told = nil
      }
      if failure != told, isExpected() {
        report(SourceFault(source, subject, failure.description, remedy: remedy))
        told = failure
      }
      await EngineSocket.pause(delay)
      delay = min(delay * 2, longest)
    }
  }
}

extension Reconnection {
  /// Set on the event loop's thread, read by the task that waits for it.
  private final class Flag: Sendable {
    private let value = Mutex(false)
    /// Sets it and returns what it was.
    @discardableResult
    func set(_ new: Bool) -> Bool {
      value.withLock { value in
        defer { value = new }
        return value
      }
    }
  }
}
