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
  /// Ends what connection tracking would still let pass.
  let datapath: any KernelDatapath
  let logger: Logger

  /// Re-evaluates live connections and destroys the losers; returns how many were destroyed.
  ///
  /// `changed` are the workloads whose labels alone changed; nil = everything may be judged otherwise. What could not be
  /// listed or destroyed is logged: such connections live on.
  func revoke(
    after enforcer: Enforcer, _ tracker: WorkloadTracker, changed: [WorkloadInstance]? = nil
  ) async throws -> Int {
    guard let judged = try await judgment(of: enforcer, tracker) else { return 0 }
    let namespaces = try NetworkNamespace.ofProcesses(below: root)
    datapath.rememberTracked(in: namespaces, flows: pipeline.live)
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
    let tracked = datapath.endTracked(by: judged, after: result.revoked, in: namespaces)
    for failure in result.failures + tracked.failures { logger.error("revocation: \(failure)") }
    if !result.revoked.isEmpty {
      logger.notice(
        """
        policy change: \(result.destroyed) of \(result.judged) connections cut\
        \(result.gone == 0 ? "" : ", \(result.gone) had ended before")
        """)
    }
    return result.destroyed
  }

  /// Looks who is at both ends of the connections that are there, before anything changes; cuts nothing.
  func learn(_ enforcer: Enforcer, _ tracker: WorkloadTracker) async throws {
    guard let judged = try await judgment(of: enforcer, tracker) else { return }
    Revoker(flows: pipeline.live, retags: retags).learn(
      by: judged, in: try NetworkNamespace.ofProcesses(below: root))
  }

  /// What decides now; nil before the first policy.
  private func judgment(of enforcer: Enforcer, _ tracker: WorkloadTracker) async throws -> RevocationRules? {
    guard let tables = try await enforcer.tables else { return nil }
    let generation = await enforcer.generation
    let rows = await enforcer.workloadRows
    let subjects = tracker.policed(by: rows)
    var addresses: [IPAddress: PolicedSubject] = [:]
    for workload in await enforcer.workloadsWithAddresses {
      guard let row = rows[workload.cgroup] else { continue }
      for address in workload.addresses {
        let subject = PolicedSubject(row, of: workload.cgroup)
        // Two owners: nobody's.
        addresses[address] = addresses[address] == nil ? subject : PolicedSubject(workload: nil, identity: .unknown)
      }
    }
    return RevocationRules(tables: tables, generation: generation, addresses: addresses) {
      subjects[$0]
    } isEnded: {
      tracker.isEnded($0)
    }
  }
}
