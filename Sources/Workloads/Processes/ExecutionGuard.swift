// Holds every exec of an executable that a rule names until the process is in its labelled cgroup.
internal import Glibc
package import Kernel
package import Policy
internal import Synchronization
internal import SystemPackage

/// What the guard did so far.
package struct ExecutionGuardCounters: Sendable, Equatable {
  /// Execs that were held and decided about.
  package var held: Int
  /// Execs that were let through at once: another file by now, our own, or more than could be held.
  package var passed: Int
  /// Execs whose decision did not come in time; they were let go.
  package var expired: Int

  package init(held: Int = 0, passed: Int = 0, expired: Int = 0) {
    self.held = held
    self.passed = passed
    self.expired = expired
  }
}

/// A running guard: without it a process is moved after it began, and its first packets are its parent's.
///
/// Only the inodes of named executables are marked; every other exec on the host costs nothing. The marks follow when
/// files are replaced or directories change: an exec in the fraction of a millisecond between is placed after it
/// began, as without a guard. Rules that name no executable (only users, groups, digests) are not guarded, nor are
/// patterns that begin with `**`: see `uncovered`.
package final class ExecutionGuard: Sendable {
  /// The bounds of the guard.
  package struct Limits: Sendable {
    /// How long an exec waits at most, then it is let go.
    package var wait: Duration = .seconds(1)
    /// How many wait in this process at once, two descriptors each; more wait in the kernel.
    package var held = 128

    /// The defaults.
    package init() {}
  }

  private let shared: SharedState
  private let marks: ExecutionMarks
  private let thread: Mutex<DedicatedThread?>

  /// Marks what the patterns name and starts.
  ///
  /// With `digests` the traits have that of the executable, if it is known or at most 64 MiB large.
  ///
  /// `decide` is called on the guard's own thread, for each exec of a file whose path matches a pattern: it must hand
  /// the work on. `expired` is called with what was let go without a decision. `exempts` says which processes are
  /// never held: without it, this process and what it starts itself, for which nobody could decide.
  ///
  /// - Throws: EPERM or EINVAL where there are no permission events: place processes after they began, then.
  package static func start(
    _ patterns: [Glob], limits: Limits = Limits(), digests: ExecutableDigests? = nil,
    exempts: (@Sendable (ProcessProgram, ProcessID) -> Bool)? = nil,
    expired: @escaping @Sendable (ProcessTraits) -> Void = { _ in },
    decide: @escaping @Sendable (PendingExecution) -> Void
  ) throws(KernelError) -> ExecutionGuard {
    let permissions = try ExecutionPermissions()
    let shared = SharedState(wake: try WakeEvent())
    let marks = ExecutionMarks(permissions: permissions)
    try marks.set(patterns)
    let loop = GuardLoop(
      shared: shared, permissions: permissions, marks: marks, limits: limits, digests: digests,
      exempts: exempts ?? Self.isOurs,
      expired: expired, decide: decide)
    let thread = try DedicatedThread.start("exec-guard") { loop.run() }
    return ExecutionGuard(shared: shared, marks: marks, thread: thread)
  }

  private init(shared: SharedState, marks: ExecutionMarks, thread: consuming DedicatedThread) {
    self.shared = shared
    self.marks = marks
    self.thread = Mutex(thread)
  }

  deinit { stop() }

  /// This process and its children: they would wait for a decision that waits for them.
  private static func isOurs(_ program: ProcessProgram, _ id: ProcessID) -> Bool {
    id == .current || program.parent == .current
  }

  /// What was done so far.
  package var counters: ExecutionGuardCounters { shared.counters.withLock { $0 } }
  /// Patterns that are not guarded, with the reason, one line each.
  package var uncovered: [String] { marks.uncovered }
  /// The executables that are marked now, sorted.
  package var executables: [String] { marks.executables }

  /// Guards other patterns from now on; execs that wait keep waiting for their decision.
  package func guardOnly(_ patterns: [Glob]) throws(KernelError) { try marks.set(patterns) }

  /// Marks follow the files until the task is cancelled; `report` is told when they cannot.
  package func follow(report: @escaping @Sendable (KernelError?) -> Void) async { await marks.follow(report) }

  /// Ends it: what waits goes on.
  ///
  /// The second call does nothing.
  package func stop() {
    guard let running = thread.withLock({ $0.take() }) else { return }
    shared.isStopped.store(true, ordering: .releasing)
    shared.wakeUp()
    running.join()
    // With the last reference the group closes, and with it all marks go and what still waits in the kernel goes on.
    marks.end()
  }
}

/// What the guard's thread and everybody else share.
final class SharedState: Sendable {
  let wake: WakeEvent
  let isStopped = Atomic<Bool>(false)
  let counters = Mutex(ExecutionGuardCounters())

  init(wake: WakeEvent) { self.wake = wake }

  func wakeUp() { wake.signal() }
}

