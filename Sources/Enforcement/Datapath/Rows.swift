// Makes and reads the rows of the tables that the agent writes. Structs of the ABI header are made in files named Rows and
// in EventRows alone, so that byte order and layout have one place.

internal import CDatapath
internal import Kernel
internal import Policy

/// Rows of the kernel's tables, made from and read as the values that the rest of the module uses.
enum Rows {
  /// The class of each of 64 ports: `struct sp_port_row`, which is this array and nothing else.
  typealias Ports = InlineArray<64, UInt16>
  /// The counters of one workload on one CPU: `struct sp_counts`, which is this array and nothing else.
  typealias Counts = InlineArray<64, UInt64>
  /// The datapath's counters on one CPU: `struct sp_stats`, which is this array and nothing else.
  typealias Statistics = InlineArray<16, UInt64>

  // MARK: Configuration

  /// What the programs are loaded with; durations are given to them in nanoseconds.
  static func config(_ options: DatapathOptions, features: UInt32) -> sp_config {
    sp_config(
      abi_version: SP_ABI_VERSION, features: features, udp_idle: nanoseconds(options.conversationIdle),
      icmp_idle: nanoseconds(options.echoIdle))
  }

  static func scope(_ cgroup: CgroupID, level: Int) -> sp_nf_config {
    sp_nf_config(cgroup: cgroup.rawValue, level: UInt32(level), pad: 0)
  }

  static func same(_ left: sp_config, _ right: sp_config) -> Bool {
    left.abi_version == right.abi_version && left.features == right.features && left.udp_idle == right.udp_idle
      && left.icmp_idle == right.icmp_idle
  }

  private static func nanoseconds(_ duration: Duration) -> UInt64 {
    UInt64(clamping: duration.components.seconds) * 1_000_000_000
      + UInt64(clamping: duration.components.attoseconds / 1_000_000_000)
  }

  // MARK: Classes and ports

  static func classIndex(_ slot: Slot, _ number: IdentityNumber) -> UInt32 {
    UInt32(slot.rawValue) * SP_IDENTITY_CAPACITY + number.rawValue
  }

  /// Where the rows of a slot's identities are.
  static func classIndices(_ slot: Slot) -> Range<UInt32> {
    let first = classIndex(slot, .unknown)
    return first..<first + SP_IDENTITY_CAPACITY
  }

  static func slotAndNumber(_ index: UInt32) -> (Slot, IdentityNumber) {
    let odd = index >= SP_IDENTITY_CAPACITY
    return (odd ? .odd : .even, IdentityNumber(rawValue: odd ? index - SP_IDENTITY_CAPACITY : index))
  }

  static func classes(_ classes: Classes?) -> sp_classes {
    guard let classes else { return sp_classes() }
    return sp_classes(
      subject: (classes.outgoingSubject, classes.incomingSubject), peer: classes.peer,
      probes: (classes.outgoingProbes.rawValue, classes.incomingProbes.rawValue),
      fallback: (action(classes.outgoingDefault), action(classes.incomingDefault)))
  }

  /// Nil for a row of zeros: a row that was written always has defaults.
  static func classes(_ row: sp_classes) -> Classes? {
    guard let outgoing = action(row.fallback.0), let incoming = action(row.fallback.1) else { return nil }
    return Classes(
      outgoingSubject: row.subject.0, incomingSubject: row.subject.1, peer: row.peer,
      outgoingProbes: Probes(rawValue: row.probes.0), incomingProbes: Probes(rawValue: row.probes.1),
      outgoingDefault: outgoing, incomingDefault: incoming)
  }

  static func portIndex(_ slot: Slot, _ row: Int) -> UInt32 { UInt32(slot.rawValue) * SP_PORT_ROWS + UInt32(row) }

  /// Where the rows of a slot's ports are.
  static func portIndices(_ slot: Slot) -> Range<UInt32> {
    let first = portIndex(slot, 0)
    return first..<first + UInt32(PortRow.count)
  }

  static func slotAndRow(_ index: UInt32) -> (Slot, Int) {
    index >= SP_PORT_ROWS ? (.odd, Int(index - SP_PORT_ROWS)) : (.even, Int(index))
  }

  static func ports(_ classes: [UInt16]) -> Ports {
    Ports { $0 < classes.count ? classes[$0] : 0 }
  }

  // MARK: Cells

  static func key(_ slot: Slot, _ key: CellKey) -> sp_cell_key {
    sp_cell_key(
      subject: key.subject, peer: key.peer, port_class: key.portClass, direction: direction(key.direction),
      slot: slot.rawValue)
  }

  static func key(_ row: sp_cell_key) -> (Slot, CellKey)? {
    guard let slot = Slot(rawValue: row.slot), let direction = direction(row.direction) else { return nil }
    return (slot, CellKey(direction: direction, subject: row.subject, peer: row.peer, portClass: row.port_class))
  }

  static func cell(_ cell: Cell) -> sp_cell {
    sp_cell(
      rule: cell.rule, observed_rule: cell.observedRule, action: action(cell.action),
      observed_action: action(cell.observedAction), log: cell.log ? 1 : 0, pad: 0)
  }

