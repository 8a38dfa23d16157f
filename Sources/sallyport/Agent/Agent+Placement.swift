// How processes that a rule wants in a cgroup of their own come to be there, labelled and enforced.
internal import Enforcement
internal import Kernel
internal import Logging
internal import Policy
internal import SystemPackage
internal import Workloads

extension Agent {
  /// Decides about a program that waits to begin; it goes on when this returns, whatever came of it.
  func place(_ pending: PendingExecution) async {
    defer { pending.allow() }
    // What it is in may be newer than what is known: its event is in the box.
    await followWorkloads()
    let placed = pending.withProcess { process in place(process, as: pending.traits) }
    guard let placed else { return }
    await settle(placed.cgroup, isNew: true)
  }

  /// Holds the executables of the rules in force from now on.
  func guardPlacements() {
    guard let guardian else { return }
    do {
      try guardian.guardOnly(tracker.classifier.placedExecutables)
    } catch {
      fail("holding programs until they are placed: \(error); they are placed after they began")
    }
  }

  /// Gives processes that were placed by a rule its labels as they are now, and takes back those of a rule that is gone.
  func revisePlacements() async {
    let rules = tracker.classifier.rules.filter { $0.placement == .ownCgroup }
    for (id, known) in tracker.cgroups {
      guard let tag = known.facts.tag, tag.transientOwner != nil, Placer.made(known.facts.path) else { continue }
      do throws(KernelError) {
        if let rule = rules.first(where: { $0.name == tag.name }) {
          var wanted = rule.tag
          wanted.transientOwner = tag.transientOwner
          guard wanted != tag else { continue }
          try tags.write(wanted, on: known.facts.path)
        } else {
          guard let directory = try tracker.root.hierarchy.directory(id: id) else { continue }
          for process in try directory.processes() {
            try placer.withdraw(ProcessHandle.open(process), rule: tag.name)
          }
          // Its owner lives on elsewhere, so nobody else takes it for abandoned.
          if try directory.isEmpty() { try? directory.remove(within: 0) }
        }
        await settle(id, isNew: false)
      } catch {
        fail("\(known.facts.path): \(error)")
      }
    }
  }

  /// Places what runs already, after the rules changed or the guard could not hold it.
  func place(started: [ProcessStart]) async {
    guard tracker.classifier.placesProcesses else { return }
    for start in started {
      guard let process = try? ProcessHandle.open(start.process) else { continue }
      await place(running: process)
    }
  }

  /// Looks at every process below the watched cgroup and places those that rules want elsewhere.
  func placeRunning() async {
    guard tracker.classifier.placesProcesses else { return }
    for id in tracker.cgroups.keys.sorted() {
      guard let directory = try? tracker.root.hierarchy.directory(id: id) else { continue }
      for id in (try? directory.processes()) ?? [] {
        guard id != .current, let process = try? ProcessHandle.open(id) else { continue }
        await place(running: process)
      }
    }
  }

  private func place(running process: borrowing ProcessHandle) async {
    guard let traits = tracker.processes.traits(of: process, digest: tracker.classifier.needsDigests),
      let placed = place(process, as: traits)
    else { return }
    await settle(placed.cgroup, isNew: true)
    await treatOpenSockets(of: process, placed)
  }

  /// Moves a process if a rule wants it; nil when it stays where it is.
  private func place(_ process: borrowing ProcessHandle, as traits: ProcessTraits) -> Placed? {
    guard let facts = facts(of: process), let rule = tracker.classifier.placement(of: traits, in: facts) else {
      return nil
    }
    do {
      let placed = try placer.place(process, tag: rule.tag)
      return placed.wasMoved ? Placed(cgroup: placed.cgroup.id, rule: rule, process: process.id) : nil
    } catch {
      // One that ended meanwhile is none to place; /proc says so with ENOENT as well as ESRCH.
      guard error.errno != .noSuchProcess, !process.hasExited else { return nil }
      fail("placing \(traits.executable ?? "a process") by rule \(rule.name): \(error)")
      return nil
    }
  }

  /// The facts of the cgroup that a process is in, or of the one that it was placed from.
  private func facts(of process: borrowing ProcessHandle) -> CgroupFacts? {
    guard let path = try? CgroupHierarchy.membership(of: process.id).path,
      let directory = try? tracker.root.hierarchy.directory(at: path)
    else { return nil }
    return tracker.cgroups[directory.id]?.facts
  }

  /// Enforces the labels of a cgroup that a process was just placed in.
  private func settle(_ cgroup: CgroupID, isNew: Bool) async {
    do {
      let update = tracker.look(at: cgroup)
      attend(to: update)
      let publication = try await enforce(update)
      // No socket belongs to a new cgroup yet: those that its process had belong to where they were made.
      if !isNew, publication != nil { _ = await revoke(after: update) }
    } catch {
      fail("labels of a placed process: \(error); it has its parent's")
    }
  }

  /// Does with the sockets that a process had before it was moved what its rule says.
  private func treatOpenSockets(of process: borrowing ProcessHandle, _ placed: Placed) async {
    let rows = await enforcer.workloadRows
    guard let row = rows[placed.cgroup] else { return }
    let owners = tracker.policed(by: rows)
    let stale = StaleSockets(retags: retags) { owners[$0] }
    let subject = PolicedSubject(row, of: placed.cgroup)
    do {
      let sockets = try stale.list(of: process, being: subject)
      guard !sockets.isEmpty else { return }
      switch placed.rule.openSockets {
      case .keep:
        logger.notice("process \(placed.process) keeps \(sockets.count) sockets from before it was placed")
        report.staleSockets += sockets.count
      case .cut:
        let result = stale.cut(sockets)
        report.revoked += result.destroyed
        for failure in result.failures { fail("cutting sockets: \(failure)") }
      case .retag:
        let result = try await stale.retag(sockets, of: process, being: subject, by: enforcer)
        for failure in result.failures { fail("re-tagging sockets: \(failure)") }
        _ = await revoke()
      }
    } catch {
      fail("sockets of process \(placed.process): \(error)")
    }
  }

  private func fail(_ problem: String) {
    report.failures += 1
    logger.error("\(problem)")
  }
}

extension WorkloadRule {
  /// What is written on the cgroups of processes that it places.
  fileprivate var tag: WorkloadTag {
    WorkloadTag(labels: labels, name: name, mode: mode, rejectsUnlabelledChildren: rejectsUnlabelledChildren)
  }
}

/// A process that was just moved.
private struct Placed {
  var cgroup: CgroupID
  var rule: WorkloadRule
  var process: ProcessID
}

extension ExecutionGuard {
  /// One line for `status`; empty when nothing is guarded.
  var summary: String {
    let now = counters
    guard !executables.isEmpty || now != ExecutionGuardCounters() else { return uncovered.joined(separator: "; ") }
    let counts = "\(executables.count) executables guarded, \(now.held) held, \(now.expired) let go too early"
    return ([counts] + uncovered).joined(separator: "; ")
  }
}
