// Attempts that touch the kernel or wait for others: each on a thread of its own, none waited for beyond its limit.
internal import BPF
package import Kernel
internal import Synchronization

/// One attempt.
package struct Probe: Sendable {
  /// What it is, for who watches.
  package let name: String
  let limit: Duration
  /// Runs it and says what is to be noted.
  let attempt: @Sendable () -> Note
  /// What is to be noted when it took too long.
  let late: @Sendable (_ after: Duration) -> Note

  typealias Note = @Sendable (inout ProbeResults) -> Void

  /// An attempt whose result goes to one place; what it throws is why there is none.
  init<T: Sendable>(
    _ name: String, within limit: Duration, _ place: @escaping @Sendable (inout ProbeResults, Look<T>) -> Void,
    _ body: @escaping @Sendable () throws -> T
  ) {
    self.name = name
    self.limit = limit
    attempt = {
      let look: Look<T>
      do { look = .seen(try body()) } catch { look = .unseen(Self.words(error)) }
      return { place(&$0, look) }
    }
    late = { limit in { place(&$0, .unseen("\(name): \(Finding.late) \(limit)")) } }
  }

  /// Why an attempt said nothing; the check says what to do about it.
  private static func words(_ error: any Error) -> String {
    switch error {
    case let error as KernelError: "\(error.operation) \(error.subject): \(KernelError.describe(error.errno))"
    case let error as BPFError: "\(error.operation) \(error.subject): \(KernelError.describe(error.errno))"
    default: "\(error)"
    }
  }

  /// What has come in, by the number of the probe.
  private final class Board: Sendable {
    let notes = Mutex<[Int: Note]>([:])
  }

  /// Runs all of them at once, and returns when each has ended or was given up.
  ///
  /// `total` bounds all of it; the limit of each is meant for the usual 10 seconds, and longer where there is more time.
  /// `progress` is told the names of those that still run, each time one has ended. One that was
  /// given up goes on by itself: what it holds in the kernel goes with this process.
  package static func run(
    _ probes: [Probe], within total: Duration, progress: ([String]) -> Void = { _ in }
  ) throws(KernelError) -> ProbeResults {
    let board = Board()
    let news = try WakeEvent()
    let begin = ContinuousClock.now
    var results = ProbeResults()
    var waiting = Set(probes.indices)
    for (index, probe) in probes.enumerated() {
      _ = try DedicatedThread.start("probe") {
        let note = probe.attempt()
        board.notes.withLock { $0[index] = note }
        news.signal()
      }
    }
    let stretch = max(total / .seconds(10), 1)
    func deadline(_ index: Int) -> Duration { min(probes[index].limit * stretch, total) }
    while !waiting.isEmpty {
      progress(waiting.sorted().map { probes[$0].name })
      let next = waiting.map(deadline).min() ?? total
      let elapsed = ContinuousClock.now - begin
      try news.wait(atMost: max(next - elapsed, .zero))
      news.clear()
      let arrived = board.notes.withLock { notes in
        defer { notes = [:] }
        return notes
      }
      for (index, note) in arrived where waiting.remove(index) != nil { note(&results) }
      let now = ContinuousClock.now - begin
      for index in waiting where now >= deadline(index) {
        waiting.remove(index)
        probes[index].late(deadline(index))(&results)
      }
    }
    progress([])
    return results
  }
}
