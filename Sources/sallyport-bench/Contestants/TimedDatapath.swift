// A datapath that passes everything on and remembers how long each step took.

internal import Enforcement
internal import Kernel
internal import Policy
internal import Synchronization

/// Takes the time of each step of the datapath that it stands before.
///
/// An actor's datapath is called by one thread at a time; the steps are read by whoever awaited the change.
final class TimedDatapath: Datapath {
  /// Steps by table, as one change made them.
  struct Steps: Sendable {
    var nanoseconds: [String: UInt64] = [:]

    /// Writing alone: the wait for readers of the former slot left out.
    var writing: UInt64 { nanoseconds.filter { !$0.key.hasPrefix("no table") }.values.reduce(0, +) }
    var waiting: UInt64 { nanoseconds.filter { $0.key.hasPrefix("no table") }.values.reduce(0, +) }
  }

  private let base: any Datapath
  private let steps = Mutex(Steps())

  init(_ base: any Datapath) { self.base = base }

  /// The steps since the last call.
  func take() -> Steps {
    steps.withLock { held in
      defer { held = Steps() }
      return held
    }
  }

  var holdings: Holdings { base.holdings }
  var limits: DatapathLimits { base.limits }
  var pins: String { base.pins }

  func contents(of slot: Slot) throws(DatapathError) -> SlotContents { try base.contents(of: slot) }
  func current() throws(DatapathError) -> Holdings { try base.current() }

  func apply(_ change: TableChange) throws(DatapathError) {
    let began = Clock.monotonicNanoseconds()
    try base.apply(change)
    let took = Clock.monotonicNanoseconds() - began
    steps.withLock { $0.nanoseconds[change.tableName, default: 0] += took }
  }

  func name(
    _ numbers: [(number: IdentityNumber, labels: LabelSet)], isUsed: (IdentityNumber) -> Bool
  ) throws(DatapathError) {
    try base.name(numbers, isUsed: isUsed)
  }

  func names() throws(DatapathError) -> [IdentityNumber: LabelSet] { try base.names() }
  func mark(_ slot: Slot, _ documents: UInt64) throws(DatapathError) { try base.mark(slot, documents) }
  func mark(of slot: Slot) throws(DatapathError) -> UInt64? { try base.mark(of: slot) }
  func attach() throws(DatapathError) { try base.attach() }
  func counters() throws(DatapathError) -> DatapathCounters { try base.counters() }
  func detach() throws(DatapathError) { try base.detach() }
}
