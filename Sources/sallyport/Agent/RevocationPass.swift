// Cuts the live connections that policy no longer allows: who is policed, where, and by which tables.
internal import Enforcement
internal import Kernel
internal import Logging
internal import Policy
internal import SystemPackage
internal import Workloads

/// What the agent asks for after every change in force.
struct RevocationPass: Sendable {
  let pipeline: FlowPipeline
  let root: CgroupDirectory
  let retags: RetagTable?
  /// Whose rules let replies pass, so that what is tracked must end too; nil on the cgroup datapath.
  let rules: NetfilterDatapath?
  let logger: Logger

  /// Re-evaluates live connections and destroys the losers; returns how many were destroyed.
  ///
  /// `changed` are the workloads whose labels alone changed; nil = everything may be judged otherwise. What could not be
  /// listed or destroyed is logged: such connections live on.
  func revoke(
    after enforcer: Enforcer, _ tracker: WorkloadTracker, changed: [WorkloadInstance]? = nil
  ) async throws -> Int {
    guard let tables = try await enforcer.tables else { return 0 }
    let generation = await enforcer.generation
    let rows = await enforcer.workloadRows
    let subjects = tracker.policed(by: rows)
    let namespaces = try NetworkNamespace.ofProcesses(below: root)
    var addresses: [IPAddress: PolicedSubject] = [:]
    for workload in await enforcer.workloadsWithAddresses {
      guard let row = rows[workload.cgroup] else { continue }
      for address in workload.addresses {
        let subject = PolicedSubject(row, of: workload.cgroup)
        // Two owners: nobody's.
        addresses[address] = addresses[address] == nil ? subject : PolicedSubject(workload: nil, identity: .unknown)
      }
    }
    let judged = RevocationRules(tables: tables, generation: generation, addresses: addresses) {
      subjects[$0]
    } isEnded: {
      tracker.isEnded($0)
    }
    rules?.rememberTracked(in: namespaces, flows: pipeline.live)
    let revoker = Revoker(flows: pipeline.live, retags: retags)
    let report: ([RevokedFlow]) -> Void = { [pipeline] losers in
      let now = Clock.monotonicNanoseconds()
      pipeline.consume(losers.map { $0.event(at: now) })
    }
    let result =
      if let changed {
        revoker.revoke(by: judged, in: namespaces, affecting: tracker.below(changed), report: report)
      } else {
        revoker.revoke(by: judged, in: namespaces, report: report)
      }
    let tracked = rules?.endTracked(by: judged, after: result.revoked, in: namespaces)
    for failure in result.failures + (tracked?.failures ?? []) { logger.error("revocation: \(failure)") }
    if !result.revoked.isEmpty {
      logger.notice(
        "revocation",
        metadata: ["cut": "\(result.destroyed)", "ended": "\(result.gone)", "judged": "\(result.judged)"])
    }
    return result.destroyed
  }
}
