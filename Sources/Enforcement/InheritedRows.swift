// Rows that an agent before this one left: they stay in force until something is known that replaces them.

package import Kernel
internal import Logging
internal import Policy

/// A cgroup that keeps what it is in force, because what would name it has not answered.
package struct KeptCgroup: Sendable, Equatable {
  /// The cgroup's id.
  package var cgroup: CgroupID
  /// Its path from the root of the hierarchy.
  package var path: String
  /// How many directories `path` has.
  package var level: Int

  /// Names a cgroup.
  package init(cgroup: CgroupID, path: String, level: Int) {
    self.cgroup = cgroup
    self.path = path
    self.level = level
  }
}

/// What the kernel holds and the roster does not know.
struct InheritedRows: Sendable {
  /// The cgroups whose rows nobody has explained yet.
  var cgroups: Set<CgroupID> = []
  /// The levels that the kernel looked at when they were found: theirs are among them.
  var levels: UInt32 = 0
  /// The addresses that were somebody's then.
  var addresses: [IPPrefix: NetworkRow] = [:]
  /// Those whose cgroups were removed, with when that was noticed (CLOCK_MONOTONIC); also in `cgroups`.
  var ended: [CgroupID: UInt64] = [:]
  /// Numbers whose labels have another number too: rows have them until they are written again.
  var aliases: [IdentityNumber: LabelSet] = [:]

  /// The addresses of rows that are still nobody's.
  func addresses(_ rows: [CgroupID: WorkloadRow]) -> [IPPrefix: NetworkRow] {
    guard !cgroups.isEmpty, !addresses.isEmpty else { return [:] }
    let numbers = Set(cgroups.compactMap { rows[$0]?.identity })
    let living = cgroups.subtracting(ended.keys)
    return addresses.filter { _, row in row.workload.map(living.contains) ?? numbers.contains(row.identity) }
  }
}

extension InheritedRows {
  /// Forgets rows that went, or got into the roster.
  mutating func leave(_ gone: some Sequence<CgroupID>) {
    for id in gone where cgroups.remove(id) != nil { ended[id] = nil }
  }

  /// Notes that cgroups were removed: their rows stay for their sockets, their addresses do not.
  mutating func end(_ ids: Set<CgroupID>) {
    let now = max(1, Clock.monotonicNanoseconds())
    for id in ids.intersection(cgroups) where ended[id] == nil { ended[id] = now }
  }
}

extension Enforcer {
  /// Notes which rows are there that the roster does not know.
  func inheritRows() {
    inherited.cgroups = Set(shadow.workloads.keys.filter { roster.members[$0] == nil })
    inherited.levels = shadow.levels
    let allotted = IdentityNumber.firstAllotted..<IdentityNumber.firstExternal
    inherited.addresses = (shadow[shadow.activeSlot]?.networks ?? [:]).filter {
      $0.value.workload != nil || allotted.contains($0.value.identity)
    }
  }

  /// The levels at which the kernel must look: those of the roster, and all while rows are left that it does not know.
  func levels(without gone: [CgroupID] = []) -> UInt32 {
    inherited.cgroups.subtracting(gone).isEmpty ? roster.levels : roster.levels | inherited.levels
  }

  /// The addresses of all workloads, also of those that the roster does not know.
  var addresses: [IPPrefix: NetworkRow] {
    inherited.addresses(shadow.workloads).merging(roster.addresses) { _, own in own }
  }

  /// Takes inherited rows into the roster as they are in force: with their numbers, and the labels of those.
  ///
  /// `workloads` tell where the cgroups are and what they are now, `kept` of which that cannot be told. What changed
  /// since is put in force by a relabelling later; no verdict changes here.
  func explainRows(by workloads: [WorkloadInstance], keeping kept: [KeptCgroup] = []) throws(DatapathError) {
    guard !inherited.cgroups.isEmpty else { return }
    try nameNumbers(by: workloads.filter { inherited.cgroups.contains($0.cgroup) })
    for instance in workloads { seat(instance) }
    for place in kept {
      seat(
        WorkloadInstance(
          cgroup: place.cgroup, path: place.path, level: place.level, labels: .empty, source: "kept from before"))
    }
  }

  /// Puts workloads that came in force beside an inherited policy whose documents are lost.
  func admit(_ workloads: [WorkloadInstance]) throws -> Int {
    try explainRows(by: workloads, keeping: waitingKept)
    return try relabel(
      setting: workloads.filter { shadow.workloads[$0.cgroup] == nil }, removing: [], ending: lingering.waiting)
  }

  /// The classes of identities that no known policy has classes for: nobody's, unless a row in force has the number.
  func unknownClasses(_ members: [Roster.Member]) -> [IdentityNumber: Classes] {
    guard let unknown = shadow[shadow.activeSlot]?.classes[.unknown] else { return [:] }
    let inForce = Set(shadow.workloads.values.map(\.identity))
    let numbers = members.map(\.number).filter { !inForce.contains($0) }
    return Dictionary(numbers.map { ($0, unknown) }, uniquingKeysWith: { first, _ in first })
  }

  /// What kept cgroups are to programs that are being replaced.
  ///
  /// Those that ended while no agent ran come too, where their level is known: their sockets may live on.
  func remembered(_ kept: [KeptCgroup], _ ended: Set<CgroupID>) -> [WorkloadInstance] {
    guard !replaced.isEmpty else { return [] }
    let gone = ended.filter { roster.members[$0] == nil && shadow.workloads[$0] == nil }
    let lingering = gone.compactMap { replaced[$0] }.filter { $0.level > 0 }
    return lingering
      + kept.compactMap { place in
        guard roster.members[place.cgroup] == nil, shadow.workloads[place.cgroup] == nil else { return nil }
        var instance = replaced[place.cgroup]
        instance?.path = place.path
        instance?.level = place.level
        return instance
      }
  }

