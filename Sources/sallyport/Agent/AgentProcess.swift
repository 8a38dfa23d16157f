// Puts an agent together and runs its services.
internal import Enforcement
internal import Evidence
internal import Glibc
internal import Kernel
internal import Logging
internal import ServiceLifecycle
internal import SystemPackage
internal import UnixSignals
internal import Workloads

/// The agent as a process: from preflight to the end of the service group.
struct AgentProcess {
  let configuration: AgentConfiguration
  let verbose: Bool
  let readyDescriptor: Int32?

  func run() async throws {
    Heap.keepSmall()
    var logger = Logger(label: "sallyport") { _ in SentenceLog() }
    logger.logLevel = verbose ? .debug : .info
    let place = try EnforcementPlace.find(configuration)
    do {
      try await run(at: place, logger)
    } catch {
      // An agent that never enforced leaves nothing behind.
      if let mirror = place.mirror, mirror.isNew, !isEnforcing { try? mirror.end() }
      throw error
    }
  }

  /// What cannot be said counts as enforced.
  private var isEnforcing: Bool {
    do { return try PinnedInspection.read(state: StateDirectory(configuration.state))?.isEnforcing ?? false } catch {
      return true
    }
  }

  private func run(at place: EnforcementPlace, _ logger: Logger) async throws {
    let (root, cgroup, mirror) = (place.root, place.location, place.mirror)
    try makeDirectory(configuration.stateDirectory)
    let state = StateDirectory(configuration.state)
    let options = try options(cgroup)
    let starts = ProgramStarts()
    let changes = Changes()
    // Before the first look, so that nothing happens between the two unseen.
    let tell: @Sendable ([WorkloadEvent]) -> Void = { events in
      starts.note(events)
      // First, so that whoever looks sees everybody in place.
      if let mirror { changes.announce(mirror.follow(events)) }
      changes.announce(events)
    }
    try refuseRivals(root, state)
    let (feed, chosen) = try load(root, options, state, tellsV1: mirror != nil, tell, logger)
    defer { feed.stop() }
    let datapath = chosen.datapath
    for note in state.tidy() { logger.warning("\(note)") }
    let enforcer = Enforcer(datapath: datapath, state: state, cgroup: cgroup, logger: logger)
    let flows = configuration.flows.map { FilePath($0) } ?? FilePath(state.flows)
    let pipeline = try FlowPipeline(
      settings: FlowLog.Settings(path: flows, rotateAfter: configuration.flowsSize),
      processes: LiveProcesses(starts: starts), logger: logger)
    let sources = try configuration.sources.sources()
    for name in SourceSettings.Name.allCases {
      if let missing = configuration.sources.missing(for: name.rawValue) { logger.warning("\(missing)") }
    }
    let desk = SourceDesk(sources: sources, logger: logger) { changes.announce($0) }
    var report = AgentReport(
      agentPid: ProcessID.current.rawValue, version: Version.text, cgroup: cgroup, cgroupPath: root.path.description,
      policy: configuration.policy)
    report.mirror = mirror.map { "version 1 host: mirrored in \($0.hierarchy.mount.mountPoint)" }
    report.datapath = "\(datapath.kind.rawValue): \(chosen.reason)"
    try feed.follow(processes: true)
    logger.info("datapath: \(datapath.kind.rawValue) (\(chosen.reason))")
    for note in datapath.notes { logger.notice("datapath: \(note)") }
    let retags = try datapath.retags()
    // What asked for a large file's digest is looked at again once it is known.
    let digests = ExecutableDigests { changes.announce([.unknown]) }
    let guardian = startGuard(changes, digests, logger)
    defer { guardian?.stop() }
    let tracker = WorkloadTracker(root: root, sources: sources, processes: ProcessReader(digests: digests))
    let agent = Agent(
      configuration: configuration, enforcer: enforcer,
      revocation: RevocationPass(
        pipeline: pipeline, root: root, retags: retags, datapath: datapath, logger: logger),
      pipeline: pipeline, tracker: tracker, feed: feed, desk: desk,
      guardian: guardian, retags: retags, datapath: datapath, mirror: mirror,
      report: report,
      reportFile: ReportFile(path: configuration.stateDirectory.appending("agent.json"), logger: logger),
      changes: changes, logger: logger)
    try datapath.startEvents { events in pipeline.consume(events) }
    defer { datapath.stopEvents() }
    try await agent.start()
    try datapath.watchRules { changes.announceRules() }
    defer { datapath.endRuleWatch() }
    let calls = try ControlServer.start(at: FilePath(state.controlSocket), logger: logger)
    let sweeper = try ConversationSweeper.open(
      pinned: datapath.pins + "/maps", udpIdle: options.conversationIdle, icmpIdle: options.echoIdle)
    let ended = EndedTicker(
      agent: agent, root: root,
      sweeper: try ConversationSweeper.open(
        pinned: datapath.pins + "/maps", udpIdle: options.conversationIdle, icmpIdle: options.echoIdle),
      live: pipeline.live, logger: logger)
    let sweep = ConversationSweep(sweeper: sweeper, pipeline: pipeline, logger: logger)
    let survey = configuration.triesCoverage ? try survey(datapath, root, logger) : nil
    logger.notice("enforcing on \(cgroup)")
    try await serve(agent, datapath, feed, tell, changes, calls, [sweep, ended], survey, logger)
    await enforcer.flushSnapshot()
    let isAttached = await enforcer.isAttached
    if isAttached { note(datapath.mendPins(), logger) }
    logger.notice(isAttached ? "stopped; the policy stays enforced" : "stopped; nothing is enforced")
  }

