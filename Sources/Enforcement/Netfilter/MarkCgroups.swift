// Whose a cgroup is: its nearest labelled ancestor, by paths, for what the kernel cannot tell the mark view itself.
internal import Kernel
internal import SystemPackage

/// The labelled cgroups with their paths, at one instant.
struct MarkCgroups {
  private let scope: CgroupDirectory
  private var labelled: [FilePath: (id: CgroupID, row: WorkloadRow)] = [:]
  private var known: [CgroupID: MarkEndpoint?] = [:]
  /// Workloads whose cgroups were removed: no rule can name them, but their sockets may receive.
  private var ended: Set<CgroupID> = []

  /// Looks up where the workloads are.
  init(_ workloads: [CgroupID: WorkloadRow], below scope: CgroupDirectory) throws(KernelError) {
    self.scope = scope
    for (id, row) in workloads {
      guard let directory = try scope.hierarchy.directory(id: id) else {
        ended.insert(id)
        continue
      }
      labelled[directory.path] = (id, row)
    }
  }

  /// A cgroup that rules must tell from what is above it.
  struct Source {
    let id: CgroupID
    let path: FilePath
    let endpoint: MarkEndpoint
  }

  /// What rules have to match, ancestors first.
  ///
  /// A workload that rejects unlabelled children has one for each child that is there now.
  func sources() throws(KernelError) -> [Source] {
    var found: [Source] = []
    if scope.level > 0 { found.append(Source(id: scope.id, path: scope.path, endpoint: .host)) }
    for (path, (id, row)) in labelled {
      found.removeAll { $0.id == id }
      found.append(Source(id: id, path: path, endpoint: MarkEndpoint(workload: id)))
      if row.rejectsUnlabelledChildren { found += try unlabelledChildren(of: id) }
    }
    return found.sorted { left, right in
      let depths = (left.path.components.count, right.path.components.count)
      return depths.0 == depths.1 ? left.id < right.id : depths.0 < depths.1
    }
  }

  private func unlabelledChildren(of id: CgroupID) throws(KernelError) -> [Source] {
    guard let directory = try scope.hierarchy.directory(id: id) else { return [] }
    var found: [Source] = []
    for name in (try? directory.childNames()) ?? [] {
      // What goes meanwhile needs no rule.
      guard let child = try? directory.child(name), labelled[child.path] == nil else { continue }
      found.append(Source(id: child.id, path: child.path, endpoint: MarkEndpoint(workload: id, isChild: true)))
    }
    return found
  }

  /// Whose a socket is that this cgroup made; nil if the cgroup is gone, so that nobody can say.
  mutating func endpoint(of cgroup: CgroupID) throws(KernelError) -> MarkEndpoint? {
    if let endpoint = known[cgroup] { return endpoint }
    var endpoint = ended.contains(cgroup) ? MarkEndpoint(workload: cgroup) : nil
    if let directory = try scope.hierarchy.directory(id: cgroup) { endpoint = self.endpoint(at: directory.path) }
    known.updateValue(endpoint, forKey: cgroup)
    return endpoint
  }

  private func endpoint(at path: FilePath) -> MarkEndpoint {
    guard path.starts(with: scope.path) else { return .outside }
    var above = path
    while true {
      if let (id, row) = labelled[above] {
        return MarkEndpoint(workload: id, isChild: row.rejectsUnlabelledChildren && above != path)
      }
      guard above != scope.path, !above.components.isEmpty else { return .host }
      above.removeLastComponent()
    }
  }
}
