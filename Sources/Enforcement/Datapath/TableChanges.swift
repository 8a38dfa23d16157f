// Pure: the steps from what the tables hold to what they are to hold, in an order that is safe at every point.

internal import Kernel
internal import Policy

/// Plans of changes.
enum TableChanges {
  /// Fills the slot that is not in force and flips to it.
  ///
  /// Nothing reads that slot once the grace period is over, so the order within it is free: removals come first, and
  /// the tables never hold more rows than they must.
  static func publish(_ wanted: SlotContents, over held: SlotContents, shadow: Shadow) -> [TableChange] {
    let slot = shadow.activeSlot.other
    let rows = difference(from: held, to: wanted, slot: slot)
    let grace: [TableChange] = shadow.needsGrace && !rows.isEmpty ? [.gracePeriod] : []
    return grace + rows + [.activate(shadow.generation &+ 1)]
  }

  /// Changes who is who, in the slot in force: rows that are needed come before those that need them.
  ///
  /// A new identity's classes before any row that names it; the level's bit and the counters before the workload's
  /// row; on the way out the workload's row goes after its addresses, and only its counters go after it. The
  /// generation is raised by two: the same slot, and conversations are judged again.
  static func relabel(_ wanted: Relabelling, shadow: Shadow) -> [TableChange] {
    let slot = shadow.activeSlot
    let held = shadow[slot]
    var changes: [TableChange] = []
    let rows = wanted.workloads.filter { shadow.workloads[$0.key] != $0.value }
    let gone = wanted.gone.filter { shadow.workloads[$0] != nil }.sorted()
    let uncounted = (wanted.workloads.keys + [Shadow.host]).filter { !shadow.counted.contains($0) }.sorted()
    let classes = wanted.classes.filter { held?.classes[$0.key] != $0.value }.sorted { $0.key < $1.key }
    let addresses = wanted.networks.filter { held?.networks[$0.key] != $0.value }
    let lostAddresses = wanted.networksGone.filter { held == nil || held?.networks[$0] != nil }.sorted()
    if !classes.isEmpty { changes.append(.classes(slot, classes.map { ClassRow($0.key, $0.value) })) }
    let both = wanted.levels | shadow.levels
    if both != shadow.levels { changes.append(.levels(both)) }
    if !uncounted.isEmpty { changes.append(.addCounts(uncounted)) }
    if !rows.isEmpty { changes.append(.setWorkloads(rows)) }
    if !addresses.isEmpty { changes.append(.setNetworks(slot, addresses)) }
    if !lostAddresses.isEmpty { changes.append(.removeNetworks(slot, lostAddresses)) }
    if !gone.isEmpty { changes.append(.removeWorkloads(gone)) }
    let released = wanted.released.filter { shadow.workloads[$0] != nil }.sorted()
    if !released.isEmpty { changes.append(.removeWorkloads(released)) }
    let silent = (wanted.gone + wanted.released).filter(shadow.counted.contains).sorted()
    if !silent.isEmpty { changes.append(.removeCounts(silent)) }
    if wanted.levels != both { changes.append(.levels(wanted.levels)) }
    let judged = !rows.isEmpty || !gone.isEmpty || !addresses.isEmpty || !lostAddresses.isEmpty
    return judged ? changes + [.activate(shadow.generation &+ 2)] : changes
  }

  /// The smallest set of row writes that turns one slot's contents into another's; removals first.
  static func difference(from held: SlotContents, to wanted: SlotContents, slot: Slot) -> [TableChange] {
    var changes: [TableChange] = []
    let cells = wanted.cells.changes(from: held.cells)
    if !cells.gone.isEmpty { changes.append(.removeCells(slot, cells.gone)) }
    let lostNetworks = held.networks.keys.filter { wanted.networks[$0] == nil }.sorted()
    if !lostNetworks.isEmpty { changes.append(.removeNetworks(slot, lostNetworks)) }
    let classes = wanted.classes.changes(from: held.classes).map { ClassRow($0.key, $0.value) }
    if !classes.isEmpty { changes.append(.classes(slot, classes)) }
    let ports = changedPorts(held.portClasses, wanted.portClasses)
    if !ports.isEmpty { changes.append(.ports(slot, ports)) }
    let networks = wanted.networks.filter { held.networks[$0.key] != $0.value }
    if !networks.isEmpty { changes.append(.setNetworks(slot, networks)) }
    if !cells.set.isEmpty { changes.append(.setCells(slot, cells.set)) }
    return changes
  }

  private static func changedPorts(_ held: [UInt16], _ wanted: [UInt16]) -> [Int: [UInt16]] {
    var rows: [Int: [UInt16]] = [:]
    guard held != wanted else { return rows }
    for row in 0..<PortRow.count {
      let range = PortRow.range(row)
      if held[range] != wanted[range] { rows[row] = Array(wanted[range]) }
    }
    return rows
  }
}

/// What changes in who is who; what is not named stays.
struct Relabelling: Sendable, Equatable {
  /// Workloads that are new or may differ.
  var workloads: [CgroupID: WorkloadRow] = [:]
  /// Workloads that go.
  var gone: [CgroupID] = []
  /// Ended workloads whose rows nothing refers to any more: no verdict changes with them.
  var released: [CgroupID] = []
  /// Bit n: a workload is at level n, once all is done.
  var levels: UInt32 = 0
  /// Classes of identities that the slot in force may not have yet.
  var classes: [IdentityNumber: Classes] = [:]
  /// Addresses that are to be somebody's, or a network's again.
  var networks: [IPPrefix: NetworkRow] = [:]
  /// Addresses that are nobody's any more.
  var networksGone: [IPPrefix] = []
}
