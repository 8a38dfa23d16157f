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
      let update = try tracker.empty(changes.inbox)
      await releaseKept()
      try await publish(update)
      await place(started: update.started)
    } catch {
      report.failures += 1
      logger.error("workloads: \(error); the workloads before stay in force")
    }
    await publishReport()
  }

  /// Puts changes in force and cuts what they no longer allow; nil when nothing differs from what is in force.
  @discardableResult
  func publish(_ update: TrackerUpdate) async throws -> Publication? {
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
        publication = try await enforcer.update(
          workloads: tracker.workloads.filter { !kept.contains($0.cgroup) }, keeping: keptCgroups)
      } else {
        var latest: [CgroupID: WorkloadInstance?] = [:]
        for change in update.changes where !kept.contains(change.cgroup) {
          latest.updateValue(change.current, forKey: change.cgroup)
        }
        publication = try await enforcer.update(
          setting: latest.values.compactMap { $0 }, removing: latest.filter { $0.value == nil }.map(\.key))
      }
      mustPublishAll = false
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
    case .added(let workload), .changed(let workload, _), .removed(let workload): workload
    }
  }

  /// The cgroup.
  var cgroup: CgroupID { workload.cgroup }

  /// What the workload is from now on; nil when it is none.
  var current: WorkloadInstance? {
    switch self {
    case .added(let workload), .changed(let workload, _): workload
    case .removed: nil
    }
  }
}
