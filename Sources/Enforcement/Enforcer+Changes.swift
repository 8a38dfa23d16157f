// How the enforcer makes a change whole: plan, write, follow; or take back what was written.

internal import Kernel
internal import Logging
internal import Policy

extension Enforcer {
  /// Compiles a policy for the identities in use.
  func compile(_ policy: PolicySet) throws(CompileError) -> Compiled {
    let began = clock.now
    defer { phases.compile += clock.now - began }
    return try Compiler.compile(policy: policy, sorted: identities)
  }

  /// The tables of a policy: those in force if its rules are too, so that documents which only tell of more workloads
  /// cost as much as the workloads; compiled anew otherwise.
  func tables(of policy: PolicySet) throws(CompileError) -> Compiled {
    // Rows that an agent before us left may have got their labels just now.
    let isExplained = waiting == nil && shadow.workloads.count == roster.members.count
    if isExplained, let compiled, let former = self.policy, former.hasSameRules(as: policy) { return compiled }
    return try compile(policy)
  }

  /// Puts tables in force unless the slot in force already holds the same; returns how many rows that took.
  func publishTables(_ next: Compiled) throws(DatapathError) -> Int {
    var wanted = SlotContents(next.tables, addresses: addresses)
    let slot = shadow.activeSlot
    if shadow[slot] == nil { shadow[slot] = try datapath.contents(of: slot) }
    classifyUnnamed(&wanted)
    // A new policy is always judged anew; the same one needs no flip.
    if shadow[slot] == wanted, !isNew {
      compiled = next
      markDocuments(of: slot)
      return 0
    }
    try checkRoom(for: wanted)
    if shadow[slot.other] == nil { shadow[slot.other] = try datapath.contents(of: slot.other) }
    let held = shadow[slot.other] ?? .empty
    let changes = TableChanges.publish(wanted, over: held, shadow: shadow)
    markDocuments(of: slot.other)
    try write(changes)
    // Not row by row, and stored once: tables and shadow share the contents from here on.
    shadow[slot.other] = nil
    for change in changes { shadow.note(change) }
    shadow[slot.other] = wanted
    compiled = next
    let rows = changes.reduce(0) { $0 + $1.rows }
    logger.info("policy loaded: generation \(shadow.generation), \(rows) table entries written")
    return rows
  }

  /// Changes who is who; returns how many rows that took.
  func relabel(
    setting workloads: [WorkloadInstance], removing gone: [CgroupID], ending: Set<CgroupID> = []
  ) throws -> Int {
    readNames(of: workloads)
    lingering.waiting = []
    let crowded = lingering.crowded(
      roster, ending: ending.count, adding: workloads.count, rows: shadow.workloads.count, datapath.limits)
    let gone = gone + crowded
    let ending = ending.subtracting(gone)
    let leaving = ending.subtracting(workloads.map(\.cgroup)).compactMap { roster.members[$0] }
    var retained: [IdentityNumber] = []
    let former = (workloads.map(\.cgroup) + gone).compactMap { roster.members[$0] }
    do {
      var members: [Roster.Member] = []
      var fresh: [Roster.Member] = []
      for instance in workloads {
        let number = try allocator.retain(instance.labels, generation: shadow.generation)
        retained.append(number)
        let member = Roster.Member(instance: instance, number: number)
        members.append(member)
        if allocator.uses(of: number) == 1 { fresh.append(member) }
      }
      remember(fresh.map { ($0.number, $0.instance.labels) })
      let (classes, rows) = try classifyOrPublish(fresh)
      // In place, and taken back below: a copy would cost as much as there are workloads.
      for cgroup in gone { roster.remove(cgroup) }
      for member in members { roster.set(member) }
      for id in ending { roster.end(id) }
      let wanted = relabelling(members, gone, former + leaving, classes, ending)
      guard shadow.workloads.count + members.count <= datapath.limits.workloads + former.count else {
        throw DatapathError(
          "write", "sp_workload",
          reason: "\(members.count) more workloads do not fit: limit \(datapath.limits.workloads)",
          remedy: "label fewer cgroups: children inherit")
      }
      try checkAddresses(wanted)
      let changes = TableChanges.relabel(wanted, shadow: shadow)
      try perform(changes)
      inherited.leave(gone + workloads.map(\.cgroup))
      inherited.end(ending)
      for member in former { allocator.release(member.number, generation: shadow.generation) }
      for (number, classes) in classes { compiled?.insert(number, classes) }
      lingering.note(letGoEarly: crowded)
      return rows + changes.reduce(0) { $0 + $1.rows }
    } catch {
      for instance in workloads { roster.remove(instance.cgroup) }
      for member in former + leaving { roster.set(member) }
      for number in retained { allocator.release(number, generation: shadow.generation) }
      throw error
    }
  }

