// What the agent answers to requests.
internal import Enforcement
internal import Kernel
internal import Logging
internal import Workloads

extension Agent {
  /// Does what is asked; a failure is part of the answer.
  func respond(to request: ControlRequest) async -> ControlResponse {
    var response = ControlResponse()
    do {
      switch request.verb {
      case .status: break
      case .applyPolicy:
        let publication = try await apply(request.sources ?? [], evenIfSame: true)
        report.policyPath = nil
        report.policyError = []
        fill(&response, publication)
        response.warnings = policyWarnings
      case .reload:
        sourcesInForce = nil
        await reloadPolicy()
        if let error = report.policyError.first { throw Failure(error) }
      case .labelWorkload: try await label(request, &response)
      case .detach:
        try await enforcer.detach()
        logger.notice("detached: nothing is enforced")
      }
      await enforcer.flushSnapshot()
      response.generation = await enforcer.generation
    } catch let failure as Failure {
      response.error = failure.problem
      response.remedy = failure.remedy
    } catch {
      report.failures += 1
      response.error = Agent.lines(of: error).joined(separator: "\n")
    }
    if request.verb != .status { publishReport() }
    response.agent = report
    return response
  }

  private func fill(_ response: inout ControlResponse, _ publication: Publication?) {
    response.rowsWritten = publication?.rowsWritten
    response.revoked = publication?.revoked
  }

  /// Writes the tag on the cgroup and answers when it is enforced.
  private func label(_ request: ControlRequest, _ response: inout ControlResponse) async throws {
    guard let path = request.cgroup, let text = request.tag else {
      throw Failure("workload.label needs a cgroup and a tag")
    }
    let before = scanner.tag(at: path)
    let id = try scanner.tag(path, WorkloadTag(parsing: text))
    let publication: Publication?
    do {
      publication = try await publishWorkloads()
    } catch {
      // What is not enforced must not look as if it were.
      _ = try? scanner.tag(path, before)
      throw error
    }
    fill(&response, publication)
    if publication != nil { response.revoked = await revoke() }
    response.warnings = workloadWarnings.filter { $0.hasPrefix("\(path):") }
    guard workloads.contains(where: { $0.cgroup == id }) else {
      throw Failure(response.warnings.first ?? "\(path) was not labelled", remedy: "see `sallyport status`")
    }
  }
}
