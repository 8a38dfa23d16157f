// Cgroups that were removed while something may still refer to them: whose their sockets are.
package import Enforcement
package import Kernel

/// What is remembered of removed cgroups: each one's parent, so that a socket that outlives its cgroup keeps its
/// workload.
///
/// Ids are never used again, so an entry that stays for too long harms nobody. Bounded: the oldest go first, and the
/// sockets of a forgotten cgroup are no longer judged by the agent.
struct EndedCgroups: Sendable {
  private static let limit = 65536
  private(set) var parents: [CgroupID: CgroupID] = [:]
  private var order: [CgroupID] = []
  private var first = 0

  /// Notes a cgroup that was removed.
  mutating func note(_ cgroup: CgroupID, below parent: CgroupID) {
    guard parents.updateValue(parent, forKey: cgroup) == nil else { return }
    order.append(cgroup)
    while parents.count > Self.limit, first < order.count {
      parents[order[first]] = nil
      first += 1
    }
    tidy()
  }

  /// Forgets one that nothing refers to.
  mutating func forget(_ cgroup: CgroupID) {
    parents[cgroup] = nil
    tidy()
  }

  /// Whether a cgroup is remembered.
  func contains(_ cgroup: CgroupID) -> Bool { parents[cgroup] != nil }

  /// The order keeps cgroups that were forgotten; not more than there are others.
  private mutating func tidy() {
    guard order.count > 2 * parents.count + 64 else { return }
    order = order[first...].filter { parents[$0] != nil }
    first = 0
  }
}

extension WorkloadTracker {
  /// Whether a cgroup was removed: its sockets may live on.
  package func isEnded(_ id: CgroupID) -> Bool {
    if cgroups[id] != nil { return false }
    if ended.contains(id) { return true }
    // Removed before this agent started, or forgotten; one that nobody has looked at yet is there.
    do { return try root.hierarchy.directory(id: id) == nil } catch { return false }
  }

  /// Who every cgroup is to policy, by the rows that the kernel has; also those that were removed.
  package func policed(by rows: [CgroupID: WorkloadRow]) -> [CgroupID: PolicedSubject] {
    var byPath: [Substring: PolicedSubject] = [:]
    // Of the cgroup and what is below it; the cgroup itself may be an unlabelled child.
    var inherited: [CgroupID: PolicedSubject] = [:]
    var subjects: [CgroupID: PolicedSubject] = [:]
    // Parents come first, so the parent's subject is that of the nearest labelled ancestor.
    for (id, known) in cgroups.sorted(by: { $0.value.facts.level < $1.value.facts.level }) {
      let path = known.facts.path
      let above = path.lastIndex(of: "/").flatMap { byPath[path[..<$0]] } ?? .host
      let own = rows[id].map { PolicedSubject($0, of: id) }
      byPath[path[...]] = own ?? above
      subjects[id] = own ?? above.unlabelledChild
      if !ended.parents.isEmpty { inherited[id] = own ?? above }
    }
    // An ended workload whose parent nobody knows any more has its row.
    for (id, row) in rows where subjects[id] == nil { subjects[id] = PolicedSubject(row, of: id) }
    for id in ended.parents.keys where subjects[id] == nil {
      subjects[id] = nearest(above: id, rows, inherited)?.unlabelledChild
    }
    return subjects
  }

  /// The subject of the nearest labelled cgroup above one that was removed; nil if that cannot be said any more.
  private func nearest(
    above id: CgroupID, _ rows: [CgroupID: WorkloadRow], _ inherited: [CgroupID: PolicedSubject]
  ) -> PolicedSubject? {
    var next = id
    for _ in 0...WorkloadInstance.deepestLevel + 1 {
      guard let parent = ended.parents[next] else { return nil }
      if let row = rows[parent] { return PolicedSubject(row, of: parent) }
      if let known = inherited[parent] { return known }
      next = parent
    }
    return nil
  }

  /// The cgroups of workloads, also of some that are gone, and all below them: whose identity may be another one now.
  package func below(_ workloads: [WorkloadInstance]) -> Set<CgroupID> {
    var found = Set(workloads.map(\.cgroup))
    let prefixes = workloads.map { $0.path + "/" }
    for (id, known) in cgroups where prefixes.contains(where: known.facts.path.hasPrefix) { found.insert(id) }
    for id in ended.parents.keys {
      var next = id
      var depth = 0
      while let parent = ended.parents[next], depth <= WorkloadInstance.deepestLevel {
        if found.contains(parent) {
          found.insert(id)
          break
        }
        next = parent
        depth += 1
      }
    }
    return found
  }
}