  /// Refuses to enforce where others do: two sets of tables would judge every packet.
  private func refuseRivals(_ root: CgroupDirectory, _ state: StateDirectory) throws {
    guard let rival = try RivalEnforcement.find(on: root, besides: state).first else { return }
    throw Failure("\(root.path): enforced already by \(rival.description)", remedy: rival.remedy)
  }

  /// Says what an agent that ends leaves unpinned.
  private func note(_ condition: PinCondition, _ logger: Logger) {
    for failure in condition.failures { logger.critical("enforcement ends with this process: \(failure)") }
  }

  /// Loads the programs that tell what happens and those that enforce at once, because the kernel takes its time to verify
  /// either.
  private func load(
    _ root: CgroupDirectory, _ options: DatapathOptions, _ state: StateDirectory, tellsV1: Bool,
    _ tell: @escaping @Sendable ([WorkloadEvent]) -> Void, _ logger: Logger
  ) throws -> (feed: EventFeed, chosen: DatapathKind.Chosen) {
    let prefersInotify = configuration.inotify
    let loaded = try runSideBySide("events") { () throws(KernelError) in
      try EventFeed.start(root: root, preferInotify: prefersInotify, tellsV1: tellsV1, logger: logger, handler: tell)
    } here: { () throws(KernelError) in
      Result { () throws(DatapathError) in
        try DatapathKind.choose(configuration.datapath, options, state: state, logger: logger)
      }
    }
    return (loaded.there, try loaded.here.get())
  }

  /// Nil where the kernel has no permission events; placed after they began is then the best that can be done.
  private func startGuard(_ changes: Changes, _ digests: ExecutableDigests, _ logger: Logger) -> ExecutionGuard? {
    do throws(KernelError) {
      return try ExecutionGuard.start(
        [], digests: digests,
        expired: { logger.error("\($0.executable ?? "a program") was let go before it was placed") },
        decide: { changes.announce($0) })
    } catch {
      logger.warning("programs cannot be held until they are placed: \(error)")
      return nil
    }
  }

