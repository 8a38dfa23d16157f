// The pinned maps as typed values: writing a step of a plan, and reading back.

internal import BPF
internal import CDatapath
internal import Kernel
internal import Policy
internal import SystemPackage

/// The maps of one instance, open.
final class KernelTables: Sendable {
  private let active: BPFMap<UInt32, UInt32>
  private let control: BPFMap<UInt32, sp_control>
  private let workloads: BPFMap<UInt64, sp_workload>
  private let classes: BPFMap<UInt32, sp_classes>
  private let ports: BPFMap<UInt32, Rows.Ports>
  private let cells: BPFMap<sp_cell_key, sp_cell>
  private let networks: BPFMap<sp_network_key, sp_network>
  private let counts: PerCPUMap<UInt64, Rows.Counts>
  private let statistics: PerCPUMap<UInt32, Rows.Statistics>
  private let shares: ConversationTables

  /// Opens what is pinned; a map of another shape is an error that says what differs.
  init(_ pins: PinnedState) throws(BPFError) {
    active = try .pinned(pins.map("sp_active"), type: .array)
    control = try .pinned(pins.map("sp_control"), type: .array)
    workloads = try .pinned(pins.map("sp_workload"), type: .hash)
    classes = try .pinned(pins.map("sp_classes"), type: .array)
    ports = try .pinned(pins.map("sp_ports"), type: .array)
    cells = try .pinned(pins.map("sp_policy"), type: .hash)
    networks = try .pinned(pins.map("sp_networks"), type: .lpmTrie)
    counts = try .pinned(pins.map("sp_counts"), type: .perCPUHash)
    statistics = try .pinned(pins.map("sp_stats"), type: .perCPUArray)
    shares = try ConversationTables(maps: pins.map)
  }

  var limits: DatapathLimits {
    DatapathLimits(
      cells: cells.info.maxEntries, networks: networks.info.maxEntries,
      // The host has counters too, in a table of the same size.
      workloads: workloads.info.maxEntries - 1)
  }

  // MARK: Writing

  func apply(_ change: TableChange) throws(BPFError) {
    switch change {
    case .classes(let slot, let rows):
      try classes.setAll(rows.map { (Rows.classIndex(slot, $0.number), Rows.classes($0.classes)) })
    case .ports(let slot, let rows):
      try ports.setAll(rows.map { (Rows.portIndex(slot, $0.key), Rows.ports($0.value)) })
    case .setCells(let slot, let rows):
      try cells.setAll(keys: rows.keys.map { Rows.key(slot, $0) }, values: rows.values.map { Rows.cell($0) })
    case .removeCells(let slot, let keys): try cells.removeAll(keys.map { Rows.key(slot, $0) })
    case .setNetworks(let slot, let rows):
      try networks.setAll(rows.map { (Rows.network(slot, $0.key), Rows.network($0.value)) })
    case .removeNetworks(let slot, let keys): try networks.removeAll(keys.map { Rows.network(slot, $0) })
    case .levels(let bits):
      let areRetagged = Rows.areSocketsRetagged(try control.value(for: 0))
      try control.set(Rows.control(levels: bits, areSocketsRetagged: areRetagged), for: 0)
    case .heedRetags:
      let levels = try control.value(for: 0)?.levels ?? 0
      try control.set(Rows.control(levels: levels, areSocketsRetagged: true), for: 0)
    case .addCounts(let keys):
      for key in keys {
        do throws(BPFError) {
          try counts.set(Rows.Counts(repeating: 0), for: key.rawValue, flags: .noExist)
        } catch {
          guard error.errno == .fileExists else { throw error }
        }
      }
    case .removeCounts(let keys):
      for key in keys { try counts.remove(key.rawValue) }
    case .setWorkloads(let rows):
      try workloads.setAll(rows.map { ($0.key.rawValue, Rows.workload($0.value)) })
    case .removeWorkloads(let keys): try workloads.removeAll(keys.map(\.rawValue))
    case .gracePeriod:
      do throws(KernelError) { try gracePeriod() } catch { throw BPFError(error) }
    case .activate(let generation): try active.set(generation, for: 0)
    }
  }

  // MARK: Reading

  func holdings(isNew: Bool) throws(BPFError) -> Holdings {
    var held = Holdings(isNew: isNew)
    held.generation = try active.value(for: 0) ?? 0
    let control = try control.value(for: 0)
    held.levels = control?.levels ?? 0
    held.heedsRetags = Rows.areSocketsRetagged(control)
    for (key, row) in try workloads.entries() { held.workloads[CgroupID(rawValue: key)] = Rows.workload(row) }
    held.counted = Set(try counts.entries().map { CgroupID(rawValue: $0.key) })
    return held
  }

  func contents(of slot: Slot) throws(BPFError) -> SlotContents {
    var held = SlotContents.empty
    // One slot of two, row by row: as lists both would take tens of megabytes.
    try classes.forEach(in: Rows.classIndices(slot)) { index, row in
      if let classes = Rows.classes(row) { held.classes[Rows.slotAndNumber(index).1] = classes }
    }
    try ports.forEach(in: Rows.portIndices(slot)) { index, row in
      let start = PortRow.range(Rows.slotAndRow(index).1).lowerBound
      for offset in row.indices { held.portClasses[start + offset] = row[offset] }
    }
    var found: [(key: CellKey, value: Cell)] = []
    for (key, row) in try cells.entries() {
      if let (own, key) = Rows.key(key), own == slot { found.append((key, Rows.cell(row))) }
    }
    held.cells = CellTable(found)
    for (key, row) in try networks.entries() {
      if let (own, prefix) = Rows.network(key), own == slot { held.networks[prefix] = Rows.network(row) }
    }
    return held
  }

  /// How many cells there are, both slots together.
  func cellCount() throws(BPFError) -> Int { try cells.count() }

  func counters() throws(BPFError) -> DatapathCounters {
    var out = DatapathCounters()
    for (key, values) in try counts.entries() {
      if key == Shadow.host.rawValue {
        out.host = Rows.counts(values)
      } else {
        out.workloads[CgroupID(rawValue: key)] = Rows.counts(values)
      }
    }
    out.conversations = try shares.held()
    out.statistics = Rows.statistics(try statistics.values(for: 0) ?? [])
    return out
  }

  /// An error of a write as people should read it: a full map says how full, and what to do.
  func failure(_ change: TableChange, _ error: BPFError) -> DatapathError {
    let full = error.errno == .argListTooLong || error.errno == .noSpace
    guard full else {
      return DatapathError("write", change.tableName, underlying: error, remedy: error.remedy)
    }
    let (limit, remedy) =
      switch change.tableName {
      case "sp_policy": (limits.cells, "detach and run with a larger --max-entries")
      case "sp_networks": (limits.networks, "use fewer or wider networks")
      default: (limits.workloads, "label fewer cgroups: children inherit")
      }
    return DatapathError(
      "write", change.tableName, reason: "\(change.rows) entries do not fit: limit \(limit)", underlying: error,
      remedy: remedy)
  }
}
