// Which program a process ran at a moment, also when it lived too short to be looked at.

internal import Synchronization

/// A bounded memory of starts and ends of programs, as the kernel tells them; the oldest start is forgotten first.
///
/// It is written by whoever hears of processes and read by whoever names them, on any threads. Times are nanoseconds of
/// the monotonic clock. A process is known from its start to its end, so a later one of the same number never gets its
/// path, and an earlier one never gets a later one's.
package final class ProgramStarts: Sendable {
  /// The program of a process at a moment.
  struct Program: Equatable {
    /// When it was started.
    var start: UInt64
    /// Its path; nil if that could not be told.
    var path: String?
    /// Whether the process has neither ended nor started another one since.
    var isCurrent: Bool
  }

  private struct Span {
    var start: UInt64
    var end: UInt64?
    var path: String?
  }

  private struct Memory {
    var spans: [UInt32: [Span]] = [:]
    /// What is in `spans`, oldest first from `next` on.
    var order: [(pid: UInt32, start: UInt64)] = []
    var next = 0

    mutating func forget(_ entry: (pid: UInt32, start: UInt64)) {
      spans[entry.pid]?.removeAll { $0.start == entry.start }
      if spans[entry.pid]?.isEmpty == true { spans[entry.pid] = nil }
    }
  }

  private let memory = Mutex(Memory())
  private let limit: Int

  /// Remembers at most `limit` starts.
  package init(limit: Int = 8192) { self.limit = max(limit, 1) }

  /// A process began to run a program; `path` nil = it is not known which.
  package func note(pid: UInt32, time: UInt64, path: String?) {
    memory.withLock { memory in
      let entry = (pid: pid, start: time)
      if memory.order.count < limit {
        memory.order.append(entry)
      } else {
        memory.forget(memory.order[memory.next])
        memory.order[memory.next] = entry
        memory.next = (memory.next + 1) % limit
      }
      memory.spans[pid, default: []].append(Span(start: time, end: nil, path: path))
    }
  }

  /// A process ended.
  package func noteEnd(pid: UInt32, time: UInt64) {
    memory.withLock { memory in
      guard let last = memory.spans[pid]?.indices.last else { return }
      if memory.spans[pid]?[last].end == nil { memory.spans[pid]?[last].end = time }
    }
  }

  /// Forgets everything: starts and ends were lost, or are not told from now on.
  package func forgetAll() { memory.withLock { $0 = Memory() } }

  /// What the process with this number ran at a time; nil if nothing is known of it.
  func program(of pid: UInt32, at time: UInt64) -> Program? {
    memory.withLock { memory in
      guard let spans = memory.spans[pid], let index = spans.lastIndex(where: { $0.start <= time }) else { return nil }
      guard spans[index].end.map({ time <= $0 }) ?? true else { return nil }
      let span = spans[index]
      return Program(start: span.start, path: span.path, isCurrent: index == spans.count - 1 && span.end == nil)
    }
  }
}
