// A thread that lives in one cgroup and visits network namespaces: what it opens belongs to that cgroup.
internal import CLinux
internal import Dispatch
internal import Glibc
package import Kernel
internal import Synchronization
package import SystemPackage

/// One inhabitant of a policed sandbox.
///
/// Work is handed to it and waited for; it never leaves its cgroup meanwhile.
///
/// One thread for all the work of a cgroup, because moving a thread costs the kernel a grace period.
package final class PolicedThread: Sendable {
  /// Where it lives.
  package let cgroup: CgroupDirectory
  /// The namespace in which it works when no other is named.
  package let home: NetworkNamespace

  /// What is done after each piece of work, before whoever waits for it goes on.
  private let afterwards: @Sendable () -> Void

  private struct Job: Sendable {
    let work: @Sendable () -> Void
    let done: DispatchSemaphore
  }

  private let jobs = Mutex<[Job]>([])
  private let isOver = Mutex(false)
  private let arrived = DispatchSemaphore(value: 0)
  private let ended = DispatchSemaphore(value: 0)

  /// Starts the thread; `cgroup` must be threaded.
  package init(
    in cgroup: CgroupDirectory, home: NetworkNamespace, afterwards: @escaping @Sendable () -> Void = {}
  ) throws {
    self.cgroup = cgroup
    self.home = home
    self.afterwards = afterwards
    let root = try cgroup.hierarchy.root()
    _ = try DedicatedThread.start("policed") { [self] in
      while true {
        arrived.wait()
        var job = jobs.withLock { $0.isEmpty ? nil : $0.removeFirst() }
        if let done = job?.done {
          job?.work()
          // What the work holds, sockets above all, is given back before anybody goes on.
          job = nil
          done.signal()
        } else if isOver.withLock({ $0 }) {
          break
        }
      }
      // Out again before the thread ends: a dying thread would keep the directory busy.
      try? root.addThread(currentThread())
      ended.signal()
    }
    do { try run { try cgroup.addThread(currentThread()) } } catch {
      stop()
      throw error
    }
  }

  /// Runs `body` on the thread, in a namespace, and waits for it.
  package func run<T: Sendable>(
    in namespace: NetworkNamespace? = nil, _ body: @escaping @Sendable () throws -> T
  ) throws -> T {
    let entered = (namespace ?? home).descriptor.raw
    let done = DispatchSemaphore(value: 0)
    let outcome = SharedResult<T>()
    jobs.withLock {
      let work: @Sendable () -> Void = {
        let rc = sp_setns(entered, sp_clone_newnet())
        outcome.value.withLock { value in
          value = Result {
            try check(rc, "enter", "network namespace")
            return try body()
          }
        }
      }
      $0.append(Job(work: work, done: done))
    }
    arrived.signal()
    done.wait()
    afterwards()
    guard let result = outcome.value.withLock({ $0 }) else { throw Errno.canceled }
    return try result.get()
  }

  /// Runs `body` on the thread and says which error the kernel gave; nil if it succeeded.
  package func refusal(
    in namespace: NetworkNamespace? = nil, _ body: @escaping @Sendable () throws -> Void
  ) throws -> Errno? {
    do {
      try run(in: namespace, body)
      return nil
    } catch let error as Errno {
      return error
    }
  }

  /// Ends the thread and waits until it has left the cgroup.
  package func stop() {
    isOver.withLock { $0 = true }
    arrived.signal()
    ended.wait()
  }
}

/// Carries a result from one thread to another.
private final class SharedResult<T: Sendable>: Sendable {
  let value = Mutex<Result<T, any Error>?>(nil)
}
