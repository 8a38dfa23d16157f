// How far a run is, on standard error: a bar that moves on a terminal, a line now and then in a log.

internal import Benchmark
internal import Glibc
internal import Kernel

/// Counts steps and shows them.
final class Progress {
  private let total: Int
  private var done = 0
  private let began = Clock.monotonicNanoseconds()
  private var shownAt: UInt64 = 0
  private var shownTenth = -1
  private let isTerminal = isatty(2) == 1

  /// `total` is how many steps there will be.
  init(total: Int) { self.total = max(total, 1) }

  /// One more step of a part.
  func step(_ part: String, _ count: Int = 1) {
    done = min(done + count, total)
    let now = Clock.monotonicNanoseconds()
    if isTerminal {
      // Ten times a second is enough for anybody, and costs nothing.
      guard now - shownAt > 100_000_000 || done == total else { return }
      shownAt = now
      writeError("\r" + bar(part, now) + "\u{1b}[K")
    } else if done * 10 / total > shownTenth {
      shownTenth = done * 10 / total
      writeError(bar(part, now) + "\n")
    }
  }

  /// Ends the line.
  func finish() {
    if isTerminal { writeError("\r\u{1b}[K") }
  }

  private func bar(_ part: String, _ now: UInt64) -> String {
    let share = Double(done) / Double(total)
    let full = Int(share * 30)
    let filled = String(repeating: "#", count: full) + String(repeating: ".", count: 30 - full)
    let spent = Double(now - began) / 1e9
    let left = share > 0.02 ? Int(spent / share - spent) : nil
    let time = left.map { ", about \($0 / 60):\($0 % 60 < 10 ? "0" : "")\($0 % 60) left" } ?? ""
    return "[\(filled)] \((share * 100).fixed(0)) % \(part)\(time)"
  }
}
