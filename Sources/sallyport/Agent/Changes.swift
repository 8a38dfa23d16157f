// Where changes come from: the cgroups, a clock, a signal, the control socket.
internal import Glibc
internal import Kernel
internal import Logging
internal import ServiceLifecycle
internal import Synchronization
internal import SystemPackage
internal import UnixSignals
internal import Workloads

/// The agent's queue of changes; the same change waits in it once, however often it is announced.
final class Changes: Sendable {
  /// What the agent's loop reads.
  let stream: AsyncStream<Change>
  /// What `.workloads` is about.
  let inbox = WorkloadInbox()
  private let continuation: AsyncStream<Change>.Continuation
  private let policyWaits = Atomic<Bool>(false)
  private let workloadsWait = Atomic<Bool>(false)
  private let rulesWait = Atomic<Bool>(false)
  private let mirrored = Mutex(MirrorPass())

  init() { (stream, continuation) = AsyncStream.makeStream(of: Change.self) }

  /// Policy documents may have changed.
  func announcePolicy() {
    if !policyWaits.exchange(true, ordering: .acquiringAndReleasing) { continuation.yield(.policy) }
  }

  /// Something happened to cgroups or processes.
  func announce(_ events: [WorkloadEvent]) {
    inbox.put(events)
    announceWorkloads()
  }

  /// A source said something.
  func announce(_ news: SourceNews) {
    inbox.put(news)
    announceWorkloads()
  }

  private func announceWorkloads() {
    if !workloadsWait.exchange(true, ordering: .acquiringAndReleasing) { continuation.yield(.workloads) }
  }

  /// Rules of packet filters may have been changed.
  func announceRules() {
    if !rulesWait.exchange(true, ordering: .acquiringAndReleasing) { continuation.yield(.rules) }
  }

  /// Processes of a version 1 host were put where they belong, or could not be.
  func announce(_ pass: MirrorPass) {
    guard !pass.moved.isEmpty || !pass.faults.isEmpty else { return }
    let isFirst = mirrored.withLock { mirrored in
      defer { mirrored.append(pass) }
      return mirrored.moved.isEmpty && mirrored.faults.isEmpty
    }
    if isFirst { continuation.yield(.mirrored) }
  }

  /// Takes everything that was mirrored since the last time.
  func takeMirrored() -> MirrorPass {
    mirrored.withLock { mirrored in
      defer { mirrored = MirrorPass() }
      return mirrored
    }
  }

  /// A program waits to begin.
  func announce(_ pending: PendingExecution) { continuation.yield(.execution(pending)) }

  /// Somebody asks.
  func announce(_ call: ControlCall) { continuation.yield(.call(call)) }

  /// To be called before a change is looked into: what happens from then on is another change.
  func begin(_ change: Change) {
    switch change {
    case .policy: policyWaits.store(false, ordering: .releasing)
    case .workloads: workloadsWait.store(false, ordering: .releasing)
    case .rules: rulesWait.store(false, ordering: .releasing)
    case .call, .execution, .mirrored: break
    }
  }
}

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