  private func serve(
    _ agent: Agent, _ datapath: any KernelDatapath, _ feed: EventFeed,
    _ tell: @escaping @Sendable ([WorkloadEvent]) -> Void, _ changes: Changes,
    _ calls: AsyncStream<ControlCall>,
    _ others: [any Service], _ survey: CoverageSurvey?, _ logger: Logger
  ) async throws {
    var services: [any Service] = [
      agent, SourceFollower(desk: agent.desk),
      HangupListener(changes: changes),
      ControlListener(calls: calls, changes: changes),
    ]
    services += others
    if !feed.tellsProcesses || !feed.isComplete {
      services.append(
        Poller(tell: tell) {
          // Nothing tells what happens in version 1.
          if !feed.isComplete || agent.mirror != nil { return true }
          return await agent.tracker.classifier.needsProcesses
        })
    }
    services.append(PinTicker(agent: agent, datapath: datapath))
    if let interval = datapath.ruleInterval {
      services.append(RulesTicker(datapath: datapath, interval: interval, changes: changes))
    }
    if SocketOwnership.mayChange { services.append(OwnershipTicker(agent: agent)) }
    if let guardian = agent.guardian { services.append(GuardFollower(guardian: guardian, logger: logger)) }
    if let policy = configuration.policy {
      services.append(PolicyWatcher(path: FilePath(policy), changes: changes, logger: logger))
    }
    var group = ServiceGroupConfiguration(
      services: services.map { .init(service: $0, successTerminationBehavior: .gracefullyShutdownGroup) },
      gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
    // Those that are done some time.
    if let survey { group.services.append(.init(service: survey, successTerminationBehavior: .ignore)) }
    group.services.append(.init(service: NameReader(agent: agent), successTerminationBehavior: .ignore))
    if let readyDescriptor {
      let announcement = ReadyAnnouncement(descriptor: FileDescriptor(rawValue: readyDescriptor))
      group.services.append(.init(service: announcement, successTerminationBehavior: .ignore))
    }
    group.maximumGracefulShutdownDuration = .seconds(10)
    try await ServiceGroup(configuration: group).run()
  }

  private func survey(
    _ datapath: any KernelDatapath, _ root: CgroupDirectory, _ logger: Logger
  ) throws -> CoverageSurvey {
    CoverageSurvey(
      kind: datapath.kind, programs: try datapath.programTags(), policed: root, state: configuration.stateDirectory,
      logger: logger)
  }

  private func options(_ cgroup: String) throws -> DatapathOptions {
    var options = DatapathOptions(cgroup: cgroup, maxEntries: UInt32(configuration.maxEntries))
    if configuration.sparesOwnNamespace { options.netfilter.spared = [try NetworkNamespace.current().identity] }
    return options
  }

  private func makeDirectory(_ path: FilePath) throws {
    let rc = unsafe path.withPlatformString { unsafe mkdir($0, 0o750) }
    let reason = errno
    guard rc == 0 || reason == EEXIST else {
      throw Failure("make state directory \(path): \(Errno(rawValue: reason))", remedy: "make its parent directory")
    }
  }
}

/// Reads what the agent before knew and no verdict needs, in pieces between which changes are made; then gives back the
/// memory that a start needs and an agent does not.
private struct NameReader: Service {
  let agent: Agent

  func run() async throws {
    while await agent.enforcer.readMoreNames(), !Task.isShuttingDownGracefully {}
    await agent.publishNames()
    await agent.enforcer.flushSnapshot()
    Heap.trim()
    ProgramMemory.release()
  }
}

/// Tells the reader of a descriptor that from now on every packet is judged, and a signal ends the agent in order.
///
/// A service, because the group handles signals before it starts the first one.
private struct ReadyAnnouncement: Service {
  let descriptor: FileDescriptor

  func run() async throws {
    // Who asked may have gone; that is no reason to stop enforcing.
    _ = try? descriptor.writeAll([UInt8(ascii: "\n")])
    try? descriptor.close()
  }
}
