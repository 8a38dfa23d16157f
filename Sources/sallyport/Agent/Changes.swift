// The queue of changes that the agent's loop reads.
internal import Synchronization
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
