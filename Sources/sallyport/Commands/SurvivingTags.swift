// Tags that outlive enforcement: they are on the cgroups, and hold again once an agent runs.
internal import Enforcement
internal import Kernel
internal import SystemPackage

enum SurvivingTags {
  /// The paths of tagged cgroups at and below the one that was enforced on; none where nobody may look.
  static func paths(below location: String) -> [String] {
    var found: [String] = []
    guard let hierarchy = try? CgroupHierarchy.find(),
      let root = try? hierarchy.directory(mountedAt: FilePath(location))
    else { return [] }
    try? root.walk { directory in
      if (try? directory.labels()) != nil { found.append(directory.path.string) }
    }
    return found.sorted()
  }

  /// What `detach` says of them; nil if there are none.
  static func note(_ paths: [String]) -> String? {
    guard let first = paths.first else { return nil }
    let others =
      paths.count == 1
      ? ""
      : " and \(paths.count - 1) more (\(paths.dropFirst().prefix(4).joined(separator: ", "))"
        + (paths.count > 5 ? ", …)" : ")")
    return
      "labels stay on \(first)\(others), in trusted.sallyport.labels, and apply again at the next start; remove them with "
      + "`setfattr -x trusted.sallyport.labels DIRECTORY`, or before detach with `sallyport label --remove CGROUP`"
  }
}
