// Stands where the agent does: is told of cgroups, classifies them, puts them in force, and says when.

internal import BPF
internal import Dispatch
internal import Enforcement
internal import Kernel
internal import Policy
internal import Synchronization
internal import SystemPackage
internal import Workloads

/// What happens to a told cgroup, stage by stage, with the time at which each was done.
///
/// As in the agent: the reader's thread fills a box, one loop empties it, and whatever came meanwhile is dealt with
/// together.
final class CgroupWitness: Sendable {
  /// What is done with an event, in this order.
  static let stages = ["told", "classified", "enforced"]

  private struct State {
    /// When the first of the events that nobody has looked at yet was told.
    var toldAt: [CgroupID: UInt64] = [:]
    var told: UInt64 = 0
    var handled: UInt64 = 0
    var times: [CgroupID: [UInt64]] = [:]
    var rows: Set<CgroupID>?
    var failure: String?
  }

  /// The handler's share: it must not own the feed that calls it.
  private final class Desk: Sendable {
    let state = Mutex(State())
    let inbox = WorkloadInbox()
    let progress = DispatchSemaphore(value: 0)
    let wakes: AsyncStream<Void>
    let wake: AsyncStream<Void>.Continuation

    init() { (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1)) }

    func handle(_ events: [WorkloadEvent]) {
      let now = Clock.monotonicNanoseconds()
      state.withLock { state in
        for case .made(let id) in events { state.toldAt[id] = now }
        inbox.put(events)
        state.told += UInt64(events.count { $0 != .unknown })
      }
      wake.yield()
    }

    /// The agent's loop.
    func follow(_ tracker: consuming WorkloadTracker, _ enforcer: Enforcer) async throws {
      var tracker = tracker
      for await _ in wakes {
        let (told, toldAt) = state.withLock { state in
          defer { state.toldAt = [:] }
          return (state.told, state.toldAt)
        }
        let update = try tracker.drain(inbox)
        let classified = Clock.monotonicNanoseconds()
        if !update.changes.isEmpty {
          let (current, gone) = update.outcome
          _ = try await enforcer.update(setting: current, removing: gone)
        }
        let enforced = Clock.monotonicNanoseconds()
        state.withLock { state in
          for (id, told) in toldAt where tracker.cgroups[id] != nil { state.times[id] = [told, classified, enforced] }
          state.handled = told
        }
        progress.signal()
      }
    }
  }

  private let desk = Desk()
  private let enforcer: Enforcer
  private let events: KernelEvents

  /// Follows everything at and below `root`, where a rule labels every cgroup, and puts it in force.
  init(root: CgroupDirectory, enforcer: Enforcer, processes: Bool = false) throws {
    let rule = WorkloadRule(
      name: "all", labels: try LabelSet(parsing: "app=bench"), match: .init(cgroups: [Glob("/**")]))
    let tracker = WorkloadTracker(root: root, classifier: Classifier(rules: [rule]))
    self.enforcer = enforcer
    let desk = desk
    events = try KernelEvents.start(root: root, processes: processes) { desk.handle($0) }
    Task {
      do { try await desk.follow(tracker, enforcer) } catch {
        desk.state.withLock { $0.failure = "\(error)" }
        desk.progress.signal()
      }
    }
  }

  /// When each stage was done with a cgroup; waits until it was.
  func await(_ id: CgroupID) throws -> [UInt64] {
    while true {
      if let times = desk.state.withLock({ $0.times.removeValue(forKey: id) }) { return times }
      try waitForProgress()
    }
  }

  /// Waits until everything that was written has been put in force.
  func awaitAll() throws {
    while try desk.state.withLock({ $0.handled }) < events.counts().written { try waitForProgress() }
  }

  private func waitForProgress() throws {
    if let failure = desk.state.withLock({ $0.failure }) { throw KernelError("follow", failure, .canceled) }
    desk.progress.wait()
  }

  /// The cgroups that the kernel polices as workloads.
  func enforced() -> Set<CgroupID> {
    let (desk, enforcer) = (desk, enforcer)
    let done = DispatchSemaphore(value: 0)
    Task {
      let rows = Set(await enforcer.workloadRows.keys)
      desk.state.withLock { $0.rows = rows }
      done.signal()
    }
    done.wait()
    return desk.state.withLock { $0.rows.take() } ?? []
  }

  /// What the programs counted.
  func counts() throws -> KernelEvents.Counts { try events.counts() }

  /// Ends both; cgroups that are in force stay so.
  func stop() {
    events.stop()
    desk.wake.finish()
  }
}

extension TrackerUpdate {
  /// What the workloads are from now on, and which are none any more.
  fileprivate var outcome: (current: [WorkloadInstance], gone: [CgroupID]) {
    var latest: [CgroupID: WorkloadInstance?] = [:]
    for change in changes {
      switch change {
      case .added(let workload), .changed(let workload, _): latest.updateValue(workload, forKey: workload.cgroup)
      case .removed(let workload), .ended(let workload): latest.updateValue(nil, forKey: workload.cgroup)
      }
    }
    return (latest.values.compactMap { $0 }, latest.filter { $0.value == nil }.map(\.key))
  }
}
