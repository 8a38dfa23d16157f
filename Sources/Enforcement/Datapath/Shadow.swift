// What the kernel's tables hold, as far as the single writer knows; and how a step is taken back.

internal import Kernel
internal import Policy

/// A copy of the tables, kept current with every step that was applied.
struct Shadow: Sendable, Equatable {
  /// The row of counters for what runs outside of every workload.
  static let host = CgroupID(rawValue: 0)

  /// The generation in force.
  var generation: UInt32
  /// By slot; nil when it must be read back before it can be compared.
  private var even: SlotContents?
  private var odd: SlotContents?
  /// The workloads.
  var workloads: [CgroupID: WorkloadRow]
  /// Where the kernel looks for them.
  var levels: UInt32
  /// The workloads that have counters.
  var counted: Set<CgroupID>
  /// Whether sockets are asked whom they speak for; never taken back, because it only costs time.
  var heedsRetags: Bool
  /// Whether the slot that is not in force may still be read by packets that began before the last flip.
  var needsGrace: Bool

  init(_ holdings: Holdings) {
    generation = holdings.generation
    even = holdings.isNew ? .empty : nil
    odd = holdings.isNew ? .empty : nil
    workloads = holdings.workloads
    levels = holdings.levels
    counted = holdings.counted
    heedsRetags = holdings.heedsRetags
    // An agent that died may have flipped a moment ago.
    needsGrace = !holdings.isNew
  }

  var activeSlot: Slot { Slot(generation: generation) }

  subscript(slot: Slot) -> SlotContents? {
    get { slot == .even ? even : odd }
    _modify {
      if slot == .even { yield &even } else { yield &odd }
    }
  }

  /// Follows a step that was applied.
  mutating func note(_ change: TableChange) {
    switch change {
    case .classes(let slot, let rows):
      for row in rows { self[slot]?.classes[row.number] = row.classes }
    case .ports(let slot, let rows):
      for (row, classes) in rows {
        self[slot]?.portClasses.replaceSubrange(PortRow.range(row), with: classes)
      }
    case .setCells(let slot, let rows):
      for (key, cell) in rows { self[slot]?.cells[key] = cell }
    case .removeCells(let slot, let keys):
      for key in keys { self[slot]?.cells[key] = nil }
    case .setNetworks(let slot, let rows):
      for (prefix, row) in rows { self[slot]?.networks[prefix] = row }
    case .removeNetworks(let slot, let keys):
      for prefix in keys { self[slot]?.networks[prefix] = nil }
    case .levels(let bits): levels = bits
    case .addCounts(let keys): counted.formUnion(keys)
    case .removeCounts(let keys): counted.subtract(keys)
    case .setWorkloads(let rows): workloads.merge(rows) { _, new in new }
    case .removeWorkloads(let keys):
      for key in keys { workloads[key] = nil }
    case .heedRetags: heedsRetags = true
    case .gracePeriod: needsGrace = false
    case .activate(let next):
      if Slot(generation: next) != activeSlot { needsGrace = true }
      generation = next
    }
  }

  /// The step that restores what this shadow shows, whether `change` was applied wholly, partly or not at all.
  ///
  /// Nil where there is nothing to restore, or where a slot is not known.
  func inverse(of change: TableChange) -> TableChange? {
    switch change {
    case .classes(let slot, let rows):
      guard let held = self[slot]?.classes else { return nil }
      return .classes(slot, rows.map { ClassRow($0.number, held[$0.number]) })
    case .ports(let slot, let rows):
      guard let held = self[slot]?.portClasses else { return nil }
      return .ports(slot, Dictionary(uniqueKeysWithValues: rows.keys.map { ($0, Array(held[PortRow.range($0)])) }))
    case .removeCells(let slot, let keys):
      guard let held = self[slot]?.cells else { return nil }
      return .setCells(slot, CellTable(keys.compactMap { key in held[key].map { (key, $0) } }))
    case .removeNetworks(let slot, let keys):
      guard let held = self[slot]?.networks else { return nil }
      return .setNetworks(slot, restored(keys, held))
    case .levels: return .levels(levels)
    case .removeWorkloads(let keys): return .setWorkloads(restored(keys, workloads))
    // Counters that were removed are gone; new ones at zero are all that can be restored.
    case .removeCounts(let keys): return .addCounts(keys.filter(counted.contains))
    case .addCounts(let keys): return .removeCounts(keys.filter { !counted.contains($0) })
    // Whatever the failed write did, this generation is the one in force; it comes before its slot's rows change.
    case .activate: return .activate(generation)
    case .setCells, .setNetworks, .setWorkloads, .heedRetags, .gracePeriod: return nil
    }
  }

  /// The steps that restore what this shadow shows; for sets of rows, old rows come back and new ones go.
  func inverses(of change: TableChange) -> [TableChange] {
    switch change {
    case .setCells(let slot, let rows):
      guard let held = self[slot]?.cells else { return [] }
      let back = CellTable(rows.keys.compactMap { key in held[key].map { (key, $0) } })
      let gone = rows.keys.filter { held[$0] == nil }
      return [.removeCells(slot, gone), .setCells(slot, back)].filter { $0.rows > 0 }
    case .setNetworks(let slot, let rows):
      guard let held = self[slot]?.networks else { return [] }
      let (back, gone) = split(rows.keys, held)
      return [.removeNetworks(slot, gone), .setNetworks(slot, back)].filter { $0.rows > 0 }
    case .setWorkloads(let rows):
      let (back, gone) = split(rows.keys, workloads)
      return [.removeWorkloads(gone), .setWorkloads(back)].filter { $0.rows > 0 }
    default: return inverse(of: change).map { [$0] } ?? []
    }
  }

  private func restored<Key: Hashable, Row>(_ keys: [Key], _ held: [Key: Row]) -> [Key: Row] {
    var rows: [Key: Row] = [:]
    for key in keys { rows[key] = held[key] }
    return rows
  }

  private func split<Key: Hashable & Comparable, Row>(
    _ keys: some Sequence<Key>, _ held: [Key: Row]
  ) -> (back: [Key: Row], gone: [Key]) {
    var back: [Key: Row] = [:]
    var gone: [Key] = []
    for key in keys {
      if let row = held[key] { back[key] = row } else { gone.append(key) }
    }
    return (back, gone.sorted())
  }
}

/// How the flat list of port classes is cut into rows.
enum PortRow {
  /// Classes per row.
  static let width = 64
  /// Rows per slot.
  static let count = Tables.portClassCount / width

  /// The classes of one row.
  static func range(_ row: Int) -> Range<Int> { row * width..<(row + 1) * width }
}
