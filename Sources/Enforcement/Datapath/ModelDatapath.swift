// A datapath in memory: it keeps rows as the kernel would, answers verdicts from them, and fails when told to.

package import Kernel
package import Policy
internal import Synchronization

/// A datapath for tests, and for asking "what if".
///
/// It refuses what the kernel would refuse.
package final class ModelDatapath: Datapath {
  struct State: Sendable {
    var generation: UInt32 = 0
    var slots: [Slot: SlotContents] = [.even: .empty, .odd: .empty]
    var workloads: [CgroupID: WorkloadRow] = [:]
    var levels: UInt32 = 0
    var counted: Set<CgroupID> = []
    var heedsRetags = false
    var attached = false
    var detached = false
    var log: [TableChange] = []
    /// The step (counted from 0 over the model's life) that is to fail, and after how many of its rows.
    var failure: (step: Int, rows: Int)?
    var failsForever = false
    var steps = 0
    var failsToAttach = false
    var names: [IdentityNumber: LabelSet] = [:]
    var marks: [Slot: UInt64] = [:]
  }

  private let state: Mutex<State>
  /// What it held when it was made.
  package let holdings: Holdings
  /// How much fits.
  package let limits: DatapathLimits

  /// Nothing is pinned.
  package var pins: String { "" }

  /// An empty one.
  package init(limits: DatapathLimits = .standard) {
    self.limits = limits
    holdings = Holdings(isNew: true)
    state = Mutex(State())
  }

  /// What a restarted agent finds: the same rows, taken over.
  package init(adopting former: ModelDatapath) {
    limits = former.limits
    var held = former.state.withLock { $0 }
    held.log = []
    held.failure = nil
    held.failsForever = false
    held.steps = 0
    holdings = Holdings(
      isNew: !held.attached, generation: held.generation, workloads: held.workloads, levels: held.levels,
      counted: held.counted, heedsRetags: held.heedsRetags)
    state = Mutex(held)
  }

  /// Forgets what numbers stand for, as if the table of names had gone.
  package func forgetNames() { state.withLock { $0.names = [:] } }

  /// Remembers what numbers stand for.
  package func name(
    _ numbers: [(number: IdentityNumber, labels: LabelSet)], isUsed: (IdentityNumber) -> Bool
  ) throws(DatapathError) {
    state.withLock { state in for name in numbers { state.names[name.number] = name.labels } }
  }

  /// What numbers stand for.
  package func names() throws(DatapathError) -> [IdentityNumber: LabelSet] { state.withLock { $0.names } }

  /// Remembers from which documents a slot is compiled.
  package func mark(_ slot: Slot, _ documents: UInt64) throws(DatapathError) {
    state.withLock { $0.marks[slot] = documents }
  }

  /// The mark of a slot.
  package func mark(of slot: Slot) throws(DatapathError) -> UInt64? { state.withLock { $0.marks[slot] } }

  /// Every step that succeeded, in order.
  package var log: [TableChange] { state.withLock { $0.log } }
  /// The generation in force.
  package var generation: UInt32 { state.withLock { $0.generation } }
  /// The workloads it has.
  package var workloads: [CgroupID: WorkloadRow] { state.withLock { $0.workloads } }
  /// The levels it looks at.
  package var levels: UInt32 { state.withLock { $0.levels } }
  /// The workloads with counters.
  package var counted: Set<CgroupID> { state.withLock { $0.counted } }
  /// Whether it enforces.
  package var isAttached: Bool { state.withLock { $0.attached } }
  /// Whether it was told to leave nothing behind.
  package var isDetached: Bool { state.withLock { $0.detached } }
  /// The contents in force.
  package var active: SlotContents { state.withLock { $0.slots[Slot(generation: $0.generation)] ?? .empty } }
  /// Whether sockets are asked whom they speak for.
  package var heedsRetags: Bool { state.withLock { $0.heedsRetags } }
  /// How many steps were tried.
  package var steps: Int { state.withLock { $0.steps } }

  /// Forgets the log.
  package func clearLog() { state.withLock { $0.log = [] } }

  /// Makes a step fail after some of its rows: the `step`-th from now, 0 = the next.
  ///
  /// With `forever` all later ones too.
  package func fail(step: Int, afterRows rows: Int = 0, forever: Bool = false) {
    state.withLock {
      $0.failure = ($0.steps + step, rows)
      $0.failsForever = forever
    }
  }

  /// Ends the failures.
  package func heal() {
    state.withLock {
      $0.failure = nil
      $0.failsForever = false
      $0.failsToAttach = false
    }
  }

  /// Makes `attach()` fail.
  package func failToAttach() { state.withLock { $0.failsToAttach = true } }

  /// Reads a slot back.
  package func contents(of slot: Slot) throws(DatapathError) -> SlotContents {
    state.withLock { $0.slots[slot] ?? .empty }
  }

  /// Reads back what is the same for both slots.
  package func current() throws(DatapathError) -> Holdings {
    state.withLock {
      Holdings(
        isNew: false, generation: $0.generation, workloads: $0.workloads, levels: $0.levels, counted: $0.counted,
        heedsRetags: $0.heedsRetags)
    }
  }

  /// Makes one step.
  package func apply(_ change: TableChange) throws(DatapathError) {
    let limits = limits
    let problem: DatapathError? = state.withLock { state in
      defer { state.steps += 1 }
      if let failure = state.failure, state.steps == failure.step || state.failsForever && state.steps > failure.step {
        state.write(change, rows: failure.rows)
        return DatapathError("write rows of", change.tableName, reason: "injected failure")
      }
      state.write(change, rows: .max)
      state.log.append(change)
      let cells = state.slots.values.reduce(0) { $0 + $1.cells.count }
      guard cells <= limits.cells else {
        return DatapathError("write rows of", change.tableName, reason: "it is full: \(limits.cells) entries")
      }
      return nil
    }
    if let problem { throw problem }
  }

  /// Begins to enforce.
  package func attach() throws(DatapathError) {
    let failed = state.withLock { state in
      if !state.failsToAttach { state.attached = true }
      return state.failsToAttach
    }
    if failed { throw DatapathError("attach", "model", reason: "injected failure") }
  }

  /// What was counted since it was attached.
  package func counters() throws(DatapathError) -> DatapathCounters { DatapathCounters() }

  /// Ends enforcement and leaves nothing behind.
  package func detach() throws(DatapathError) {
    state.withLock {
      $0 = State()
      $0.detached = true
    }
  }

  /// The cell that decides at one end of a flow, by the rows in force; nil = the default does.
  ///
  /// The same walk as the kernel's; an identity without a row has no classes.
  package func decision(
    _ direction: Direction, subject: IdentityNumber, peer: IdentityNumber, protocol: IPProtocol, port: UInt16
  ) -> (cell: Cell?, default: Action)? {
    let rows = active
    guard let own = rows.classes[subject] else { return nil }
    let other = rows.classes[peer]?.peer ?? 0
    let portClass = rows.portClasses[Tables.portIndex(`protocol`, port)]
    for (peer, portClass) in [(other, portClass), (other, 0), (0, portClass), (0, 0)] as [(UInt32, UInt16)] {
      let key = CellKey(
        direction: direction, subject: own.subject(direction), peer: peer, portClass: portClass)
      if let cell = rows.cells[key] { return (cell, own.default(direction)) }
    }
    return (nil, own.default(direction))
  }
}

