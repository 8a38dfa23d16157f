// The rows of one slot as Swift values: what the kernel is to hold, what it holds, what it held.

package import Kernel
package import Policy

/// One of the two places for tables; the generation's lowest bit says which is in force.
package enum Slot: UInt8, Sendable, Hashable, CaseIterable {
  /// That of even generations.
  case even = 0
  /// That of odd generations.
  case odd = 1

  /// The slot of a generation.
  package init(generation: UInt32) { self = generation & 1 == 0 ? .even : .odd }

  /// The other one.
  package var other: Slot { self == .even ? .odd : .even }
}

/// Whose an address is.
package struct NetworkRow: Sendable, Hashable {
  /// The number of a workload's identity or of a set of external networks.
  package var identity: IdentityNumber
  /// The workload of this host whose address it is; id 0 in the kernel if nil.
  package var workload: CgroupID?

  package init(identity: IdentityNumber, workload: CgroupID? = nil) {
    self.identity = identity
    self.workload = workload
  }
}

/// What a cgroup is to the kernel.
package struct WorkloadRow: Sendable, Hashable {
  /// The number of its identity.
  package var identity: IdentityNumber
  /// Whether its verdicts are reported and not applied.
  package var observe: Bool
  /// Whether cgroups below it without labels of their own are refused instead of being it.
  package var rejectsUnlabelledChildren: Bool

  package init(identity: IdentityNumber, observe: Bool = false, rejectsUnlabelledChildren: Bool = false) {
    self.identity = identity
    self.observe = observe
    self.rejectsUnlabelledChildren = rejectsUnlabelledChildren
  }
}

/// Everything that a verdict reads from one slot.
package struct SlotContents: Sendable, Equatable {
  /// The classes of identities; one that is missing is a row of zeros.
  package var classes: ClassTable
  /// The class of every port; always `Tables.portClassCount` entries.
  package var portClasses: [UInt16]
  /// What the rules say.
  package var cells: CellTable
  /// Whose addresses are.
  package var networks: [IPPrefix: NetworkRow]

  package init(
    classes: ClassTable, portClasses: [UInt16], cells: CellTable,
    networks: [IPPrefix: NetworkRow]
  ) {
    self.classes = classes
    self.portClasses = portClasses
    self.cells = cells
    self.networks = networks
  }

  /// Compiled tables, with the workloads' own addresses laid over those of networks.
  package init(_ tables: Tables, addresses: [IPPrefix: NetworkRow]) {
    self.init(
      classes: tables.classes, portClasses: tables.portClasses, cells: tables.cells,
      networks: tables.prefixes.mapValues { NetworkRow(identity: $0) }.merging(addresses) { _, own in own })
  }

  /// A slot that was never written: arrays of zeros, empty hashes.
  package static let empty = SlotContents(
    classes: ClassTable(), portClasses: Array(repeating: 0, count: Tables.portClassCount), cells: CellTable(),
    networks: [:])
}

extension SlotContents: CustomStringConvertible {
  /// How many rows there are: all of them would be a book.
  package var description: String {
    "\(classes.count) identities, \(cells.count) cells, \(networks.count) networks"
  }
}
