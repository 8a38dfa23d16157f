// How cgroups become workloads in force.
internal import Enforcement
internal import Evidence
internal import Kernel
internal import Logging
internal import Workloads

extension Agent {
  /// Deals with everything that was told about cgroups, processes and labels since the last time.
  func followWorkloads() async {
    policeNamespaces()
    do {
      let update = try tracker.drain(changes.inbox)
      await releaseKept()
      try await putInForce(update)
      await place(started: update.started)
    } catch {
      report.failures += 1
      logger.error("workloads: \(error); the workloads before stay in force")
    }
    await publishReport()
  }

  /// Puts changes in force and cuts what they no longer allow; nil when nothing differs from what is in force.
  @discardableResult
  func putInForce(_ update: TrackerUpdate) async throws -> Publication? {
    attend(to: update)
    var publication = try await enforce(update)
    if publication != nil { publication?.revoked = await revoke(after: update) }
    return publication
  }

  /// Likewise, without cutting anything.
  @discardableResult
  func enforce(_ update: TrackerUpdate) async throws -> Publication? {
    noteWarnings()
    guard !update.changes.isEmpty || mustPublishAll else { return nil }
    let publication: Publication
    do {
      if mustPublishAll {
        // Also those that ended while no agent ran.
        let ended = await enforcer.cgroupsInForce.filter { tracker.isEnded($0) }
        publication = try await enforcer.update(
          workloads: tracker.workloads.filter { !kept.contains($0.cgroup) }, ended: ended, keeping: keptCgroups)
      } else {
        // What is learnt after the start is known better than what was kept.
        kept.subtract(update.changes.map(\.cgroup))
        let outcome = update.outcome
        publication = try await enforcer.update(
          setting: outcome.current, removing: outcome.gone, ended: outcome.ended)
      }
      mustPublishAll = false
      if update.changes.contains(where: \.isEnd) { try datapath.leaveEnded() }
    } catch {
      // What is known and what is in force differ from here on: next time all of it is compared.
      mustPublishAll = true
      throw error
    }
    await publishNames()
    logger.debug("workloads: \(update.changes.count) changes, generation \(publication.generation)")
    return publication
  }

  /// What an update asks for besides labels.
  func attend(to update: TrackerUpdate) {
    forget(update)
    review.note(released: update.released)
    guard !update.toAsk.isEmpty || !update.gone.isEmpty else { return }
    let desk = desk
    Task {
      await desk.forget(Set(update.gone))
      await desk.ask(about: update.toAsk)
    }
  }

  /// Removes what is left of commands that ended.
  func forget(_ update: TrackerUpdate) {
    for id in update.abandoned where tags.removeIfAbandoned(id) {
      logger.debug("removed cgroup \(id): its command ended")
    }
    forgetBeginnings(in: update.gone)
  }

  private func noteWarnings() {
    let warnings = tracker.warnings
    guard warnings != workloadWarnings else { return }
    let known = Set(workloadWarnings)
    for warning in warnings where !known.contains(warning) { logger.warning("workloads: \(warning.shownSafely)") }
    workloadWarnings = warnings
  }
}

extension WorkloadChange {
  /// The workload as it is, or was.
  var workload: WorkloadInstance {
    switch self {
    case .added(let workload), .changed(let workload, _), .removed(let workload), .ended(let workload): workload
    }
  }

  /// The cgroup.
  var cgroup: CgroupID { workload.cgroup }

  /// Whether the workload ended: that changes who nobody is.
  var isEnd: Bool { if case .ended = self { true } else { false } }
}

extension TrackerUpdate {
  /// What the workloads are from now on, which cgroups are none any more, and which of those were removed.
  fileprivate var outcome: (current: [WorkloadInstance], gone: [CgroupID], ended: [CgroupID]) {
    var latest: [CgroupID: WorkloadInstance?] = [:]
    var ended: [CgroupID] = []
    for change in changes {
      switch change {
      case .added(let workload), .changed(let workload, _): latest.updateValue(workload, forKey: workload.cgroup)
      case .removed(let workload): latest.updateValue(nil, forKey: workload.cgroup)
      // What it was relabelled to before its end counts.
      case .ended(let workload): ended.append(workload.cgroup)
      }
    }
    return (latest.values.compactMap { $0 }, latest.filter { $0.value == nil }.map(\.key), ended)
  }
}
