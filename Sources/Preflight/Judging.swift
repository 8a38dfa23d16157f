// Checks judged one after the other, none waited for for ever: a file may hang on a network or on a lock of the kernel.
internal import Kernel
internal import Synchronization

/// All checks of a survey on their way to findings.
final class Judging: Sendable {
  private let checks: [Check]
  private let host: HostView
  private let results: ProbeResults
  private let findings: Mutex<[Finding]>

  init(checks: [Check], host: HostView, results: ProbeResults) {
    self.checks = checks
    self.host = host
    self.results = results
    findings = Mutex([])
  }

  /// Returns a finding for each check, in their order.
  ///
  /// One that takes longer than `patience`, or is not done at `end`, is unknown; those after it are judged all the same.
  func run(until end: ContinuousClock.Instant, patience: Duration) throws(KernelError) -> [Finding] {
    let news = try WakeEvent()
    try start(news)
    while true {
      let done = findings.withLock { $0.count }
      guard done < checks.count else { return findings.withLock { $0 } }
      let left = max(end - ContinuousClock.now, .zero)
      _ = try news.wait(atMost: min(patience, left))
      news.clear()
      // Whoever notes a finding first has judged it.
      let isStuck = findings.withLock { findings in
        guard findings.count == done else { return false }
        let why =
          left > .zero
          ? "what it reads did not answer within \(min(patience, left))" : "the time was over before it was looked at"
        findings.append(.unknown(why, how: checks[done].method, remedy: "give it longer: --timeout 60"))
        return true
      }
      if isStuck { try start(news) }
    }
  }

  /// Judges what has no finding yet on a thread of its own, which ends when another one has overtaken it.
  private func start(_ news: WakeEvent) throws(KernelError) {
    _ = try DedicatedThread.start("checks") {
      while true {
        let next = self.findings.withLock { $0.count }
        guard next < self.checks.count else { return }
        let finding = self.checks[next].find(in: self.host, self.results)
        let isOvertaken = self.findings.withLock { findings in
          guard findings.count == next else { return true }
          findings.append(finding)
          return false
        }
        guard !isOvertaken else { return }
        if next + 1 == self.checks.count { news.signal() }
      }
    }
  }
}