extension ModelDatapath.State {
  /// Writes the first `limit` rows, in the order of their keys.
  mutating func write(_ change: TableChange, rows limit: Int) {
    switch change {
    case .classes(let slot, let rows):
      for row in rows.prefix(limit) { slots[slot]?.classes[row.number] = row.classes }
    case .ports(let slot, let rows):
      for (row, classes) in rows.sorted(by: { $0.key < $1.key }).prefix(limit) {
        slots[slot]?.portClasses.replaceSubrange(PortRow.range(row), with: classes)
      }
    case .setCells(let slot, let rows):
      for (key, cell) in rows.prefix(limit) { slots[slot]?.cells[key] = cell }
    case .removeCells(let slot, let keys):
      for key in keys.prefix(limit) { slots[slot]?.cells[key] = nil }
    case .setNetworks(let slot, let rows):
      for (prefix, row) in rows.sorted(by: { $0.key < $1.key }).prefix(limit) { slots[slot]?.networks[prefix] = row }
    case .removeNetworks(let slot, let keys):
      for prefix in keys.prefix(limit) { slots[slot]?.networks[prefix] = nil }
    case .addCounts(let keys): counted.formUnion(keys.prefix(limit))
    case .removeCounts(let keys): counted.subtract(keys.prefix(limit))
    case .setWorkloads(let rows):
      for (key, row) in rows.sorted(by: { $0.key < $1.key }).prefix(limit) { workloads[key] = row }
    case .removeWorkloads(let keys):
      for key in keys.prefix(limit) { workloads[key] = nil }
    case .levels(let bits): if limit > 0 { levels = bits }
    case .heedRetags: if limit > 0 { heedsRetags = true }
    case .activate(let next): if limit > 0 { generation = next }
    case .gracePeriod: break
    }
  }
}
