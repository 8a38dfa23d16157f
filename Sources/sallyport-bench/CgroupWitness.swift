// Stands where the agent does: is told of cgroups, classifies them, and says when.

internal import BPF
internal import Dispatch
internal import Glibc
internal import Kernel
internal import Policy
internal import Synchronization
internal import SystemPackage
internal import Workloads

/// What happens to a told cgroup, stage by stage, with the time at which each was done.
final class CgroupWitness: Sendable {
  /// What is done with an event, in this order; a later stage that enforces belongs behind the last.
  static let stages = ["told", "classified"]

  private struct State {
    var tracker: WorkloadTracker
    var times: [CgroupID: [UInt64]] = [:]
    var events: UInt64 = 0
    var readerNanoseconds: UInt64 = 0
  }

  /// The handler's share: it must not own the feed that calls it.
  private final class Desk: Sendable {
    let state: Mutex<State>
    let progress = DispatchSemaphore(value: 0)

    init(_ state: consuming State) { self.state = Mutex(state) }

    func handle(_ events: [WorkloadEvent]) {
      let told = Clock.monotonicNanoseconds()
      state.withLock { state in
        // A look at everything fails only when the root is gone, and then the run fails elsewhere.
        _ = try? state.tracker.apply(events)
        let classified = Clock.monotonicNanoseconds()
        for case .made(let id) in events where state.tracker.cgroups[id] != nil {
          state.times[id] = [told, classified]
        }
        state.events += UInt64(events.count { $0 != .unknown })
        state.readerNanoseconds = threadNanoseconds()
      }
      progress.signal()
    }

    private func threadNanoseconds() -> UInt64 {
      var time = timespec()
      unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
  }

  private let desk: Desk
  private let events: KernelEvents

  /// Follows everything at and below `root`, where a rule labels every cgroup.
  init(root: CgroupDirectory, processes: Bool = false) throws {
    let rule = WorkloadRule(
      name: "all", labels: try LabelSet(parsing: "app=bench"), match: .init(cgroups: [Glob("/**")]))
    let desk = Desk(State(tracker: WorkloadTracker(root: root, classifier: Classifier(rules: [rule]))))
    self.desk = desk
    events = try KernelEvents.start(root: root, processes: processes) { desk.handle($0) }
  }

  /// When each stage was done with a cgroup; waits until it was.
  func await(_ id: CgroupID) -> [UInt64] {
    while true {
      if let times = desk.state.withLock({ $0.times.removeValue(forKey: id) }) { return times }
      desk.progress.wait()
    }
  }

  /// Waits until everything that was written has been handled.
  func awaitAll() {
    while let written = try? events.counts().written, desk.state.withLock({ $0.events }) < written {
      desk.progress.wait()
    }
  }

  /// What the programs counted.
  func counts() throws -> KernelEvents.Counts { try events.counts() }

  /// Processor time of the thread that reads and classifies.
  var readerMicroseconds: Double { Double(desk.state.withLock { $0.readerNanoseconds }) / 1000 }

  func stop() { events.stop() }
}

/// Cgroups made and removed by the shortest way.
struct RawCgroups {
  private let location: String

  init(_ parent: CgroupDirectory) throws {
    location = (parent.hierarchy.location(of: parent.path) ?? parent.path).string
  }

  /// Makes number so-and-so and returns the kernel's number for it.
  func make(_ number: Int) throws -> CgroupID {
    let path = "\(location)/c\(number)"
    guard unsafe mkdir(path, 0o755) == 0 else { throw KernelError("make", path, Errno(rawValue: errno)) }
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { throw KernelError("stat", path, Errno(rawValue: errno)) }
    return CgroupID(rawValue: UInt64(status.st_ino))
  }

  func remove(_ number: Int) throws {
    let path = "\(location)/c\(number)"
    guard unsafe rmdir(path) == 0 else { throw KernelError("remove", path, Errno(rawValue: errno)) }
  }
}
