// Time as events: for what can only be found out by looking again.
internal import Dispatch

/// Timers as streams; a tick that nobody has read yet is not doubled.
package enum Ticker {
  /// A tick after every interval, until the stream's reader goes.
  package static func every(_ interval: Duration) -> AsyncStream<Void> {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let (seconds, attoseconds) = interval.components
    schedule(.nanoseconds(Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)), continuation)
    return stream
  }

  private static func schedule(
    _ interval: DispatchTimeInterval, _ continuation: AsyncStream<Void>.Continuation
  ) {
    DispatchQueue.global().asyncAfter(deadline: .now() + interval) { @Sendable in
      if case .terminated = continuation.yield() { return }
      schedule(interval, continuation)
    }
  }
}
