// One exchange with a container engine over its Unix socket: bounded in time and size, and ended by cancellation.
internal import Kernel
internal import NIOCore
internal import NIOPosix
internal import SystemPackage

/// Why an engine did not answer.
enum EngineFailure: Error, Equatable, CustomStringConvertible {
  /// Nobody listens.
  case unreachable(String)
  /// Nothing came in time.
  case slow(Duration)
  /// The connection ended before the answer.
  case closed
  /// The answer is larger than any that is expected.
  case tooLarge(bytes: Int)
  /// What came is not the protocol.
  case garbled(String)
  /// The engine says no: an HTTP status, or a gRPC status above 1,000 (see `GRPCConnection`).
  case refused(status: Int, String)
  /// The task was cancelled.
  case cancelled

  var description: String {
    switch self {
    case .unreachable(let reason): "cannot connect: \(reason)"
    case .slow(let limit): "no answer within \(limit.formatted)"
    case .closed: "closed the connection before the answer was complete"
    case .tooLarge(let bytes): "the answer exceeds \(bytes >> 10) KiB"
    case .garbled(let reason): "not the expected answer: \(reason)"
    case .refused(let status, let reason): "says \(status)" + (reason.isEmpty ? "" : ": \(reason)")
    case .cancelled: "cancelled"
    }
  }
}

/// A Unix socket of an engine, and how long and how large its answers may be.
struct EngineSocket: Sendable {
  /// Where it is.
  var path: String
  /// How long connecting may take: the kernel does it at once unless the engine does not accept.
  var connectWithin: Duration = .seconds(2)
  /// How long an answer may take: an engine that starts containers takes its own locks, and seconds are normal under load.
  var answerWithin: Duration = .seconds(5)
  /// How many bytes an answer may have; the largest seen, of a container with hundreds of mounts, is 200 KiB.
  var largest = 8 << 20

  init(_ path: String) { self.path = path }

  /// The one thread that talks to engines: there are at most a handful of them, and answers are small.
  static let loop: any EventLoop = MultiThreadedEventLoopGroup(numberOfThreads: 1).next()

  /// Runs an exchange: connects, and waits for what the handlers that `prepare` installs promise.
  ///
  /// - Parameter within: how long until the promise must be kept; nil for streams, whose handlers bound themselves.
  func exchange<Answer: Sendable>(
    within limit: Duration?,
    _ prepare: @escaping @Sendable (any Channel, EventLoopPromise<Answer>) throws -> Void
  ) async throws(EngineFailure) -> Answer {
    let promise = Self.loop.makePromise(of: Answer.self)
    let connecting = ClientBootstrap(group: Self.loop).connectTimeout(TimeAmount(connectWithin))
      .channelInitializer { channel in channel.eventLoop.makeCompletedFuture { try prepare(channel, promise) } }
      .connect(unixDomainSocketPath: path)
    connecting.whenFailure { promise.fail(EngineFailure.unreachable(Self.reason($0))) }
    // However it ends, the connection ends with it.
    promise.futureResult.whenComplete { _ in connecting.whenSuccess { $0.close(promise: nil) } }
    let deadline = limit.map { limit in
      Self.loop.scheduleTask(in: TimeAmount(limit)) { promise.fail(EngineFailure.slow(limit)) }
    }
    defer { deadline?.cancel() }
    return try await EngineSocket.wait(promise)
  }

  /// Waits for a promise; cancellation breaks it.
  static func wait<Answer: Sendable>(_ promise: EventLoopPromise<Answer>) async throws(EngineFailure) -> Answer {
    do {
      return try await withTaskCancellationHandler {
        try await promise.futureResult.get()
      } onCancel: {
        promise.fail(EngineFailure.cancelled)
      }
    } catch let failure as EngineFailure {
      throw failure
    } catch {
      throw .garbled(reason(error))
    }
  }

  /// Waits without work; ends early when the task is cancelled.
  static func pause(_ time: Duration) async {
    let promise = loop.makePromise(of: Void.self)
    let alarm = loop.scheduleTask(in: TimeAmount(time)) { promise.succeed(()) }
    defer { alarm.cancel() }
    try? await wait(promise)
  }

  static func reason(_ error: any Error) -> String {
    if let error = error as? IOError { return KernelError.describe(Errno(rawValue: error.errnoCode)) }
    return String(String(describing: error).prefix(120))
  }
}

extension Duration {
  /// `5 s`, or `300 ms` below a second.
  fileprivate var formatted: String {
    let (seconds, attoseconds) = components
    return seconds > 0 ? "\(seconds) s" : "\(attoseconds / 1_000_000_000_000_000) ms"
  }
}
