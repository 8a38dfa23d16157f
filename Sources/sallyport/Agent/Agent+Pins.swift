// Pins and attachments that others remove: seen, said and repaired.
internal import Enforcement
internal import Kernel
internal import Logging
internal import ServiceLifecycle
internal import Workloads

extension Agent {
  /// Says what was found and done about the pins, and keeps it for `status`.
  func note(_ condition: PinCondition) async {
    guard !condition.isGood || !report.pinFaults.isEmpty else { return }
    if !condition.attached.isEmpty {
      report.reattached += condition.attached.count
      report.failures += 1
      logger.critical(
        "\(condition.attached.joined(separator: ", ")): detached by others, attached again; meanwhile nothing was judged there"
      )
    }
    if !condition.pinned.isEmpty {
      report.pinRepairs += 1
      logger.error("pins were removed by others and are in place again: \(condition.pinned.joined(separator: ", "))")
    }
    for failure in condition.failures where !report.pinFaults.contains(failure) {
      report.failures += 1
      logger.critical("enforcement ends with this agent: \(failure)")
    }
    report.pinFaults = condition.failures
    await publishReport()
  }
}

/// Looks at pins and attachments from time to time: the kernel tells nobody when they go.
struct PinTicker: Service {
  let agent: Agent
  let datapath: any KernelDatapath

  func run() async throws {
    for await _ in Ticker.every(.milliseconds(500)).cancelOnGracefulShutdown() {
      await agent.note(datapath.mendPins())
    }
  }
}
