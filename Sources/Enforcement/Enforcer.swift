// The single writer: wanted state in, changes of the datapath out.

package import Kernel
package import Logging
package import Policy

/// Keeps a datapath at the state that is wanted. Nothing else writes its tables.
package actor Enforcer {
  let datapath: any Datapath
  let state: StateDirectory?
  let writer: SnapshotWriter?
  let cgroup: String
  let logger: Logger
  let clock = ContinuousClock()

  var shadow: Shadow
  var allocator: IdentityAllocator
  var roster = Roster()
  /// Of ended workloads, how many there may be and what is known of their sockets.
  var lingering = Lingering()
  /// Workloads that were given before there was a policy.
  var waiting: [WorkloadInstance]?
  /// Cgroups that keep what they are in force, given with them.
  var waitingKept: [KeptCgroup] = []
  /// What is in force and was not explained yet.
  var inherited = InheritedRows()
  /// What programs that are being replaced enforce, by cgroup.
  var replaced: [CgroupID: WorkloadInstance] = [:]
  /// The mark of the documents that are being published, or are in force.
  var documents: UInt64 = 0
  /// Whether they were found to be those in force by an agent that starts.
  var isRecognised = false
  var policy: PolicySet?
  var sources: [PolicySource] = []
  var compiled: Compiled?
  /// What the agent before this one named beside what is in force; nil once all of it is known.
  var unread: UnreadNames?
  /// Whether rows may be left from a change that could be neither finished nor taken back.
  var isUncertain = false
  /// Whether the programs are attached.
  package internal(set) var isAttached = false
  /// Whether enforcement was ended: nothing can be put in force any more.
  var isDetached = false
  var failures = 0
  var lastError: String?
  var warnings: [String] = []
  /// What the time of the change that is being made went into.
  var phases = Publication.Phases()

  /// Takes a datapath that was opened; call `start()` next.
  ///
  /// - Parameters:
  ///   - state: where the snapshot goes; nil = nowhere.
  ///   - cgroup: the directory that is enforced on, for readers.
  package init(
    datapath: any Datapath, state: StateDirectory?, cgroup: String, logger: Logger,
    allocator: IdentityAllocator = IdentityAllocator()
  ) {
    self.datapath = datapath
    self.state = state
    writer = state.map { SnapshotWriter($0.snapshot, logger: logger) }
    self.cgroup = cgroup
    self.logger = logger
    self.allocator = allocator
    shadow = Shadow(datapath.holdings)
  }

  /// Puts a policy in force; attaches when it is the first one.
  ///
  /// On failure the policy before it stays in force. When this returns, readers find the policy in the state directory.
  /// - Throws: `CompileError`, `DatapathError`.
  package func apply(policy: PolicySet, sources: [PolicySource]) async throws -> Publication {
    let publication = try compileAndPublish(policy, from: sources)
    await flushSnapshot()
    return publication
  }

  private func compileAndPublish(_ policy: PolicySet, from sources: [PolicySource]) throws -> Publication {
    let began = clock.now
    return try reporting("apply policy") {
      try requireDatapath()
      try resynchronise()
      try explainRows(by: waiting ?? [], keeping: waitingKept)
      let former = documents
      documents = sources.mark
      defer { if self.sources != sources { documents = former } }
      let next = try tables(of: policy)
      var rows = try publishTables(next)
      self.policy = policy
      self.sources = sources
      if let waiting {
        rows += try relabel(
          setting: waiting, removing: strangers(besides: waiting, keeping: waitingKept), ending: lingering.waiting)
        self.waiting = nil
        waitingKept = []
      } else {
        rows += try relabel(setting: [], removing: [])
      }
      if !isAttached {
        try datapath.attach()
        isAttached = true
      }
      return publication(of: rows, since: began)
    }
  }

  /// Puts the workloads of this host in force: all of them, every time.
  ///
  /// `ended` are those in force before whose cgroups were removed: their rows stay while their sockets may live. `kept` are
  /// cgroups that nothing is known about yet: what they are in force they stay.
  ///
  /// On failure those before stay in force. Before the first policy they are only remembered. Readers find the change
  /// in the state directory soon: `flushSnapshot()` waits for it.
  /// - Throws: `IdentityError`, `CompileError`, `DatapathError`.
  package func update(
    workloads: [WorkloadInstance], ended: Set<CgroupID> = [], keeping kept: [KeptCgroup] = []
  ) async throws -> Publication {
    let fitting = fitting(workloads + remembered(kept, ended))
    lingering.waiting = ended
    if policy != nil { try explainRows(by: fitting, keeping: kept) } else { waitingKept = kept }
    let changed = fitting.filter {
      guard let known = roster.members[$0.cgroup] else { return true }
      return known.instance != $0 || known.ended != 0
    }
    return try change(
      setting: changed, removing: strangers(besides: fitting, keeping: kept), ending: ended, all: fitting)
  }

  /// Puts some workloads in force and removes others; the rest stay as they are.
  ///
  /// A workload whose cgroup was removed is `ended`, not removed: it stays in force for the sockets that it made, until
  /// `letGo` or until there is no room.
  ///
  /// The quick way for one new workload; likewise, readers find it soon.
  /// - Throws: `IdentityError`, `CompileError`, `DatapathError`.
  package func update(
    setting workloads: [WorkloadInstance], removing gone: [CgroupID] = [], ended: [CgroupID] = []
  ) async throws -> Publication {
    let fitting = fitting(workloads)
    let leaving = Set(gone + ended)
    let known = waiting.map { known in
      known.filter { old in !leaving.contains(old.cgroup) && !fitting.contains { $0.cgroup == old.cgroup } } + fitting
    }
    return try change(setting: fitting, removing: gone, ending: Set(ended), all: known ?? fitting)
  }

  /// Ends enforcement and leaves nothing behind in the kernel.
  package func detach() async throws {
    try end()
    await flushSnapshot()
  }

  private func end() throws {
    try reporting("detach") {
      try datapath.detach()
      if isAttached { logger.notice("enforcement ended on \(cgroup)") }
      isAttached = false
      isDetached = true
    }
  }

  /// The tables in force, for whoever re-evaluates live flows; nil before the first policy.
  package var tables: Tables? {
    get throws { compiled?.tables }
  }

  /// The workloads in force as the kernel has them.
  package var workloadRows: [CgroupID: WorkloadRow] { shadow.workloads }

  /// What the kernel counts.
  package func counters() throws -> DatapathCounters { try datapath.counters() }

  private func change(
    setting workloads: [WorkloadInstance], removing gone: [CgroupID], ending: Set<CgroupID>, all: [WorkloadInstance]
  ) throws -> Publication {
    let began = clock.now
    return try reporting("update workloads") {
      try requireDatapath()
      guard policy != nil else {
        waiting = all
        lingering.waiting.formUnion(ending)
        // What is in force stays; what comes is refused unless others with its labels are in force.
        let rows = isAttached ? try admit(all) : 0
        return Publication(generation: shadow.generation, rowsWritten: rows, warnings: warnings)
      }
      try resynchronise()
      let rows = try relabel(setting: workloads, removing: gone, ending: ending)
      return publication(of: rows, since: began)
    }
  }

  private func publication(of rows: Int, since began: ContinuousClock.Instant) -> Publication {
    var publication = Publication(
      generation: shadow.generation, rowsWritten: rows, duration: clock.now - began, warnings: warnings)
    phases.plan = publication.duration - phases.compile - phases.grace - phases.write - phases.flip
    publication.phases = phases
    return publication
  }

  private func requireDatapath() throws(DatapathError) {
    guard isDetached else { return }
    throw DatapathError("enforce on", cgroup, reason: "enforcement was ended", remedy: "start the agent again")
  }

  /// The cgroups that the kernel has and a full list does not.
  private func strangers(besides workloads: [WorkloadInstance], keeping kept: [KeptCgroup]) -> [CgroupID] {
    let wanted = Set(workloads.map(\.cgroup)).union(kept.map(\.cgroup))
    let known = Set(shadow.workloads.keys).union(roster.members.keys)
    return known.subtracting(wanted).subtracting(roster.ended).subtracting(inherited.ended.keys)
      .subtracting(lingering.waiting).sorted()
  }

  /// Leaves out what the kernel cannot police, and says so.
  private func fitting(_ workloads: [WorkloadInstance]) -> [WorkloadInstance] {
    warnings.removeAll { $0.hasPrefix("workload ") }
    let deep = workloads.filter { $0.level > WorkloadInstance.deepestLevel || $0.level < 0 }
    for workload in deep {
      warnings.append(
        "workload \(workload.path) is at level \(workload.level) and is treated as its ancestor; "
          + "label one at level \(WorkloadInstance.deepestLevel) or above")
    }
    return deep.isEmpty ? workloads : workloads.filter { (0...WorkloadInstance.deepestLevel).contains($0.level) }
  }

  /// Runs a change, and remembers and logs how it ended.
  func reporting<T>(_ operation: String, _ body: () throws -> T) throws -> T {
    phases = Publication.Phases()
    do {
      let result = try body()
      lastError = nil
      offerSnapshot()
      return result
    } catch {
      failures += 1
      lastError = "\(error)"
      // Whoever asked says it to people.
      logger.debug("\(operation): \(error)")
      offerSnapshot()
      throw error
    }
  }
}
