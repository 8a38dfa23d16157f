// Rules of the netfilter datapath where processes live: in namespaces as they appear, and again where others took them out.
internal import Enforcement
internal import Kernel
internal import Logging
internal import ServiceLifecycle
internal import Workloads

extension Agent {
  /// Writes rules into the namespaces of all policed processes; what cannot be written is an error that `status` shows.
  func policeNamespaces() {
    noteUnpoliced(datapath.policeProcesses(below: tracker.root))
  }

  private func noteUnpoliced(_ errors: [DatapathError]) {
    let failures = errors.map(\.description)
    for failure in failures where !report.unpoliced.contains(failure) {
      report.failures += 1
      logger.error("not enforced: \(failure)")
    }
    report.unpoliced = failures
  }

  /// Writes again what others have taken out or moved, and what could not be written before.
  func repairRules() async {
    let unwritten = datapath.policeProcesses(below: tracker.root)
    let repair = datapath.repairRules()
    for repaired in repair.done {
      report.repairs += 1
      logger.warning("rules were changed by others and are in place again: \(repaired)")
    }
    noteUnpoliced(unwritten + repair.failures)
    await publishReport()
  }
}

/// Has rules looked at from time to time where nobody tells when they change, and namespaces that no event led to.
struct RulesTicker: Service {
  let datapath: any KernelDatapath
  let interval: Duration
  let changes: Changes

  func run() async throws {
    for await _ in Ticker.every(interval).cancelOnGracefulShutdown() {
      datapath.suspectTheSilent()
      changes.announceRules()
    }
  }
}