  static func cell(_ row: sp_cell) -> Cell {
    Cell(
      action: action(row.action), rule: row.rule, observedAction: action(row.observed_action),
      observedRule: row.observed_rule, log: row.log != 0)
  }

  // MARK: Networks

  /// The slot is compared first, as 32 bits like any others; then the address in network order.
  static func network(_ slot: Slot, _ prefix: IPPrefix) -> sp_network_key {
    let b = prefix.address.bytes
    return sp_network_key(
      prefix_length: 32 + UInt32(prefix.length), slot: UInt32(slot.rawValue),
      address: (
        b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]
      ))
  }

  static func network(_ key: sp_network_key) -> (Slot, IPPrefix)? {
    guard let slot = Slot(rawValue: UInt8(clamping: key.slot)), key.prefix_length >= 32 else { return nil }
    let a = key.address
    let address = IPAddress(
      bytes: [
        a.0, a.1, a.2, a.3, a.4, a.5, a.6, a.7, a.8, a.9, a.10, a.11, a.12, a.13, a.14, a.15,
      ])
    return (slot, IPPrefix(masking: address, length: Int(key.prefix_length) - 32))
  }

  static func network(_ row: NetworkRow) -> sp_network {
    sp_network(identity: row.identity.rawValue, pad: 0, workload: row.workload?.rawValue ?? 0)
  }

  static func network(_ row: sp_network) -> NetworkRow {
    NetworkRow(
      identity: IdentityNumber(rawValue: row.identity),
      workload: row.workload == 0 ? nil : CgroupID(rawValue: row.workload))
  }

  // MARK: Workloads and counters

  static func workload(_ row: WorkloadRow) -> sp_workload {
    sp_workload(
      identity: row.identity.rawValue,
      flags: (row.observe ? SP_WORKLOAD_OBSERVE : 0)
        | (row.rejectsUnlabelledChildren ? SP_WORKLOAD_REJECT_CHILDREN : 0))
  }

  static func workload(_ row: sp_workload) -> WorkloadRow {
    WorkloadRow(
      identity: IdentityNumber(rawValue: row.identity), observe: row.flags & SP_WORKLOAD_OBSERVE != 0,
      rejectsUnlabelledChildren: row.flags & SP_WORKLOAD_REJECT_CHILDREN != 0)
  }

  static func control(levels: UInt32, areSocketsRetagged: Bool) -> sp_control {
    sp_control(levels: levels, flags: areSocketsRetagged ? SP_CONTROL_RETAGGED : 0)
  }

  static func areSocketsRetagged(_ row: sp_control?) -> Bool { (row?.flags ?? 0) & SP_CONTROL_RETAGGED != 0 }

  static func retag(_ subject: PolicedSubject) -> sp_retag {
    sp_retag(
      workload: subject.workload?.rawValue ?? 0, flags: subject.isUnlabelled ? SP_RETAG_CHILD : 0, pad: 0)
  }

  static func retag(_ row: sp_retag) -> Retag {
    Retag(
      workload: row.workload == 0 ? nil : CgroupID(rawValue: row.workload), isChild: row.flags & SP_RETAG_CHILD != 0)
  }

  /// From the bytes that sock_diag tells; nil if there are none.
  static func retag(_ bytes: [UInt8]) -> Retag? {
    guard bytes.count == MemoryLayout<sp_retag>.size else { return nil }
    return retag(unsafe bytes.span.bytes.unsafeLoadUnaligned(as: sp_retag.self))
  }

  static func counts(_ perCPU: [Counts]) -> WorkloadCounts {
    var sum = WorkloadCounts()
    for counts in perCPU {
      for index in counts.indices { sum.numbers[index] &+= counts[index] }
    }
    return sum
  }

  static func statistics(_ perCPU: [Statistics]) -> DatapathStatistics {
    var out = DatapathStatistics()
    for index in 0..<UInt32(SP_STAT_COUNT) where sp_is_stat(index) {
      guard let stat = sp_stat(rawValue: index) else { continue }
      out[keyPath: counter(stat)] = perCPU.reduce(0) { $0 &+ $1[Int(index)] }
    }
    return out
  }

  private static func counter(_ stat: sp_stat) -> WritableKeyPath<DatapathStatistics, UInt64> {
    switch stat {
    case .SP_STAT_RECORDS: \.records
    case .SP_STAT_RECORDS_LOST: \.recordsLost
    case .SP_STAT_RECORDS_SUPPRESSED: \.recordsSuppressed
    case .SP_STAT_CONVERSATIONS_FULL: \.conversationsFull
    case .SP_STAT_SENDERS_FAILED: \.sendersFailed
    case .SP_STAT_SENDERS_AMBIGUOUS: \.sendersAmbiguous
    case .SP_STAT_TABLE_MISSING: \.tableMissing
    case .SP_STAT_EVICTED: \.evicted
    }
  }
}

extension WorkloadInstance {
  /// The deepest level at which the kernel looks for labelled cgroups; deeper ones belong to their ancestors.
  package static let deepestLevel = Int(SP_MAX_LEVEL)
}
