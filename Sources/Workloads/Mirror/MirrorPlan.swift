// Where a process belongs in version 2, by where it is in version 1: pure.
package import SystemPackage

/// Who made a directory of the version 2 tree.
package enum MirrorOrigin: Sendable, Equatable {
  /// The mirror: it stands for a directory of version 1.
  case mirror
  /// A rule, for one process (`placement: own-cgroup`).
  case placement
  /// Anybody else.
  case other
}

/// Decides what is moved.
package struct MirrorPlan: Sendable, Equatable {
  /// The cgroup at and below which policy is enforced; the rest of version 1 is not mirrored.
  package let scope: FilePath

  /// Mirrors at and below `scope`.
  package init(scope: FilePath) { self.scope = scope }

  /// Where a process must be moved; nil when it is where it belongs.
  ///
  /// It belongs in the directory of the path that it has in version 1, and in the root if that is not below `scope`. But
  /// it stays below that, in the cgroup in which a rule placed it; and wherever else somebody put it on purpose, such as
  /// `sallyport exec`: that says more than where it was started.
  package func destination(
    for older: FilePath, at newer: FilePath, origin: (FilePath) -> MirrorOrigin
  ) -> FilePath? {
    let wanted = older.starts(with: scope) ? older : "/"
    guard newer != wanted else { return nil }
    var base: FilePath = "/"
    for component in newer.components {
      let next = base.appending(component)
      switch origin(next) {
      case .mirror: base = next
      case .placement: return base == wanted ? nil : wanted
      case .other:
        // The scope itself, and what is above it, may have been there before.
        guard scope.starts(with: next) else { return nil }
        base = next
      }
    }
    return base == wanted ? nil : wanted
  }
}
