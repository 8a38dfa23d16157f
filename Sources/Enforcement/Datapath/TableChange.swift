// One step from the state of the kernel's tables to the wanted one; a list of them is a plan.

package import Kernel
package import Policy

/// What an identity's row in a slot becomes.
package struct ClassRow: Sendable, Equatable {
  /// The identity.
  package var number: IdentityNumber
  /// Its classes; nil = a row of zeros.
  package var classes: Classes?

  package init(_ number: IdentityNumber, _ classes: Classes?) {
    self.number = number
    self.classes = classes
  }
}

/// A batch of rows for one table.
///
/// Steps are applied in the order of their list; the first failure ends it.
package enum TableChange: Sendable, Equatable {
  /// Classes of identities in a slot.
  case classes(Slot, [ClassRow])
  /// Rows of 64 port classes in a slot, by row number.
  case ports(Slot, [Int: [UInt16]])
  /// Cells of a slot that are new or differ.
  case setCells(Slot, CellTable)
  /// Cells of a slot that go.
  case removeCells(Slot, [CellKey])
  /// Addresses of a slot that are new or differ.
  case setNetworks(Slot, [IPPrefix: NetworkRow])
  /// Addresses of a slot that go.
  case removeNetworks(Slot, [IPPrefix])
  /// At which levels of the hierarchy labelled cgroups may be: bit n for level n.
  case levels(UInt32)
  /// From now on sockets are asked whom they speak for: some are going to be retagged.
  case heedRetags
  /// Workloads whose counters begin at zero; those that have some keep them.
  case addCounts([CgroupID])
  /// Workloads whose counters go.
  case removeCounts([CgroupID])
  /// Workloads that are new or differ.
  case setWorkloads([CgroupID: WorkloadRow])
  /// Workloads that go.
  case removeWorkloads([CgroupID])
  /// Waits until no packet reads the slot that was in force before.
  case gracePeriod
  /// Puts a generation in force, with the tables of its slot.
  case activate(UInt32)

  /// How many rows it writes or removes.
  package var rows: Int {
    switch self {
    case .classes(_, let rows): rows.count
    case .ports(_, let rows): rows.count
    case .setCells(_, let rows): rows.count
    case .removeCells(_, let keys): keys.count
    case .setNetworks(_, let rows): rows.count
    case .removeNetworks(_, let keys): keys.count
    case .addCounts(let keys), .removeCounts(let keys), .removeWorkloads(let keys): keys.count
    case .setWorkloads(let rows): rows.count
    case .levels, .activate, .heedRetags: 1
    case .gracePeriod: 0
    }
  }
}

extension TableChange {
  /// The name of the table, in C, bpffs and messages alike.
  package var tableName: String {
    switch self {
    case .classes: "sp_classes"
    case .ports: "sp_ports"
    case .setCells, .removeCells: "sp_policy"
    case .setNetworks, .removeNetworks: "sp_networks"
    case .levels, .heedRetags: "sp_control"
    case .addCounts, .removeCounts: "sp_counts"
    case .setWorkloads, .removeWorkloads: "sp_workload"
    case .gracePeriod: "no table (grace period)"
    case .activate: "sp_active"
    }
  }
}
