// Workloads whose cgroups are gone: they stay in force until no socket of theirs lives.

package import Kernel
internal import Policy

/// What is known of ended workloads beside the roster.
struct Lingering: Sendable {
  /// Those that ended before there was a policy, or are about to.
  var waiting: Set<CgroupID> = []
  /// Those that had sockets when somebody last looked.
  var held: Set<CgroupID> = []
  /// Those that other workloads' sockets may speak for (`openSockets: retag`).
  var spoken: Set<CgroupID> = []
  /// How many had to give up their rows although somebody might still have referred to them.
  private(set) var letGoEarly = 0

  /// Which ended workloads must give up their rows, because ended ones have a share of all rows and no more, or because
  /// others need the room: the oldest of those without sockets first.
  func crowded(
    _ roster: Roster, ending: Int, adding: Int, rows: Int, _ limits: DatapathLimits
  ) -> [CgroupID] {
    guard !roster.ended.isEmpty else { return [] }
    let share = roster.ended.count + ending - max(1, limits.workloads / Self.share)
    let room = rows + adding - limits.workloads
    let excess = min(max(share, room), roster.ended.count)
    guard excess > 0 else { return [] }
    let members = roster.ended.compactMap { roster.members[$0] }
    let sorted = members.sorted { left, right in
      let (own, other) = (held.contains(left.instance.cgroup), held.contains(right.instance.cgroup))
      return own == other ? left.ended < right.ended : !own
    }
    return sorted.prefix(excess).map(\.instance.cgroup)
  }

  /// One of so many rows may be an ended workload's.
  private static let share = 4

  mutating func note(letGoEarly gone: [CgroupID]) {
    letGoEarly += gone.count
    held.subtract(gone)
    spoken.subtract(gone)
  }
}

extension Enforcer {
  /// The workloads whose cgroups were removed and whose rows are in force, with when that was (CLOCK_MONOTONIC).
  package var endedWorkloads: [CgroupID: UInt64] {
    var found = inherited.ended
    for id in roster.ended { found[id] = roster.members[id]?.ended }
    return found
  }

  /// How many ended workloads had to give up their rows before it was known that nothing refers to them.
  package var endedLetGoEarly: Int { lingering.letGoEarly }

  /// Remembers which ended workloads have sockets: they are the last to give up their rows.
  package func noteHeld(_ held: Set<CgroupID>) { lingering.held = held }

  /// Removes the rows of ended workloads that nothing refers to any more; their numbers rest.
  ///
  /// No verdict changes, so conversations are not judged again. Others than ended ones are left as they are.
  package func letGo(_ released: Set<CgroupID>) throws {
    let members = released.intersection(roster.ended).subtracting(lingering.spoken).compactMap { roster.members[$0] }
    let nameless = released.intersection(inherited.ended.keys)
    guard !members.isEmpty || !nameless.isEmpty, policy != nil, !isDetached else { return }
    try reporting("let ended workloads go") {
      try resynchronise()
      for member in members { roster.remove(member.instance.cgroup) }
      let wanted = Relabelling(
        released: members.map(\.instance.cgroup) + nameless, levels: levels(without: Array(nameless)))
      do {
        try perform(TableChanges.relabel(wanted, shadow: shadow))
      } catch {
        for member in members { roster.set(member) }
        throw error
      }
      lingering.held.subtract(released)
      inherited.leave(nameless)
      for member in members { allocator.release(member.number, generation: shadow.generation) }
    }
  }

  /// Takes over the ended workloads of the agent before: their rows are in force.
  func keepEnded(_ former: [WorkloadInstance]) {
    let now = Clock.monotonicNanoseconds()
    // Nobody remembers for whom.
    if shadow.heedsRetags { lingering.spoken.formUnion(shadow.workloads.keys) }
    for (place, instance) in former.enumerated() {
      guard (0...WorkloadInstance.deepestLevel).contains(instance.level), let row = shadow.workloads[instance.cgroup],
        allocator.number(of: instance.labels) == row.identity,
        let number = try? allocator.retain(instance.labels, generation: shadow.generation)
      else { continue }
      var member = Roster.Member(instance: instance, number: number)
      member.ended = now + UInt64(place)
      // Flags of the kernel's row that the file does not have: it is not this one.
      if member.row == row { roster.set(member) } else { allocator.release(number, generation: shadow.generation) }
    }
  }
}
