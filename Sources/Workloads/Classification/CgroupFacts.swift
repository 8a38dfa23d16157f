// What classification knows of one cgroup: plain values, read elsewhere.
package import Kernel
package import Policy

/// What a rule may ask of one process.
package struct ProcessTraits: Sendable, Hashable {
  /// The absolute path of the executable; nil for kernel threads and for what may not be read.
  package var executable: String?
  /// The real user id.
  package var uid: UInt32
  /// The user's name, if the host's user file has one.
  package var user: String?
  /// The real group id.
  package var gid: UInt32
  /// The group's name, if the host's group file has one.
  package var group: String?
  /// The SHA-256 of the executable, lower-case hexadecimal; nil when no rule asked or it cannot be read.
  package var digest: String?

  package init(
    executable: String?, uid: UInt32, user: String? = nil, gid: UInt32 = 0, group: String? = nil, digest: String? = nil
  ) {
    self.executable = executable
    self.uid = uid
    self.user = user
    self.gid = gid
    self.group = group
    self.digest = digest
  }
}

/// What is known of one cgroup.
package struct CgroupFacts: Sendable {
  /// The inode number of its directory.
  package var cgroup: CgroupID
  /// The path below the root of the hierarchy, `/` first.
  package var path: String
  /// How many directories it is below the root of the hierarchy.
  package var level: Int
  /// The path of the cgroup that is watched, likewise.
  package var root: String
  /// What was written on it by `sallyport exec` or `workload label`.
  package var tag: WorkloadTag?
  /// What sources say about it, by their names.
  package var found: [String: SourceLabels]
  /// Its own processes, not those of its children; nil when no rule asked and so nobody looked.
  package var processes: [ProcessTraits]?

  package init(
    cgroup: CgroupID, path: String, level: Int, root: String = "/", tag: WorkloadTag? = nil,
    found: [String: SourceLabels] = [:], processes: [ProcessTraits]? = nil
  ) {
    self.cgroup = cgroup
    self.path = path
    self.level = level
    self.root = root
    self.tag = tag
    self.found = found
    self.processes = processes
  }

  /// Whether the programs are attached to this very cgroup.
  package var isAttachRoot: Bool { path == root }

  /// What all sources say, for rules that select by it; the source that comes first by name wins.
  package var foundLabels: LabelSet {
    found.sorted { $0.key < $1.key }.reduce(LabelSet.empty) { $1.value.labels.merging($0) }
  }

  /// The pods, as `NAMESPACE/NAME`, that container runtimes say this is a container of: one at most, if they agree.
  var podTitles: Set<String> {
    var titles: Set<String> = []
    // Runtimes call it NAMESPACE/POD/CONTAINER; other things may have such a name, and no namespace.
    for source in found.values where source.labels[PodLabel.namespace] != nil {
      let parts = source.name.split(separator: "/", omittingEmptySubsequences: false)
      if parts.count >= 2 { titles.insert("\(parts[0])/\(parts[1])") }
    }
    return titles
  }

  /// The name of the systemd unit whose own directory this cgroup is, or nil; see `UnitPath`.
  package var unit: String? {
    guard let place = UnitPath(path, root: root), place.isUnitItself else { return nil }
    return place.unit.text
  }
}
