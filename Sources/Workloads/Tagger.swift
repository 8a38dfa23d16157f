// The tagger: which workloads run on this host, and every change of that, for whoever wants to know.
package import Enforcement
package import Kernel
package import Logging
internal import Synchronization

/// Follows the workloads below one cgroup, with no policy and no enforcement.
///
/// ```swift
/// let sources = try SourceSettings().sources()
/// let tagger = try Tagger(root: CgroupHierarchy.find().root(), sources: sources, logger: logger)
/// try await tagger.run { changes, isFirst in … }
/// ```
/// Needs root; the kernel's events need CAP_BPF and CAP_PERFMON as well, and without them cgroupfs is watched instead.
package actor Tagger {
  private var tracker: WorkloadTracker
  private let desk: SourceDesk
  private let inbox = WorkloadInbox()
  private let wake: AsyncStream<Void>.Continuation
  private let wakes: AsyncStream<Void>
  private let feed: Mutex<EventFeed?>
  private let logger: Logger

  /// Begins to collect; `run` tells.
  ///
  /// - Parameters:
  ///   - root: the cgroup whose subtree is followed.
  ///   - classifier: the rules; none leaves what sources and tags say.
  ///   - sources: who is asked; `SourceSettings` makes the standard ones of a host.
  /// - Throws: when cgroups cannot be watched in any way.
  package init(
    root: CgroupDirectory, classifier: Classifier = Classifier(rules: []),
    sources: [any LabelSource] = [], logger: Logger
  ) throws {
    tracker = WorkloadTracker(root: root, classifier: classifier, sources: sources)
    (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    self.logger = logger
    let (inbox, wake) = (inbox, wake)
    desk = SourceDesk(sources: sources, logger: logger) { news in
      inbox.put(news)
      wake.yield()
    }
    feed = Mutex(
      try EventFeed.start(root: root, logger: logger) { events in
        inbox.put(events)
        wake.yield()
      })
  }

  /// How each source is.
  package var conditions: [SourceCondition] { get async { await desk.conditions } }

  /// What people should know, one line each.
  package var warnings: [String] { tracker.warnings }

  /// The workloads as they are now, once every source was asked about them or `limit` has passed.
  package func workloads(within limit: Duration) async throws -> [WorkloadInstance] {
    let desk = desk
    await desk.ask(about: try tracker.rescan().toAsk)
    let deadline = Task { [wake] in
      for await _ in Ticker.every(limit) { break }
      wake.yield()
    }
    defer { deadline.cancel() }
    let began = ContinuousClock.now
    while await !desk.isIdle, ContinuousClock.now - began < limit {
      for await _ in wakes { break }
      _ = try tracker.drain(inbox)
    }
    _ = try tracker.drain(inbox)
    return tracker.workloads
  }

  /// Tells `changed` first what there is and then every change, until the task is cancelled.
  ///
  /// Batches are in order, and never empty but for the first one, which says so.
  package func run(
    _ changed: @Sendable (_ changes: [WorkloadChange], _ isFirst: Bool) async throws -> Void
  ) async throws {
    defer { feed.withLock { $0.take() }?.stop() }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { [desk] in await desk.run() }
      defer { group.cancelAll() }
      try await tell(tracker.rescan(), isFirst: true, changed)
      for await _ in wakes { try await tell(tracker.drain(inbox), isFirst: false, changed) }
    }
  }

  private func tell(
    _ update: TrackerUpdate, isFirst: Bool,
    _ changed: @Sendable (_ changes: [WorkloadChange], _ isFirst: Bool) async throws -> Void
  ) async throws {
    if !update.changes.isEmpty || isFirst { try await changed(update.changes, isFirst) }
    await desk.forget(Set(update.gone))
    await desk.ask(about: update.toAsk)
  }
}
