// The services that follow what happens outside: sources of labels, a clock, a signal, the control socket.
internal import Kernel
internal import Logging
internal import ServiceLifecycle
internal import UnixSignals
internal import Workloads

/// Asks sources of labels, and follows what they tell.
struct SourceFollower: Service {
  let desk: SourceDesk

  func run() async throws {
    await cancelWhenGracefulShutdown { [desk] in await desk.run() }
    // With no source there is nothing to follow; a service that returns would end the agent.
    try await gracefulShutdown()
  }
}

/// Keeps the guard's marks on the files that rules name, when these are replaced.
struct GuardFollower: Service {
  let guardian: ExecutionGuard
  let logger: Logger

  func run() async throws {
    await cancelWhenGracefulShutdown { [guardian, logger] in
      await guardian.follow { problem in
        if let problem { logger.error("\(problem); programs whose files change are placed after they began") }
      }
    }
  }
}

/// Announces a look at all cgroups once a second, where nothing tells of what happens in them.
struct Poller: Service {
  let tell: @Sendable ([WorkloadEvent]) -> Void
  let isNeeded: @Sendable () async -> Bool

  func run() async throws {
    for await _ in Ticker.every(.seconds(1)).cancelOnGracefulShutdown() where await isNeeded() {
      tell([.unknown])
    }
  }
}

/// SIGHUP = read the policy path again.
struct HangupListener: Service {
  let changes: Changes

  func run() async throws {
    let signals = await UnixSignalsSequence(trapping: .sighup)
    for await _ in signals.cancelOnGracefulShutdown() { changes.announcePolicy() }
  }
}

/// Hands on what is asked over the control socket.
struct ControlListener: Service {
  let calls: AsyncStream<ControlCall>
  let changes: Changes

  func run() async throws {
    for await call in calls.cancelOnGracefulShutdown() { changes.announce(call) }
  }
}
