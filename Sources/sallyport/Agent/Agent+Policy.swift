// How documents become policy in force, or an error that people see while the policy before stays.
internal import Enforcement
internal import Kernel
internal import Logging
internal import Policy
internal import Workloads

extension Agent {
  /// Reads the policy path again; what is wrong with it is logged and shown by `status`.
  func reloadPolicy() async {
    guard let path = configuration.policy else {
      await reapplyPolicy()
      return
    }
    await keep {
      let directory = PolicyDirectory(path)
      let sources = try directory.read()
      let notes = try directory.notes(of: sources)
      for note in notes where !policyNotes.contains(note) { logger.warning("policy: \(note)") }
      policyNotes = notes
      _ = try await self.applyDocuments(sources, evenIfSame: false)
      self.report.policy = path
    }
  }

  /// Applies again what was applied by hand; an empty policy when there was none.
  private func reapplyPolicy() async {
    guard sourcesInForce == nil else { return }
    let before = await enforcer.policySources
    let isKnown = await enforcer.recognisesPolicy
    if await enforcer.isAttached, !isKnown {
      policyWarnings = ["the documents of the policy in force are lost: it stays as it is; apply a policy"]
      logger.warning("policy: \(policyWarnings[0])")
      return
    }
    await keep { _ = try await self.applyDocuments(before, evenIfSame: true) }
  }

  private func keep(_ attempt: () async throws -> Void) async {
    do {
      try await attempt()
      report.policyErrors = []
    } catch {
      report.policyErrors = Agent.lines(of: error)
      report.failures += 1
      // A first policy has none before it: the agent does not start, and says why itself.
      if await enforcer.isAttached {
        for line in report.policyErrors { logger.error("policy: \(line)") }
        logger.error("policy refused; the previous policy stays in force")
      }
    }
    await publishReport()
  }

  /// Puts documents in force, labels workloads by them, and cuts what they no longer allow.
  @discardableResult
  func applyDocuments(_ sources: [PolicySource], evenIfSame: Bool) async throws -> Publication? {
    if !evenIfSame, sources == sourcesInForce { return nil }
    policyReader.localAddresses = Set(localAddresses().compactMap { try? IPAddress(parsing: $0) })
    let parsed = try policyReader.parse(files: sources.map { ($0.name, $0.bytes) })
    let isFirst = await !enforcer.isAttached
    let classifier = classifier(parsed.policy)
    let isLabelled = await !enforcer.knowsPolicy
    if isLabelled {
      // Nothing is enforced yet: known from the start, workloads have their labels before their first packet.
      mustPublishAll = true
      try await enforce(tracker.use(classifier))
    }
    var publication = try await enforcer.apply(policy: parsed.policy, sources: sources)
    sourcesInForce = sources
    policyInForce = parsed.policy
    let odd = parsed.warnings + PolicyReview.warnings(of: parsed.policy)
    policyWarnings = odd.map(\.description)
    // What matches nothing now may do so soon: `status` looks again.
    for warning in policyWarnings + publication.warnings { logger.warning("policy: \(warning)") }
    let labelled = isLabelled ? nil : try await enforce(tracker.use(classifier))
    await publishNames()
    if !isFirst {
      guardPlacements()
      await revisePlacements()
      await placeRunning()
    }
    publication.generation = labelled?.generation ?? publication.generation
    publication.rowsWritten += labelled?.rowsWritten ?? 0
    publication.revoked = await revoke()
    logger.debug(
      """
      policy applied: generation \(publication.generation), \(publication.rowsWritten) table entries written, \
      \(publication.revoked) connections cut
      """)
    return publication
  }

  /// Cuts live connections that are no longer allowed, if any can be concerned.
  func revoke(after update: TrackerUpdate) async -> Int {
    // Whose workload ended keeps the identity that it had: nothing is judged otherwise.
    let changed = update.changes.filter { !$0.isEnd && !update.outlived.contains($0.cgroup) }
    // A cgroup that was made just now has no sockets.
    let ids = Set(changed.map(\.cgroup))
    guard ids.contains(where: { tracker.isPopulated($0) }) || !pipeline.live.mentioned(among: ids).isEmpty else {
      return 0
    }
    return await revoke(changed: changed.map(\.workload))
  }

  /// Cuts live connections that are no longer allowed; `changed` limits it to those of some workloads and their peers.
  func revoke(changed: [WorkloadInstance]? = nil) async -> Int {
    do {
      let count = try await revocation.revoke(after: enforcer, tracker, changed: changed)
      report.revoked += count
      return count
    } catch {
      report.failures += 1
      logger.error("revocation: \(error): connections that are no longer allowed may live on")
      return 0
    }
  }

  /// One line per fault.
  static func lines(of error: any Error) -> [String] {
    (error as? PolicyErrors)?.errors.map(\.description) ?? ["\(error)"]
  }
}