/// The loop of the guard's thread; belongs to that thread alone.
private final class GuardLoop {
  private let shared: SharedState
  private let permissions: ExecutionPermissions
  private let marks: ExecutionMarks
  private let limits: ExecutionGuard.Limits
  private let digests: ExecutableDigests?
  private let exempts: @Sendable (ProcessProgram, ProcessID) -> Bool
  private let expired: @Sendable (ProcessTraits) -> Void
  private let decide: @Sendable (PendingExecution) -> Void
  private let accounts = AccountNames()
  /// In the order of their deadlines.
  private var waiting: [(entry: HeldEntry, traits: ProcessTraits)] = []

  init(
    shared: SharedState, permissions: ExecutionPermissions, marks: ExecutionMarks, limits: ExecutionGuard.Limits,
    digests: ExecutableDigests?, exempts: @escaping @Sendable (ProcessProgram, ProcessID) -> Bool,
    expired: @escaping @Sendable (ProcessTraits) -> Void, decide: @escaping @Sendable (PendingExecution) -> Void
  ) {
    self.shared = shared
    self.permissions = permissions
    self.marks = marks
    self.limits = limits
    self.digests = digests
    self.exempts = exempts
    self.expired = expired
    self.decide = decide
  }

  func run() {
    while !shared.isStopped.load(ordering: .acquiring) {
      waitForEvents()
      waiting.removeAll { $0.entry.hasAnswer }
      if letGoOfLate() { drain() }
      let room = limits.held - waiting.count
      guard room > 0 else { continue }
      do throws(KernelError) {
        _ = try permissions.read(upTo: room) { consider($0) }
      } catch {
        // Nothing can be read for lack of descriptors or memory: what could not be delivered was refused by the kernel.
        shared.counters.withLock { $0.passed += 1 }
      }
    }
    for (entry, _) in waiting { entry.allow() }
  }

  private func waitForEvents() {
    // When all places are taken only an answer or the first deadline makes room.
    let isFull = waiting.count >= limits.held
    var requests = (
      pollfd(fd: isFull ? -1 : permissions.descriptor, events: Int16(POLLIN), revents: 0),
      pollfd(fd: shared.wake.descriptor, events: Int16(POLLIN), revents: 0)
    )
    var timeout: Int32 = -1
    if let first = waiting.first?.entry.deadline {
      let now = Clock.monotonicNanoseconds()
      timeout = first > now ? Int32(clamping: (first - now) / 1_000_000 + 1) : 0
    }
    _ = unsafe withUnsafeMutableBytes(of: &requests) { bytes in
      unsafe poll(bytes.baseAddress?.assumingMemoryBound(to: pollfd.self), 2, timeout)
    }
    if requests.1.revents != 0 { shared.wake.clear() }
  }

  /// Whether anybody waited too long; then all go, since who decides is behind.
  private func letGoOfLate() -> Bool {
    guard let first = waiting.first, first.entry.deadline <= Clock.monotonicNanoseconds() else { return false }
    for (entry, traits) in waiting where entry.allow() {
      shared.counters.withLock { $0.expired += 1 }
      expired(traits)
    }
    waiting = []
    return true
  }

  /// Lets everything go that waits in the kernel, which has waited as long.
  private func drain() {
    var count = 0
    repeat {
      count = (try? permissions.read(upTo: 16) { permissions.allow($0.file) }) ?? 0
      shared.counters.withLock { $0.expired += count }
    } while count > 0
  }

  private func consider(_ execution: consuming HeldExecution) {
    guard let traits = traits(of: execution) else {
      permissions.allow(execution.file)
      shared.counters.withLock { $0.passed += 1 }
      return
    }
    let (seconds, attoseconds) = limits.wait.components
    let wait = UInt64(clamping: seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    let shared = shared
    let entry = HeldEntry(
      execution, deadline: Clock.monotonicNanoseconds() + wait, permissions: permissions,
      answered: { shared.wakeUp() })
    waiting.append((entry, traits))
    shared.counters.withLock { $0.held += 1 }
    decide(PendingExecution(entry, traits))
  }

  /// What the process is about to be; nil if that is nobody's business.
  private func traits(of execution: borrowing HeldExecution) -> ProcessTraits? {
    // The pattern first: only paths that the operator meant are looked at, since a lookup may wait for a file server.
    guard let program = try? execution.process.program(), !exempts(program, execution.process.id),
      let path = execution.file.target?.description, marks.matches(path), let file = FileIdentity.of(execution.file),
      let executable = ProcessReader.hostPath(path, file, sharesMounts: program.sharesMounts)
    else { return nil }
    var traits = ProcessTraits(
      executable: executable, uid: program.user, user: accounts.user(program.user), gid: program.group,
      group: accounts.group(program.group))
    traits.digest = digests?.digest(
      of: file, mounts: "/proc/\(execution.process.id)/mountinfo", quickSize: 64 << 20
    ) { () throws(KernelError) in try execution.file.duplicate() }
    return traits
  }
}
