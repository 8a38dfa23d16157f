// Rules of the netfilter datapath where processes live: in namespaces as they appear, and again where others took them out.
internal import Enforcement
internal import Kernel
internal import Logging
internal import ServiceLifecycle
internal import Workloads

extension Agent {
  /// Writes rules into the namespaces of all policed processes; what cannot be written is an error that `status` shows.
  func policeNamespaces() {
    guard let rules else { return }
    noteUnpoliced(police(by: rules))
  }

  /// Returns what could not be written.
  private func police(by rules: NetfilterDatapath) -> [String] {
    let living: [NetworkNamespace]
    do throws(KernelError) {
      living = try NetworkNamespace.ofProcesses(below: tracker.root)
    } catch {
      return ["namespaces: \(error)"]
    }
    rules.forget(except: living)
    var failures: [String] = []
    for namespace in living {
      do throws(DatapathError) {
        try rules.police([namespace])
      } catch {
        failures.append("\(error)")
      }
    }
    return failures
  }

  private func noteUnpoliced(_ failures: [String]) {
    for failure in failures where !report.unpoliced.contains(failure) {
      report.failures += 1
      logger.error("not enforced: \(failure)")
    }
    report.unpoliced = failures
  }

  /// Writes again what others have taken out or moved, and what could not be written before.
  func repairRules() async {
    guard let rules else { return }
    let unwritten = police(by: rules)
    let repair = rules.repair()
    for repaired in repair.done {
      report.repairs += 1
      logger.warning("rules were changed by others and are in place again: \(repaired)")
    }
    noteUnpoliced(unwritten + repair.failures.map { "\($0)" })
    await publishReport()
  }
}

/// Has rules looked at from time to time where nobody tells when they change, and namespaces that no event led to.
struct RulesTicker: Service {
  let rules: NetfilterDatapath
  let changes: Changes

  func run() async throws {
    for await _ in Ticker.every(.seconds(10)).cancelOnGracefulShutdown() {
      rules.suspectTheSilent()
      changes.announceRules()
    }
  }
}