  /// Whether other programs enforce until these do.
  package var isReplacing: Bool { (datapath as? any KernelDatapath)?.isReplacing ?? false }

  /// The cgroups that something in force, or about to be replaced, knows.
  package var cgroupsInForce: Set<CgroupID> { Set(shadow.workloads.keys).union(replaced.keys) }

  /// Learns what programs that are being replaced enforce, for workloads that nothing else can name yet.
  func learnReplaced() {
    guard let datapath = datapath as? any KernelDatapath, datapath.isReplacing else { return }
    for (cgroup, labels) in datapath.kernel.formerWorkloads() {
      replaced[cgroup] = WorkloadInstance(
        cgroup: cgroup, path: "", level: 0, labels: labels, source: "kept from before")
    }
    guard let state, let former = try? Snapshot.read(from: state.snapshot) else { return }
    for instance in former.workloads + (former.ended ?? []) { replaced[instance.cgroup] = instance }
  }

  private func seat(_ instance: WorkloadInstance) {
    guard inherited.cgroups.contains(instance.cgroup), let row = shadow.workloads[instance.cgroup],
      let labels = allocator.labels(of: row.identity) ?? inherited.aliases[row.identity]
    else { return }
    var instance = instance
    instance.labels = labels
    instance.observe = row.observe
    instance.rejectsUnlabelledChildren = row.rejectsUnlabelledChildren
    if allocator.number(of: labels) == row.identity {
      guard (try? allocator.retain(labels, generation: shadow.generation)) != nil else { return }
    }
    roster.set(Roster.Member(instance: instance, number: row.identity))
    inherited.leave([instance.cgroup])
  }

  /// Finds out what numbers stand for that nobody remembers, by what the cgroups with these numbers are now.
  ///
  /// Where they agree, the number is kept. Where they do not, or where some of them are unknown, the known ones get
  /// numbers of their own first, which the tables in force judge as the one before: no verdict changes.
  private func nameNumbers(by workloads: [WorkloadInstance]) throws(DatapathError) {
    var groups: [IdentityNumber: [LabelSet: [CgroupID]]] = [:]
    var named: Set<CgroupID> = []
    for instance in workloads {
      guard let number = shadow.workloads[instance.cgroup]?.identity, allocator.labels(of: number) == nil,
        inherited.aliases[number] == nil
      else { continue }
      named.insert(instance.cgroup)
      groups[number, default: [:]][instance.labels, default: []].append(instance.cgroup)
    }
    guard !groups.isEmpty else { return }
    let shared = Set(inherited.cgroups.subtracting(named).compactMap { shadow.workloads[$0]?.identity })
    var split = Relabelling(levels: levels())
    let held = shadow[shadow.activeSlot]
    for (number, sets) in groups.sorted(by: { $0.key < $1.key }) {
      if sets.count == 1, !shared.contains(number), let labels = sets.first?.key {
        name(number, labels)
        continue
      }
      for (labels, cgroups) in sets.sorted(by: { $0.key.description < $1.key.description }) {
        guard let fresh = allocator.reserveNext() else { continue }
        name(fresh, labels)
        split.classes[fresh] = held?.classes[number]
        for cgroup in cgroups {
          guard var row = shadow.workloads[cgroup] else { continue }
          row.identity = fresh
          split.workloads[cgroup] = row
        }
        for (prefix, row) in held?.networks ?? [:] where row.workload.map(cgroups.contains) ?? false {
          split.networks[prefix] = NetworkRow(identity: fresh, workload: row.workload)
        }
      }
    }
    if !split.workloads.isEmpty { try perform(TableChanges.relabel(split, shadow: shadow)) }
  }

  private func name(_ number: IdentityNumber, _ labels: LabelSet) {
    allocator.adopt(number, labels, generation: shadow.generation)
    if allocator.number(of: labels) != number { inherited.aliases[number] = labels }
    remember([(number, labels)])
  }

  /// Writes down what numbers stand for; without that a start without a snapshot knows less, and nothing else changes.
  func remember(_ names: [(number: IdentityNumber, labels: LabelSet)]) {
    guard !names.isEmpty else { return }
    do {
      let allocator = allocator
      try datapath.name(names) { allocator.uses(of: $0) > 0 }
    } catch {
      logger.warning("\(error); a start without a snapshot will have to find these labels out")
    }
  }

  /// Gives identities without labels the classes of those that were judged as they are until now.
  ///
  /// Where nobody was, or those are judged differently from now on, they are unknown: refused, and never the host.
  func classifyUnnamed(_ wanted: inout SlotContents) {
    let unnamed = Set(shadow.workloads.values.map(\.identity)).filter { wanted.classes[$0] == nil }
    guard !unnamed.isEmpty else { return }
    let held = shadow[shadow.activeSlot]?.classes
    var successors: [Classes: Classes?] = [:]
    for (number, classes) in wanted.classes where number >= .firstAllotted && number < .firstExternal {
      guard let former = held?[number] else { continue }
      if let known = successors[former], known != classes {
        successors[former] = .some(nil)
      } else {
        successors[former] = classes
      }
    }
    for number in unnamed {
      wanted.classes[number] = held?[number].flatMap { successors[$0] ?? nil } ?? wanted.classes[.unknown]
    }
  }
}
