// Turns records of the tracepoint programs into events, and their counted losses into `.unknown`.
internal import BPF
internal import CDatapath
internal import Kernel
internal import Synchronization

/// What the ring's thread calls.
final class EventReader: Sendable {
  private let root: CgroupDirectory
  private let statistics: PerCPUMap<UInt32, sp_event_stats>
  private let handler: @Sendable ([WorkloadEvent]) -> Void
  /// The losses that were told; only the ring's thread changes it.
  private let toldLost = Atomic<UInt64>(0)

  init(
    root: CgroupDirectory, statistics: consuming PerCPUMap<UInt32, sp_event_stats>,
    handler: @escaping @Sendable ([WorkloadEvent]) -> Void
  ) {
    self.root = root
    self.statistics = statistics
    self.handler = handler
  }

  /// Hands over what a batch of records tells.
  ///
  /// The count of losses is looked at after each batch, and that is enough to find every one: the programs count a loss
  /// while the ring is full, so that a batch is still to come, or put a record of it behind.
  func handle(_ records: [sp_event]) {
    awaitArrivals(records)
    var events: [WorkloadEvent] = []
    events.reserveCapacity(records.count + 1)
    for record in records { events.append(EventRows.event(record)) }
    if isNewLoss(), !events.contains(.unknown) { events.append(.unknown) }
    handler(events)
  }

  /// Tells that everything must be looked at.
  func tellUnknown() { handler([.unknown]) }

  func counts() throws(BPFError) -> KernelEvents.Counts {
    let values = try statistics.values(for: 0) ?? []
    return values.reduce(into: KernelEvents.Counts(written: 0, lost: 0)) { sum, cpu in
      sum.written += cpu.written
      sum.lost += cpu.lost
    }
  }

  /// Whoever hears of a new cgroup can open it.
  private func awaitArrivals(_ records: [sp_event]) {
    guard records.contains(where: { EventRows.kind($0) == .SP_EVENT_MADE }) else { return }
    var removed: Set<UInt64> = []
    for record in records where EventRows.kind(record) == .SP_EVENT_REMOVED { removed.insert(record.cgroup) }
    for record in records where EventRows.kind(record) == .SP_EVENT_MADE && !removed.contains(record.cgroup) {
      root.awaitArrival(of: CgroupID(rawValue: record.cgroup), in: CgroupID(rawValue: record.parent))
    }
  }

  /// What cannot be asked counts as a loss.
  private func isNewLoss() -> Bool {
    guard let lost = try? counts().lost else { return true }
    return toldLost.exchange(lost, ordering: .relaxed) != lost
  }
}
