// Notices at once when somebody may have changed the rules of a namespace; nothing is polled.
internal import Glibc
internal import Kernel
internal import Synchronization
internal import SystemPackage

/// A thread that calls back when filter tables of watched namespaces may have changed.
///
/// nf_tables announces every change in its namespace. ip_tables announces nothing: what is noticed there is that a
/// program has let go of the xtables lock, which every iptables-legacy that changes something holds. One that has another
/// /run (in a container), or none of iptables' lock at all, goes unnoticed: the agent also looks from time to time.
final class NetfilterWatch: Sendable {
  /// What may have changed.
  enum Change: Sendable {
    /// nf_tables in this namespace.
    case nftables(NetworkNamespace)
    /// ip_tables, in any namespace.
    case legacy
  }

  private typealias Watched = [NetworkNamespace.Identity: (namespace: NetworkNamespace, monitor: RulesetMonitor)]

  /// What the thread waits for beside its wake-up; shared with it, so that either may go first.
  private final class Shared: Sendable {
    let wake: WakeEvent
    let watched = Mutex<Watched>([:])
    let isOver = Atomic(false)

    init() throws(KernelError) { wake = try WakeEvent() }
  }

  private let shared: Shared
  private let thread: Mutex<DedicatedThread?>
  private let lock: InotifyThread

  private init(_ shared: Shared, _ thread: consuming DedicatedThread, _ lock: InotifyThread) {
    self.shared = shared
    self.thread = Mutex(thread)
    self.lock = lock
  }

  deinit { stop() }

  /// Starts it without namespaces; `changed` runs on threads of this object and must not wait for it to stop.
  ///
  /// Our own changes are told too. `lockFile` is made if it is missing, as iptables would.
  static func start(
    lockFile: FilePath = "/run/xtables.lock", _ changed: @escaping @Sendable (Change) -> Void
  ) throws(DatapathError) -> NetfilterWatch {
    do throws(KernelError) {
      let shared = try Shared()
      let lock = try InotifyThread.start(
        "xtables-lock", prepare: { (paths) throws(KernelError) in try watchLock(lockFile, paths) },
        handle: { paths, events in
          // The file was removed or replaced: its successor is the lock now.
          if events.contains(where: { $0.mask & UInt32(IN_IGNORED) != 0 }) { try? watchLock(lockFile, paths) }
          changed(.legacy)
        })
      let thread = try DedicatedThread.start("netfilter") { wait(shared, changed) }
      return NetfilterWatch(shared, thread, lock)
    } catch {
      throw DatapathError("watch", "packet filters", underlying: error)
    }
  }

  /// Watches these namespaces and no others.
  ///
  /// They are held until the next call. Those that cannot be watched are in the result; the others are.
  func watch(_ namespaces: [NetworkNamespace]) -> [DatapathError] {
    var failures: [DatapathError] = []
    let before = shared.watched.withLock { $0 }
    var after: Watched = [:]
    for namespace in namespaces {
      do throws(KernelError) {
        after[namespace.identity] =
          if let known = before[namespace.identity] { known } else { (namespace, try RulesetMonitor(in: namespace)) }
      } catch {
        failures.append(DatapathError("watch", namespace.description, underlying: error, remedy: error.remedy))
      }
    }
    shared.watched.withLock { $0 = after }
    shared.wake.signal()
    return failures
  }

  /// Ends both threads and waits for them; the second call does nothing.
  func stop() {
    guard let running = thread.withLock({ $0.take() }) else { return }
    shared.isOver.store(true, ordering: .releasing)
    shared.wake.signal()
    running.join()
    lock.stop()
  }

  // MARK: The threads

  private static func watchLock(_ file: FilePath, _ paths: WatchedPaths) throws(KernelError) {
    _ = try OwnedDescriptor.open(file, flags: O_RDONLY | O_CREAT, mode: 0o600)
    try paths.add(file, mask: UInt32(IN_CLOSE) | UInt32(IN_DELETE_SELF) | UInt32(IN_MOVE_SELF))
  }

  private static func wait(_ shared: Shared, _ changed: @Sendable (Change) -> Void) {
    while !shared.isOver.load(ordering: .acquiring) {
      let watched = Array(shared.watched.withLock { $0 }.values)
      var requests = watched.map { pollfd(fd: $0.monitor.descriptor, events: Int16(POLLIN), revents: 0) }
      requests.append(pollfd(fd: shared.wake.descriptor, events: Int16(POLLIN), revents: 0))
      _ = unsafe requests.withUnsafeMutableBufferPointer { unsafe poll($0.baseAddress, nfds_t($0.count), -1) }
      if requests[watched.count].revents != 0 { shared.wake.clear() }
      for (place, one) in watched.enumerated() where requests[place].revents != 0 {
        if one.monitor.readChanges() { changed(.nftables(one.namespace)) }
      }
    }
  }
}
