// Time as events: for what can only be found out by looking again.
@preconcurrency internal import Dispatch

/// Timers as streams; a tick that nobody has read yet is not doubled.
public enum Ticker {
  /// A tick after every interval, until the stream's reader goes.
  public static func every(_ interval: Duration) -> AsyncStream<Void> {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "sallyport.ticker"))
    let nanoseconds = Int(interval.components.seconds) * 1_000_000_000 + Int(interval.components.attoseconds / 1_000_000_000)
    timer.schedule(deadline: .now() + .nanoseconds(nanoseconds), repeating: .nanoseconds(nanoseconds))
    timer.setEventHandler { @Sendable in continuation.yield() }
    continuation.onTermination = { @Sendable _ in timer.cancel() }
    timer.resume()
    return stream
  }
}