  /// Up to how many label sets at once are worth cells of their own before everything is compiled anew.
  private static let mostStrangers = 8

  /// Finds classes for identities that had no users; publishes tables with more classes if one falls in no known class.
  private func classifyOrPublish(_ members: [Roster.Member]) throws -> (classes: [IdentityNumber: Classes], rows: Int) {
    guard let compiled, let policy else { return (unknownClasses(members), 0) }
    var found: [IdentityNumber: Classes] = [:]
    var strangers: [Roster.Member] = []
    for member in members {
      // Even if the tables have the number: it may be what it stood for before it was given away.
      if let classes = compiled.classes(for: member.instance.labels) {
        found[member.number] = classes
      } else {
        strangers.append(member)
        if strangers.count > Self.mostStrangers { return ([:], try publishTables(compile(policy))) }
      }
    }
    if strangers.isEmpty { return (found, 0) }
    guard var next = extended(compiled, strangers) else { return ([:], try publishTables(compile(policy))) }
    // Also those that were found: their classes may have cells of more kinds now.
    for member in members { next.insert(member.number, member.instance.labels) }
    return ([:], try publishTables(next))
  }

  /// Tables with cells for label sets that fall in no known class; nil if all is better compiled anew.
  private func extended(_ compiled: Compiled, _ strangers: [Roster.Member]) -> Compiled? {
    let began = clock.now
    defer { phases.compile += clock.now - began }
    var next = compiled
    for member in strangers where next.classes(for: member.instance.labels) == nil {
      guard (try? next.extend(member.number, member.instance.labels)) == true else { return nil }
    }
    return next
  }

  /// Refuses addresses that would leave no room for the policy that comes next.
  private func checkAddresses(_ wanted: Relabelling) throws(DatapathError) {
    guard !wanted.networks.isEmpty, let held = shadow[shadow.activeSlot]?.networks else { return }
    let count = held.count + wanted.networks.keys.count { held[$0] == nil }
    try PolicyRoom.check(
      count, beside: 0, table: "sp_networks", limit: datapath.limits.networks, share: datapath.limits.networksPerSlot)
  }

  private func relabelling(
    _ members: [Roster.Member], _ gone: [CgroupID], _ former: [Roster.Member],
    _ classes: [IdentityNumber: Classes], _ ending: Set<CgroupID>
  ) -> Relabelling {
    var wanted = Relabelling(
      gone: gone, levels: levels(without: gone + members.map(\.instance.cgroup)), classes: classes)
    for member in members { wanted.workloads[member.instance.cgroup] = member.row }
    for address in (former + members).flatMap(\.instance.addresses) {
      let prefix = IPPrefix(address)
      if let row = roster.row(of: address) ?? compiled?.tables.prefixes[prefix].map({ NetworkRow(identity: $0) }) {
        wanted.networks[prefix] = row
      } else {
        wanted.networksGone.append(prefix)
      }
    }
    let lost = ending.union(gone).intersection(inherited.cgroups)
    for (prefix, row) in inherited.addresses where row.workload.map(lost.contains) ?? false {
      if roster.row(of: prefix.address) == nil, wanted.networks[prefix] == nil { wanted.networksGone.append(prefix) }
    }
    return wanted
  }

  /// Makes all steps, or takes back those that were made.
  func perform(_ changes: [TableChange]) throws(DatapathError) {
    try write(changes)
    for change in changes { shadow.note(change) }
  }

