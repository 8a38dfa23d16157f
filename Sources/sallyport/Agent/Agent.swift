// The agent: one loop through which every change goes, in the order in which they came.
internal import Enforcement
internal import Kernel
internal import Logging
internal import Policy
internal import ServiceLifecycle
internal import Workloads

/// Something that the agent has to react to.
enum Change: Sendable {
  /// Policy documents may have changed.
  case policy
  /// Cgroups, tags or processes may have changed.
  case workloads
  /// Rules of packet filters may have been changed by others.
  case rules
  /// Processes were put where they belong on a host that mounts version 1 alone.
  case mirrored
  /// A program waits to begin until its process is placed.
  case execution(PendingExecution)
  /// Somebody asks.
  case call(ControlCall)
}

/// Reconciles what is wanted (documents, cgroups, requests) with what is enforced.
///
/// Sources only say that something may have changed; the loop then looks for itself. So lost and doubled events are
/// harmless, and no two changes are ever under way at once.
actor Agent: Service {
  let configuration: AgentConfiguration
  let enforcer: Enforcer
  let revocation: RevocationPass
  let tags: CgroupTags
  let placer: Placer
  let retags: RetagTable?
  let datapath: any KernelDatapath
  /// What brings processes here on a host that mounts version 1 alone; nil on all others.
  let mirror: CgroupMirror?
  /// Holds executions that rules want elsewhere; nil where the kernel cannot.
  let guardian: ExecutionGuard?
  let feed: EventFeed
  let desk: SourceDesk
  let logger: Logger
  let reportFile: ReportFile
  let pipeline: FlowPipeline
  let changes: Changes

  /// Every cgroup and what it is labelled with, by the rules of the policy in force.
  var tracker: WorkloadTracker
  /// Whether what is in force may differ from what the tracker knows.
  var mustPublishAll = true
  /// Cgroups that keep what they are in force, because a source that claims them has not answered since the start.
  var kept: Set<CgroupID> = []
  /// Processes that were placed while their exec was held, until they are the new program.
  var beginning: [ProcessID: CgroupID] = [:]
  /// Reads documents: of a directory that changed, the files that did.
  var policyReader = PolicyReader()
  /// The documents in force that came from `configuration.policy`: what need not be applied again.
  var sourcesInForce: [PolicySource]?
  /// What they mean; nil until it is asked for after a start that took everything over.
  var policyInForce: PolicySet?
  /// The warnings of the policy and of the workloads.
  var policyWarnings: [String] = []
  /// What is in the policy directory and is not read.
  var policyNotes: [String] = []
  var workloadWarnings: [String] = []
  /// Which ended workloads may be let go.
  var review = EndedReview()
  /// What could not be mirrored, as it was logged.
  var unmirrored: Set<String> = []
  var report: AgentReport
  private var writtenReport: AgentReport?

  init(
    configuration: AgentConfiguration, enforcer: Enforcer, revocation: RevocationPass, pipeline: FlowPipeline,
    tracker: WorkloadTracker, feed: EventFeed, desk: SourceDesk, guardian: ExecutionGuard?, retags: RetagTable?,
    datapath: any KernelDatapath, mirror: CgroupMirror?, report: AgentReport, reportFile: ReportFile, changes: Changes,
    logger: Logger
  ) {
    self.configuration = configuration
    self.enforcer = enforcer
    self.revocation = revocation
    self.tracker = tracker
    self.feed = feed
    self.desk = desk
    self.retags = retags
    self.datapath = datapath
    self.mirror = mirror
    self.guardian = guardian
    tags = CgroupTags(root: tracker.root)
    placer = Placer(root: tracker.root)
    self.report = report
    self.reportFile = reportFile
    self.changes = changes
    self.logger = logger
    self.pipeline = pipeline
  }

  /// Takes over what is in force, brings it to what is wanted, and returns: from then on everything is enforced.
  ///
  /// - Throws: when there is neither an earlier policy in force nor one that can be read: nothing would be enforced.
  func start() async throws {
    policeNamespaces()
    try await enforcer.start()
    let before = await enforcer.policySources
    if !before.isEmpty, let parsed = try? policyReader.parse(files: before.map { ($0.name, $0.bytes) }) {
      tracker.remember(await enforcer.workloads)
      _ = tracker.use(classifier(parsed.policy))
      if await enforcer.knowsPolicy { sourcesInForce = before }
      await publishNames()
    }
    // What was told before this look is seen by it.
    _ = changes.inbox.take()
    if await isTakeover { try await lookAtAll() } else { attend(to: try tracker.rescan()) }
    do { try await revocation.learn(enforcer, tracker) } catch { logger.warning("connections: \(error)") }
    await reloadPolicy()
    await followWorkloads()
    guardPlacements()
    await revisePlacements()
    await placeRunning()
    await treatMirrored()
    // Else readers wait for it, and nobody for them: see NameReader.
    if await !enforcer.hasUnreadNames { await enforcer.flushSnapshot() }
    guard await enforcer.isAttached else {
      // Nothing was in force before and nothing is now: leave nothing behind either.
      try await enforcer.detach()
      for line in report.policyErrors { Terminal.complain(line) }
      throw Failure("no policy loaded; not starting")
    }
  }

  /// Whether something is enforced already that this agent takes over or replaces.
  private var isTakeover: Bool {
    get async {
      if await enforcer.isAttached { return true }
      return await enforcer.isReplacing
    }
  }

  /// Reacts until the service group stops; enforcement stays as it is.
  func run() async throws {
    for await change in changes.stream.cancelOnGracefulShutdown() {
      changes.begin(change)
      switch change {
      case .policy: await reloadPolicy()
      case .workloads: await followWorkloads()
      case .rules: await repairRules()
      case .mirrored: await treatMirrored()
      case .execution(let pending): await place(pending)
      case .call(let call):
        let response = await respond(to: call.request)
        call.answer(response)
        // Nothing is left to do: returning ends the service group.
        if call.request.verb == .detach && response.error == nil { return }
      }
    }
  }

  /// What decides labels under a policy.
  func classifier(_ policy: PolicySet) -> Classifier {
    Classifier(rules: policy.workloads, ignoring: configuration.ignored)
  }

  /// Tells the flow log what the numbers of the generation in force stand for.
  func publishNames() async {
    pipeline.publish(await enforcer.names)
  }

  /// Says what went wrong, keeps it for `status`, and writes the report if it differs from the last one.
  func publishReport() async {
    report.warnings = policyNotes + policyWarnings + workloadWarnings
    report.events = feed.description
    let losses = pipeline.losses
    report.flowsDropped = losses.lines
    report.flowLogFault = losses.fault
    report.eventsLost = feed.counts?.lost ?? 0
    report.executions = guardian.map(\.summary) ?? "cannot be held: processes are placed after they began"
    report.sources = await desk.conditions.map { condition in
      let missing = configuration.sources.missing(for: condition.name)
      return SourceReport(
        name: condition.name, fault: missing?.description ?? condition.fault?.description,
        isMissing: missing == nil ? nil : true, answered: condition.answered, failed: condition.failed)
    }
    guard report != writtenReport else { return }
    writtenReport = report
    reportFile.write(report)
  }
}
