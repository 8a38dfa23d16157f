// A thread of its own for what blocks or changes the thread itself; never one of Swift's pool.
internal import CLinux
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// A started thread that must be joined, or is left alone when this value goes.
package struct DedicatedThread: ~Copyable, Sendable {
  private let thread: pthread_t

  /// Carries the closure over the C boundary.
  private final class Entry {
    let name: String
    let body: () -> Void
    init(name: String, body: @escaping () -> Void) {
      self.name = name
      self.body = body
    }
  }

  private init(thread: pthread_t) { self.thread = thread }

  /// Starts a thread that runs `body` once; `name` is shown by ps, cut to 15 bytes.
  package static func start(
    _ name: String, _ body: sending @escaping () -> Void
  ) throws(KernelError) -> DedicatedThread {
    let entry = unsafe Unmanaged.passRetained(Entry(name: name, body: body))
    var thread = pthread_t()
    let run: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
      guard let argument = unsafe argument else { return nil }
      let entry = unsafe Unmanaged<Entry>.fromOpaque(argument).takeRetainedValue()
      unsafe sp_name_thread(entry.name)
      entry.body()
      return nil
    }
    let rc = unsafe pthread_create(&thread, nil, run, entry.toOpaque())
    guard rc == 0 else {
      unsafe entry.release()
      throw KernelError("start thread", name, Errno(rawValue: rc))
    }
    return DedicatedThread(thread: thread)
  }

  /// Waits until the thread has ended; called on the thread itself it only lets go.
  package consuming func join() {
    let number = thread
    discard self
    if pthread_equal(number, pthread_self()) != 0 {
      pthread_detach(number)
    } else {
      pthread_join(number, nil)
    }
  }

  deinit {
    pthread_detach(thread)
  }
}

// MARK: Running something and waiting for it

/// Runs `body` on a thread that ends with it, and waits: what it changes about its thread stays there.
package func runOnFreshThread<T: Sendable>(
  _ name: String, _ body: @escaping @Sendable () throws(KernelError) -> T
) throws(KernelError) -> T {
  try runSideBySide(name, body) { () throws(KernelError) in }.there
}

/// Runs `there` on a thread that ends with it and `here` on this one, at once, and waits for both.
///
/// What `here` throws is thrown, after `there` has ended too; else what `there` throws.
package func runSideBySide<There: Sendable, Here>(
  _ name: String, _ there: @escaping @Sendable () throws(KernelError) -> There, here: () throws(KernelError) -> Here
) throws(KernelError) -> (there: There, here: Here) {
  let carrier = Carrier<There>()
  let thread = try DedicatedThread.start(name) {
    let result: Result<There, KernelError>
    do throws(KernelError) { result = .success(try there()) } catch { result = .failure(error) }
    carrier.value.withLock { $0 = result }
  }
  let mine: Result<Here, KernelError>
  do throws(KernelError) { mine = .success(try here()) } catch { mine = .failure(error) }
  thread.join()
  guard let theirs = carrier.value.withLock({ $0 }) else { throw KernelError("run thread", name, .canceled) }
  let done = try mine.get()
  return (try theirs.get(), done)
}

/// Carries a result from one thread to another.
private final class Carrier<T: Sendable>: Sendable {
  let value = Mutex<Result<T, KernelError>?>(nil)
}
