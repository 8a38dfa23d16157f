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
    await mirrorNow(pending.withProcess { $0.id })
    // What it is in may be newer than what is known: its event is in the box.
    await followWorkloads()
    let placed = pending.withProcess { process in place(process, as: pending.traits).map { ($0, process.id) } }
    guard let (cgroup, process) = placed else { return }
    await settle(cgroup, isNew: true)
    // Not before it is the new program: what closes on exec is not its own, and may be its parent's too.
    beginning[process] = cgroup
  }

  /// Holds the executables of the rules in force from now on; all that rules name where processes must be mirrored first.
  func guardPlacements() {
    guard let guardian else { return }
    let classifier = tracker.classifier
    do {
      try guardian.guardOnly(
        mirror == nil ? classifier.placedExecutables : classifier.rules.flatMap(\.match.executables))
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
      let placed = beginning.removeValue(forKey: start.process)
      guard let process = try? ProcessHandle.open(start.process) else { continue }
      if let placed { await treatOpenSockets(of: process, in: placed) } else { await place(running: process) }
    }
  }

  /// Forgets programs that never began: their execs failed, or their ends came first.
  func forgetBeginnings(in gone: [CgroupID]) {
    guard !beginning.isEmpty, !gone.isEmpty else { return }
    let gone = Set(gone)
    beginning = beginning.filter { !gone.contains($0.value) }
  }

  /// Looks at every process below the watched cgroup and places those that rules want elsewhere.
  func placeRunning() async {
    let classifier = tracker.classifier
    guard classifier.placesProcesses else { return }
    for (id, known) in tracker.cgroups {
      guard let directory = try? tracker.root.hierarchy.directory(id: id) else { continue }
      let pass = placer.placeAll(in: directory, tracker.processes, digests: classifier.needsDigests) { traits in
        classifier.placement(of: traits, in: known.facts)?.tag
      }
      for fault in pass.faults { fail("\(known.facts.path): \(fault)") }
      for placed in pass.placed {
        await settle(placed.cgroup.id, isNew: true)
        await treatOpenSockets(in: placed.cgroup)
      }
    }
  }

  private func place(running process: borrowing ProcessHandle) async {
    guard let traits = tracker.processes.traits(of: process, digest: tracker.classifier.needsDigests),
      let placed = place(process, as: traits)
    else { return }
    await settle(placed, isNew: true)
    await treatOpenSockets(of: process, in: placed)
  }

  /// Moves a process if a rule wants it; nil when it stays where it is.
  private func place(_ process: borrowing ProcessHandle, as traits: ProcessTraits) -> CgroupID? {
    guard let facts = facts(of: process), let rule = tracker.classifier.placement(of: traits, in: facts) else {
      return nil
    }
    do {
      let placed = try placer.place(process, tag: rule.tag)
      return placed.wasMoved ? placed.cgroup.id : nil
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

  /// Likewise for every process in a cgroup that one was just placed in.
  private func treatOpenSockets(in cgroup: CgroupDirectory) async {
    for id in (try? cgroup.processes()) ?? [] {
      guard let process = try? ProcessHandle.open(id) else { continue }
      await treatOpenSockets(of: process, in: cgroup.id)
    }
  }

  /// Does with the sockets that a process had before it was moved what the rule that placed it says.
  private func treatOpenSockets(of process: borrowing ProcessHandle, in cgroup: CgroupID) async {
    let rows = await enforcer.workloadRows
    let name = tracker.cgroups[cgroup]?.facts.tag?.name
    guard let row = rows[cgroup], let rule = tracker.classifier.rules.first(where: { $0.name == name }) else { return }
    let owners = tracker.policed(by: rows)
    let stale = StaleSockets(retags: retags) { owners[$0] }
    let subject = PolicedSubject(row, of: cgroup)
    do {
      let sockets = try stale.list(of: process, being: subject)
      guard !sockets.isEmpty else { return }
      switch rule.openSockets {
      case .keep:
        logger.notice("process \(process.id) keeps \(sockets.count) sockets from before it was placed")
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
      // A process that ended meanwhile has taken its sockets with it.
      guard !process.hasExited else { return }
      fail("sockets of process \(process.id): \(error)")
    }
  }

  func fail(_ problem: String) {
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

extension ExecutionGuard {
  /// One line for `status`; empty when nothing is guarded.
  var summary: String {
    let now = counters
    guard !executables.isEmpty || now != ExecutionGuardCounters() else { return uncovered.joined(separator: "; ") }
    let counts = "\(executables.count) executables guarded, \(now.held) held, \(now.expired) let go too early"
    return ([counts] + uncovered).joined(separator: "; ")
  }
}
