// A thread of its own for what blocks or changes the thread itself; never one of Swift's pool.
internal import CLinux
internal import Glibc
internal import SystemPackage

/// A started thread that must be joined, or is left alone when this value goes.
public struct DedicatedThread: ~Copyable, Sendable {
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
  public static func start(
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
  public consuming func join() {
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
