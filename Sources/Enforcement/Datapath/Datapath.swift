// What can enforce: the verbs that the enforcer needs, whatever is behind them.

package import Kernel
package import Policy

/// What a datapath held when it was opened.
package struct Holdings: Sendable, Equatable {
  /// Whether it was made just now: nothing is attached, and all tables are empty.
  package var isNew: Bool
  /// The generation in force.
  package var generation: UInt32
  /// The workloads that the kernel knows.
  package var workloads: [CgroupID: WorkloadRow]
  /// The levels at which it looks for them.
  package var levels: UInt32
  /// The workloads with counters.
  package var counted: Set<CgroupID>
  /// Whether it asks sockets whom they speak for, because some may have been retagged.
  package var heedsRetags: Bool

  package init(
    isNew: Bool, generation: UInt32 = 0, workloads: [CgroupID: WorkloadRow] = [:], levels: UInt32 = 0,
    counted: Set<CgroupID> = [], heedsRetags: Bool = false
  ) {
    self.isNew = isNew
    self.generation = generation
    self.workloads = workloads
    self.levels = levels
    self.counted = counted
    self.heedsRetags = heedsRetags
  }
}

/// How many rows a table may have, and what it is called.
package struct DatapathLimits: Sendable, Equatable {
  /// Cells, both slots together.
  package var cells: Int
  /// Networks and addresses, both slots together.
  package var networks: Int
  /// Workloads.
  package var workloads: Int

  package init(cells: Int, networks: Int, workloads: Int) {
    self.cells = cells
    self.networks = networks
    self.workloads = workloads
  }

  /// What one policy may have of both slots: what is in force must leave room for what replaces it.
  package var cellsPerPolicy: Int { cells / 2 }
  /// Likewise, with the addresses of workloads.
  package var networksPerSlot: Int { networks / 2 }
  /// Likewise, without them: every workload may have an address.
  package var networksPerPolicy: Int { max(networksPerSlot - workloads, networksPerSlot / 2) }

  /// What the loader makes unless it is told otherwise.
  package static let standard = DatapathLimits(
    cells: Int(DatapathOptions(cgroup: "").maxEntries), networks: Int(DatapathOptions.networkEntries), workloads: 65_535
  )
}

/// Something that enforces verdicts from tables.
///
/// One writer at a time; `counters()` may be called by anybody.
package protocol Datapath: Sendable {
  /// What it held when it was opened: new, or adopted from an agent before this one.
  var holdings: Holdings { get }
  /// How much fits.
  var limits: DatapathLimits { get }
  /// The directory of its pins; empty if it pins nothing.
  var pins: String { get }

  /// Reads a slot back. Classes of zeros are left out.
  func contents(of slot: Slot) throws(DatapathError) -> SlotContents

  /// Reads back what is the same for both slots; `isNew` is false.
  func current() throws(DatapathError) -> Holdings

  /// Makes one step. On failure some of its rows may be written: the caller takes them back.
  func apply(_ change: TableChange) throws(DatapathError)

  /// Begins to enforce; what is attached already stays as it is. On failure of a new one nothing is attached.
  func attach() throws(DatapathError)

  /// What was counted since it was attached.
  func counters() throws(DatapathError) -> DatapathCounters

  /// Ends enforcement and leaves nothing behind.
  func detach() throws(DatapathError)

  /// Remembers what numbers stand for, beside the rows that have them; before any row does.
  ///
  /// When there is no room, what numbers stand for that `isUsed` denies is forgotten.
  func name(
    _ numbers: [(number: IdentityNumber, labels: LabelSet)], isUsed: (IdentityNumber) -> Bool
  ) throws(DatapathError)

  /// What numbers stand for, as far as it was remembered.
  func names() throws(DatapathError) -> [IdentityNumber: LabelSet]

  /// Remembers from which documents a slot is compiled, before it is put in force.
  func mark(_ slot: Slot, _ documents: UInt64) throws(DatapathError)

  /// The mark of a slot; nil if there is none.
  func mark(of slot: Slot) throws(DatapathError) -> UInt64?
}