  /// Likewise, but leaves the shadow as it is.
  private func write(_ changes: [TableChange]) throws(DatapathError) {
    for (index, change) in changes.enumerated() {
      let began = clock.now
      do throws(DatapathError) {
        try datapath.apply(change)
      } catch {
        try takeBack(changes[...index], after: error)
      }
      let took = clock.now - began
      switch change {
      case .gracePeriod: phases.grace += took
      case .activate: phases.flip += took
      default: phases.write += took
      }
    }
  }

  /// Restores what the shadow shows, then throws what went wrong.
  private func takeBack(
    _ changes: ArraySlice<TableChange>, after failure: DatapathError
  ) throws(DatapathError) -> Never {
    var touchedForce = false
    do throws(DatapathError) {
      for change in changes.reversed() {
        for inverse in shadow.inverses(of: change) { try datapath.apply(inverse) }
        touchedForce = touchedForce || change.isRead(by: shadow.activeSlot)
      }
      if touchedForce {
        // Conversations may have been judged by rows that are gone again: have them judged once more.
        let next = TableChange.activate(shadow.generation &+ 2)
        try datapath.apply(next)
        shadow.note(next)
      }
    } catch {
      isUncertain = true
      logger.critical("taking back a failed change failed too: \(error)")
      throw DatapathError(
        failure.operation, failure.subject,
        reason:
          "\(failure.reason), and it could not be rolled back, so some of its rows may be in force: \(error.problem)",
        underlying: failure, remedy: failure.remedy ?? "apply again: the tables are read back first")
    }
    throw failure
  }

  /// Reads the kernel back if we cannot know what it holds.
  func resynchronise() throws(DatapathError) {
    guard isUncertain else { return }
    shadow = Shadow(try datapath.current())
    let slot = shadow.activeSlot
    shadow[slot] = try datapath.contents(of: slot)
    // Rows of the roster that differ are written again by the change that comes now.
    let differing = roster.members.values.filter { shadow.workloads[$0.instance.cgroup] != $0.row }
    var wanted = Relabelling(levels: levels())
    for member in differing { wanted.workloads[member.instance.cgroup] = member.row }
    wanted.gone = shadow.workloads.keys.filter { roster.members[$0] == nil && !inherited.cgroups.contains($0) }
    let held = shadow[slot]?.networks ?? [:]
    let networks = compiled?.tables.prefixes.mapValues { NetworkRow(identity: $0) } ?? [:]
    let addresses = networks.merging(self.addresses) { _, own in own }
    if compiled != nil {
      wanted.networks = addresses.filter { held[$0.key] != $0.value }
      wanted.networksGone = held.keys.filter { addresses[$0] == nil }
    }
    try perform(TableChanges.relabel(wanted, shadow: shadow))
    isUncertain = false
  }

  /// Notes which documents a slot is compiled from.
  private func markDocuments(of slot: Slot) {
    do {
      if try datapath.mark(of: slot) != documents { try datapath.mark(slot, documents) }
    } catch {
      logger.warning("\(error); a start will apply the policy again")
    }
  }

  private var isNew: Bool { shadow.generation == 0 }

  /// Refuses tables that do not fit beside those in force, or beside which their successors would not fit.
  private func checkRoom(for wanted: SlotContents) throws(DatapathError) {
    let active = shadow[shadow.activeSlot] ?? .empty
    let limits = datapath.limits
    try PolicyRoom.check(
      wanted.cells.count, beside: active.cells.count, table: "sp_policy", limit: limits.cells,
      share: limits.cellsPerPolicy)
    try PolicyRoom.check(
      wanted.networks.count, beside: active.networks.count, table: "sp_networks", limit: limits.networks,
      share: limits.networksPerSlot)
  }
}

extension Int {
  /// The smallest power of two that is not below this number.
  var roundedUpToPowerOfTwo: Int { self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount) }
}

extension TableChange {
  /// Whether packets may have read its rows although no generation was put in force.
  func isRead(by slot: Slot) -> Bool {
    switch self {
    case .setWorkloads, .removeWorkloads: true
    case .setNetworks(let own, _): own == slot
    case .removeNetworks(let own, _): own == slot
    case .setCells(let own, _): own == slot
    case .removeCells(let own, _): own == slot
    case .classes, .ports, .levels, .heedRetags, .addCounts, .removeCounts, .gracePeriod, .activate: false
    }
  }
}
