// What the agent answers to requests.
internal import Enforcement
internal import Kernel
internal import Logging
internal import Policy
internal import SystemPackage
internal import Workloads

extension Agent {
  /// Does what is asked; a failure is part of the answer.
  func respond(to request: ControlRequest) async -> ControlResponse {
    var response = ControlResponse()
    do {
      switch request.verb {
      case .status: response.unmatched = try unmatched()
      case .checkPolicy: response.unmatched = try unmatched(request.sources ?? [])
      case .applyPolicy:
        let publication = try await applyDocuments(request.sources ?? [], evenIfSame: true)
        report.policy = nil
        report.policyErrors = []
        fill(&response, publication)
        response.warnings = try policyWarnings + unmatched()
      case .reload:
        sourcesInForce = nil
        await reloadPolicy()
        if let error = report.policyErrors.first { throw Failure(error) }
      case .labelWorkload: try await label(request, &response)
      case .unlabelWorkload: try await unlabel(request, &response)
      case .explainWorkload:
        let subject = request.cgroup ?? ""
        if let pid = Int32(subject) {
          await mirrorNow(ProcessID(rawValue: pid))
          response.explanation = try tracker.explain(ProcessID(rawValue: pid))
        } else {
          response.explanation = try tracker.explain(cgroup: subject)
        }
      case .detach:
        try await enforcer.detach()
        try mirror?.end()
        logger.notice("detached: nothing is enforced")
      }
      await enforcer.flushSnapshot()
      response.generation = await enforcer.generation
    } catch let failure as Failure {
      response.error = failure.problem
      response.remedy = failure.remedy
    } catch let error as any ExplainedError {
      report.failures += 1
      response.error = error.problem
      response.remedy = error.remedy
    } catch {
      report.failures += 1
      response.error = Agent.lines(of: error).joined(separator: "\n")
    }
    await publishReport()
    response.agent = report
    return response
  }

  /// What of the policy in force matches nothing here.
  private func unmatched() throws -> [String] {
    if policyInForce == nil, let sourcesInForce { policyInForce = try Self.policy(sourcesInForce) }
    return policyInForce.map { unmatched($0, tracker) } ?? []
  }

  private static func policy(_ sources: [PolicySource]) throws -> PolicySet {
    try PolicyParser.parse(files: sources.map { ($0.name, $0.bytes) }).policy
  }

  /// What of these documents would match nothing here.
  private func unmatched(_ sources: [PolicySource]) throws -> [String] {
    let policy = try Self.policy(sources)
    // A copy: what it would label stays a question.
    var trial = tracker
    _ = trial.use(classifier(policy))
    return unmatched(policy, trial)
  }

  private func unmatched(_ policy: PolicySet, _ tracker: WorkloadTracker) -> [String] {
    let workloads = tracker.workloads
    let rules = workloads.flatMap { $0.source.split(separator: ", ") }.compactMap { source in
      source.hasPrefix("rule ") ? String(source.dropFirst(5)) : nil
    }
    return PolicyReview.unmatched(policy, among: Set(workloads.map(\.labels)), labelledBy: Set(rules))
      .map(\.description)
  }

  private func fill(_ response: inout ControlResponse, _ publication: Publication?) {
    response.rowsWritten = publication?.rowsWritten
    response.revoked = publication?.revoked
  }

  /// Refuses what is not a path of a cgroup at or below the one that is enforced on.
  private func check(_ path: String) throws {
    let root = tracker.root.path
    let asked = FilePath(path).lexicallyNormalized()
    guard asked.starts(with: root) else {
      throw Failure(
        "\(path.debugDescription) is not a cgroup path at or below \(root)",
        remedy: "write it from the root of the hierarchy, such as \(root == "/" ? "" : root.string)/nginx.service")
    }
    guard (try? tracker.root.hierarchy.directory(at: asked)) != nil else {
      throw Failure("there is no cgroup \(asked)", remedy: "see `sallyport workloads`")
    }
  }

  /// Removes the tag of a cgroup and answers when its labels are those that it has without.
  private func unlabel(_ request: ControlRequest, _ response: inout ControlResponse) async throws {
    guard let path = request.cgroup else { throw Failure("workload.unlabel needs a cgroup") }
    try check(path)
    guard let before = tags.read(path) else {
      throw Failure(
        "\(path) has no labels of `sallyport label`", remedy: "see `sallyport workloads explain \(path)`")
    }
    let id = try tags.write(nil, on: path)
    do {
      fill(&response, try await putInForce(tracker.look(at: id)))
    } catch {
      _ = try? tags.write(before, on: path)
      throw error
    }
  }

  /// Writes the tag on the cgroup and answers when it is enforced.
  private func label(_ request: ControlRequest, _ response: inout ControlResponse) async throws {
    guard let path = request.cgroup, let text = request.tag else {
      throw Failure("workload.label needs a cgroup and a tag")
    }
    try check(path)
    let before = tags.read(path)
    let id = try tags.write(WorkloadTag(parsing: text), on: path)
    do {
      fill(&response, try await putInForce(tracker.look(at: id)))
    } catch {
      // What is not enforced must not look as if it were.
      _ = try? tags.write(before, on: path)
      throw error
    }
    response.warnings = workloadWarnings.filter { $0.hasPrefix("\(path):") }
    guard tracker.cgroups[id]?.classification.workload != nil else {
      throw Failure(response.warnings.first ?? "\(path) was not labelled", remedy: "see `sallyport status`")
    }
  }
}
