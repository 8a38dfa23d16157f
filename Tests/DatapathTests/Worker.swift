// A thread that stays in one cgroup and one network namespace and does what it is given: entering a cgroup takes tens of
// milliseconds, too long to do for every packet.
import Dispatch
import Kernel
import Synchronization
import TestSupport

final class Worker: Sendable {
  private struct State {
    var job: (@Sendable () -> Void)?
  }
  private let state = Mutex(State())
  private let request = DispatchSemaphore(value: 0)
  private let answer = DispatchSemaphore(value: 0)

  /// Starts the thread; it runs until `stop()`.
  static func start(_ sandbox: Sandbox, in cgroup: CgroupDirectory, namespace: NetworkNamespace) throws -> Worker {
    let worker = Worker()
    _ = try DedicatedThread.start("worker") {
      try? sandbox.run(in: cgroup, namespace: namespace) { worker.serve() }
      worker.answer.signal()
    }
    return worker
  }

  private func serve() {
    while true {
      request.wait()
      let job = state.withLock { state in
        defer { state.job = nil }
        return state.job
      }
      guard let job else { return }
      job()
      answer.signal()
    }
  }

  /// Does `body` on the thread and gives what it gives.
  func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) throws -> T {
    let outcome = Outcome<T>()
    state.withLock { $0.job = { outcome.value.withLock { $0 = Result { try body() } } } }
    request.signal()
    answer.wait()
    guard let result = outcome.value.withLock({ $0 }) else { throw WorkerIsGone() }
    return try result.get()
  }

  private final class Outcome<T: Sendable>: Sendable {
    let value = Mutex<Result<T, any Error>?>(nil)
  }

  /// Ends the thread; it has left its cgroup when this returns.
  func stop() {
    request.signal()
    answer.wait()
  }
}

struct WorkerIsGone: Error {}
