// Blocking work that runs beside a test on a thread of its own.
internal import Dispatch
internal import Kernel
internal import Synchronization
internal import SystemPackage

/// How far a background load has come, and whether it may go on.
final class Progress: Sendable {
  private let state = Mutex((count: 0, isOver: false))
  var count: Int { state.withLock { $0.count } }
  func end() { state.withLock { $0.isOver = true } }

  /// Counts one more round; false if there is to be none.
  func next() -> Bool {
    state.withLock { state in
      state.count += 1
      return !state.isOver
    }
  }
}

/// Blocking work on a thread of its own, which has begun when this is made: no thread of Swift's pool waits for it.
final class Background<Result: Sendable>: Sendable {
  let progress = Progress()
  private let outcome = Mutex<Swift.Result<Result, any Error>?>(nil)
  private let ended = DispatchSemaphore(value: 0)

  init(_ body: @escaping @Sendable (Progress) throws -> Result) throws {
    _ = try DedicatedThread.start("load") { [self] in
      let result = Swift.Result { try body(progress) }
      outcome.withLock { $0 = result }
      ended.signal()
    }
  }

  /// Ends the work and waits for its result.
  func finish() throws -> Result {
    progress.end()
    ended.wait()
    guard let result = outcome.withLock({ $0 }) else { throw Errno.canceled }
    return try result.get()
  }
}
