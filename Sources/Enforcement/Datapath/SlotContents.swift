// The rows of one slot as Swift values: what the kernel is to hold, what it holds, what it held.

public import Kernel
public import Policy

/// One of the two places for tables; the generation's lowest bit says which is in force.
public enum Slot: UInt8, Sendable, Hashable, CaseIterable {
  /// That of even generations.
  case even = 0
  /// That of odd generations.
  case odd = 1

  /// The slot of a generation.
  public init(generation: UInt32) { self = generation & 1 == 0 ? .even : .odd }

  /// The other one.
  public var other: Slot { self == .even ? .odd : .even }
}

/// Whose an address is.
public struct NetworkRow: Sendable, Hashable {
  /// The number of a workload's identity or of a set of external networks.
  public var identity: IdentityNumber
  /// The workload of this host whose address it is; id 0 in the kernel if nil.
  public var workload: CgroupID?

  /// Takes both parts.
  public init(identity: IdentityNumber, workload: CgroupID? = nil) {
    self.identity = identity
    self.workload = workload
  }
}

/// What a cgroup is to the kernel.
public struct WorkloadRow: Sendable, Hashable {
  /// The number of its identity.
  public var identity: IdentityNumber
  /// Whether its verdicts are reported and not applied.
  public var observe: Bool
  /// Whether cgroups below it without labels of their own are refused instead of being it.
  public var rejectsUnlabelledChildren: Bool

  /// Takes all its parts.
  public init(identity: IdentityNumber, observe: Bool = false, rejectsUnlabelledChildren: Bool = false) {
    self.identity = identity
    self.observe = observe
    self.rejectsUnlabelledChildren = rejectsUnlabelledChildren
  }
}

/// Everything that a verdict reads from one slot.
public struct SlotContents: Sendable, Equatable {
  /// The classes of identities; one that is missing is a row of zeros.
  public var classes: ClassTable
  /// The class of every port; always `Tables.portClassCount` entries.
  public var portClasses: [UInt16]
  /// What the rules say.
  public var cells: CellTable
  /// Whose addresses are.
  public var networks: [IPPrefix: NetworkRow]

  /// Takes all its parts.
  public init(
    classes: ClassTable, portClasses: [UInt16], cells: CellTable,
    networks: [IPPrefix: NetworkRow]
  ) {
    self.classes = classes
    self.portClasses = portClasses
    self.cells = cells
    self.networks = networks
  }

  /// Compiled tables, with the workloads' own addresses laid over those of networks.
  public init(_ tables: Tables, addresses: [IPPrefix: NetworkRow]) {
    self.init(
      classes: tables.classes, portClasses: tables.portClasses, cells: tables.cells,
      networks: tables.prefixes.mapValues { NetworkRow(identity: $0) }.merging(addresses) { _, own in own })
  }

  /// A slot that was never written: arrays of zeros, empty hashes.
  public static let empty = SlotContents(
    classes: ClassTable(), portClasses: Array(repeating: 0, count: Tables.portClassCount), cells: CellTable(),
    networks: [:])
}

extension SlotContents: CustomStringConvertible {
  /// How many rows there are: all of them would be a book.
  public var description: String {
    "\(classes.count) identities, \(cells.count) cells, \(networks.count) networks"
  }
}
