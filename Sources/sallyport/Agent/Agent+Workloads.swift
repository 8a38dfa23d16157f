// How cgroups become workloads in force.
internal import Enforcement
internal import Logging
internal import Workloads

extension Agent {
  /// Looks at all cgroups and puts what they are in force.
  func reconcileWorkloads() async {
    do {
      _ = try scanner.removeAbandoned()
      let publication = try await publishWorkloads()
      if publication != nil { _ = await revoke() }
    } catch {
      report.failures += 1
      logger.error("workloads: \(error); the workloads before stay in force")
    }
    publishReport()
  }

  /// Likewise, without cutting anything; nil when nothing differs from what is in force.
  @discardableResult
  func publishWorkloads() async throws -> Publication? {
    let scan = try scanner.scan(classifier)
    for warning in scan.warnings where !workloadWarnings.contains(warning) {
      logger.warning("workloads: \(warning)")
    }
    workloadWarnings = scan.warnings
    guard scan.workloads != workloads else { return nil }
    let publication = try await enforcer.update(workloads: scan.workloads)
    workloads = scan.workloads
    await publishNames()
    logger.info("workloads in force: \(workloads.count), generation \(publication.generation)")
    return publication
  }
}
