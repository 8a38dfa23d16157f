// Which network namespaces the processes of a cgroup live in.

internal import SystemPackage

extension NetworkNamespace {
  /// The namespaces of all processes at or below a cgroup, each once.
  ///
  /// A process that makes a namespace, or enters one, while this looks is found by the next look.
  package static func ofProcesses(below cgroup: CgroupDirectory) throws(KernelError) -> [NetworkNamespace] {
    var found: [Identity: NetworkNamespace] = [:]
    for id in try ProcessID.all() {
      // The namespace comes first: who leaves the subtree between the two has left nothing in it that was not seen.
      guard let process = try? ProcessHandle.open(id), let namespace = try? NetworkNamespace.of(process),
        let membership = try? CgroupHierarchy.membership(of: id), membership.path.starts(with: cgroup.path)
      else { continue }
      found[namespace.identity] = namespace
    }
    return Array(found.values)
  }
}
