// What follows when processes of a version 1 host were put where they belong: labels first, then what they had open.
internal import Enforcement
internal import Kernel
internal import Logging
internal import ServiceLifecycle
internal import SystemPackage
internal import Workloads

extension Agent {
  /// Puts one process where it belongs and enforces what that is, before anybody else is asked.
  func mirrorNow(_ id: ProcessID) async {
    guard let mirror, let process = try? ProcessHandle.open(id) else { return }
    changes.announce(mirror.settle(process))
    guard let path = try? CgroupHierarchy.membership(of: id).path, path.starts(with: tracker.root.path) else { return }
    // The events of cgroups that were made just now may still be on their way.
    var update = tracker.look(at: tracker.root.id)
    var directory = tracker.root
    for component in path.components.dropFirst(directory.path.components.count) {
      guard let child = try? directory.child(component) else { break }
      directory = child
      if tracker.cgroups[child.id] == nil { update.append(tracker.look(at: child.id)) }
    }
    guard !update.toAsk.isEmpty || !update.changes.isEmpty else { return }
    attend(to: update)
    do { try await enforce(update) } catch { fail("labels of a mirrored process: \(error); it has its parent's") }
  }

  /// Does with the sockets that mirrored processes had before they were moved what can be done: they speak for the
  /// workload from now on, or `status` counts them.
  func treatMirrored() async {
    let pass = changes.takeMirrored()
    for fault in pass.faults {
      let problem = "mirroring: \(fault)"
      // What cannot be mirrored is tried again and again.
      guard unmirrored.insert(problem).inserted else { continue }
      fail(problem)
    }
    guard !pass.moved.isEmpty else { return }
    await followWorkloads()
    let rows = await enforcer.workloadRows
    let owners = tracker.policed(by: rows)
    let stale = StaleSockets(retags: retags) { owners[$0] }
    var isRetagged = false
    for id in Set(pass.moved) {
      guard let process = try? ProcessHandle.open(id), let cgroup = cgroup(of: id), let subject = owners[cgroup] else {
        continue
      }
      do {
        let sockets = try stale.list(of: process, being: subject)
        // Programs see the sockets of cgroups that they are attached to, and those below: others cannot be helped.
        let seen = retags == nil ? [] : sockets.filter { $0.speaksFor != nil }
        let unseen = sockets.count - seen.count
        if unseen > 0 {
          logger.warning("process \(id) keeps \(unseen) sockets from before it was mirrored: start it anew")
          report.staleSockets += unseen
        }
        guard !seen.isEmpty else { continue }
        let result = try await stale.retag(seen, of: process, being: subject, by: enforcer)
        for failure in result.failures { fail("re-tagging sockets: \(failure)") }
        isRetagged = isRetagged || result.retagged > 0
      } catch {
        // A process that ended meanwhile has taken its sockets with it.
        guard !process.hasExited else { continue }
        fail("sockets of process \(id): \(error)")
      }
    }
    if isRetagged { _ = await revoke() }
    await publishReport()
  }

  /// Tries again whether sockets belong to their cgroups: the first use of net_cls on an older kernel ends that for good.
  func tryOwnership() async {
    do {
      try SocketOwnership.check(below: tracker.root)
      report.socketsUnowned = nil
    } catch {
      let problem = "\(error)"
      if report.socketsUnowned != problem { fail("not enforced on sockets made from now on: \(problem)") }
      report.socketsUnowned = problem
    }
    await publishReport()
  }

  private func cgroup(of process: ProcessID) -> CgroupID? {
    guard let path = try? CgroupHierarchy.membership(of: process).path else { return nil }
    return try? tracker.root.hierarchy.directory(at: path).id
  }
}

/// Has it tried from time to time whether sockets belong to their cgroups: nothing tells when that ends.
struct OwnershipTicker: Service {
  let agent: Agent

  func run() async throws {
    for await _ in Ticker.every(.seconds(60)).cancelOnGracefulShutdown() { await agent.tryOwnership() }
  }
}
