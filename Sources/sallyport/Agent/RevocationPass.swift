// Cuts the live connections that policy no longer allows: who is policed, where, and by which tables.
internal import Enforcement
internal import Kernel
internal import Logging
internal import Policy
internal import SystemPackage

/// What the agent asks for after every change in force.
struct RevocationPass: Sendable {
  let pipeline: FlowPipeline
  let root: CgroupDirectory
  let logger: Logger

  /// Re-evaluates live connections and destroys the losers; returns how many were destroyed.
  ///
  /// What could not be listed or destroyed is logged: such connections live on.
  func revoke(after enforcer: Enforcer) async throws -> Int {
    guard let tables = try await enforcer.tables else { return 0 }
    let snapshot = await enforcer.currentState
    let rows = await enforcer.workloadRows
    let (subjects, namespaces) = try policed(rows)
    var addresses: [IPAddress: PolicedSubject] = [:]
    for workload in snapshot.workloads {
      guard let row = rows[workload.cgroup] else { continue }
      for address in workload.addresses {
        let subject = PolicedSubject(row, of: workload.cgroup)
        // Two owners: nobody's.
        addresses[address] = addresses[address] == nil ? subject : PolicedSubject(workload: nil, identity: .unknown)
      }
    }
    let rules = RevocationRules(tables: tables, generation: snapshot.generation, addresses: addresses) {
      subjects[$0]
    }
    let result = Revoker(flows: pipeline.live).revoke(by: rules, in: namespaces) { losers in
      let now = Clock.monotonicNanoseconds()
      pipeline.consume(losers.map { $0.event(at: now) })
    }
    for failure in result.failures { logger.error("revocation: \(failure)") }
    if !result.revoked.isEmpty {
      logger.notice(
        "revocation",
        metadata: ["cut": "\(result.destroyed)", "ended": "\(result.gone)", "judged": "\(result.judged)"])
    }
    return result.destroyed
  }

  /// The subject of every cgroup below the root, and the network namespaces that their processes live in.
  private func policed(
    _ rows: [CgroupID: WorkloadRow]
  ) throws(KernelError) -> ([CgroupID: PolicedSubject], [NetworkNamespace]) {
    var byPath: [String: PolicedSubject] = [:]
    var subjects: [CgroupID: PolicedSubject] = [:]
    var namespaces: [NetworkNamespace.Identity: NetworkNamespace] = [:]
    try root.walk { cgroup throws(KernelError) in
      // Parents come first, so the parent's subject is that of the nearest labelled ancestor.
      let inherited = byPath[cgroup.path.removingLastComponent().description] ?? .host
      let own = rows[cgroup.id].map { PolicedSubject($0, of: cgroup.id) }
      byPath[cgroup.path.description] = own ?? inherited
      subjects[cgroup.id] = own ?? inherited.unlabelledChild
      // A threaded cgroup has no list of processes of its own; its domain's root does.
      for id in (try? cgroup.processes()) ?? [] {
        guard let process = try? ProcessHandle.open(id), let namespace = try? NetworkNamespace.of(process) else {
          continue
        }
        namespaces[namespace.identity] = namespace
      }
    }
    return (subjects, Array(namespaces.values))
  }
}
