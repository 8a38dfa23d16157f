// Taking over what an agent before this one left: what is in force stays, until all that can name it was asked.
internal import Enforcement
internal import Kernel
internal import Logging
internal import Workloads

extension Agent {
  /// How long sources may take to answer about workloads before the rest goes on without them.
  private static let patience = Duration.seconds(3)

  /// Looks at every cgroup and has the sources asked about them, for a bounded time.
  ///
  /// What has not been answered then keeps what it is in force.
  func lookAtAll() async throws {
    let clock = ContinuousClock()
    let deadline = clock.now + Self.patience
    var update = try tracker.rescan()
    repeat {
      forget(update)
      await desk.forget(Set(update.gone))
      await desk.ask(about: update.toAsk)
      guard await !desk.isIdle, clock.now < deadline else { break }
      try? await Task.sleep(for: .milliseconds(5))
      update = try tracker.drain(changes.inbox)
    } while true
    // Answers that came with the last questions.
    attend(to: try tracker.drain(changes.inbox))
    mustPublishAll = true
    kept = await desk.pending
    await releaseKept()
    if !kept.isEmpty { logger.warning("\(kept.count) workloads keep what they are: their sources do not answer") }
  }

  /// Ends that cgroups keep what they are in force once they were answered, or are gone.
  func releaseKept() async {
    guard !kept.isEmpty else { return }
    let inForce = await enforcer.cgroupsInForce
    let still = await desk.pending.intersection(kept).filter { tracker.cgroups[$0] != nil && inForce.contains($0) }
    guard still != kept else { return }
    kept = still
    mustPublishAll = true
  }

  /// The cgroups that keep what they are in force, for the enforcer.
  var keptCgroups: [KeptCgroup] {
    kept.compactMap { id in
      tracker.cgroups[id].map { KeptCgroup(cgroup: id, path: $0.facts.path, level: $0.facts.level) }
    }
  }
}
