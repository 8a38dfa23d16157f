// Processes of a host that mounts version 1 alone, put into the same paths of a version 2 tree, where they are policed.
internal import Glibc
package import Kernel
internal import Synchronization
package import SystemPackage

/// What a look at processes came to.
package struct MirrorPass: Sendable {
  /// Processes that were moved; sockets that they had before keep the cgroup that they were made in.
  package internal(set) var moved: [ProcessID] = []
  /// What could not be mirrored, each with its remedy; one that ends meanwhile is no fault.
  package internal(set) var faults: [KernelError] = []

  /// Nothing moved.
  package init() {}

  /// Adds what came after.
  package mutating func append(_ later: MirrorPass) {
    moved += later.moved
    faults += later.faults
  }
}

/// The mirror of a host's version 1 hierarchies in a cgroup2 mount of our own (docs/decisions/0011).
///
/// What it knows is in the kernel: /proc/PID/cgroup tells both places of a process, and an attribute tells the directories
/// that it made. So it can be killed, and started again, at any instant. It may be used from any thread.
package final class CgroupMirror: Sendable {
  /// The tree of version 2.
  package let hierarchy: CgroupHierarchy
  /// The cgroup that policy is enforced on.
  package let root: CgroupDirectory
  /// Whether this object mounted the tree; otherwise an agent before it did.
  package let isNew: Bool
  private let older: [CgroupV1Mount]
  private let plan: MirrorPlan
  private let state: Mutex<State>

  private struct State: ~Copyable {
    /// Directories whose model in version 1 is gone, but that were still in use.
    var leaving: Set<FilePath> = []
    /// Nothing is moved any more.
    var hasEnded = false
    /// Open and locked as long as somebody uses the mount.
    var use: OwnedDescriptor?
  }

  private init(
    _ hierarchy: CgroupHierarchy, _ root: CgroupDirectory, _ older: [CgroupV1Mount], isNew: Bool,
    use: consuming OwnedDescriptor
  ) {
    self.hierarchy = hierarchy
    self.root = root
    self.older = older
    self.isNew = isNew
    plan = MirrorPlan(scope: root.path)
    state = Mutex(State(use: use))
  }

  // MARK: Mounting

  /// Mounts a version 2 tree at `place`, or takes over the one that an agent before mounted; nil unless this host mounts
  /// version 1 alone.
  ///
  /// `directory` is what to enforce on: a directory of the tree, or of any version 1 hierarchy, for which it then stands.
  /// Nothing is moved yet.
  ///
  /// - Throws: with the remedy; what this call mounted is unmounted again.
  package static func open(at place: FilePath, enforcingOn directory: FilePath) throws(KernelError) -> CgroupMirror? {
    guard case .v1(let older, let mirror) = try CgroupLayout.current() else { return nil }
    let hierarchy: CgroupHierarchy
    if let mirror {
      hierarchy = CgroupHierarchy(mount: mirror)
    } else {
      // The directory above is the state directory's, which only root reads.
      try makeDirectory(place.removingLastComponent().string, mode: 0o750, mayExist: true)
      hierarchy = try CgroupHierarchy.mountOwn(at: place)
    }
    do throws(KernelError) {
      let use = try OwnedDescriptor.open(hierarchy.mount.mountPoint, flags: O_RDONLY | O_DIRECTORY)
      try check(flock(use.raw, LOCK_SH | LOCK_NB) < 0 ? -errno : 0, "use", hierarchy.mount.mountPoint.string)
      let path = try path(of: directory, in: hierarchy, older)
      return CgroupMirror(hierarchy, try make(path, in: hierarchy), older, isNew: mirror == nil, use: use)
    } catch {
      if mirror == nil { try? hierarchy.unmountOwn() }
      throw error
    }
  }

  /// The mirror that a dead agent left; nil if there is none.
  ///
  /// `root` is the path of the cgroup that it enforced on, in the file system.
  package static func left(enforcingOn root: FilePath) throws(KernelError) -> CgroupMirror? {
    guard case .v1(_, let mirror?) = try CgroupLayout.current(), root.starts(with: mirror.mountPoint) else {
      return nil
    }
    return try open(at: mirror.mountPoint, enforcingOn: root)
  }

  /// Where the cgroup that is enforced on is in the file system.
  package var location: FilePath { hierarchy.location(of: root.path) ?? root.path }

  private static func path(
    of directory: FilePath, in hierarchy: CgroupHierarchy, _ older: [CgroupV1Mount]
  ) throws(KernelError) -> FilePath {
    let named = CgroupV1Mount(mountPoint: hierarchy.mount.mountPoint, root: hierarchy.mount.root, names: [])
    guard let path = named.path(of: directory) ?? older.lazy.compactMap({ $0.path(of: directory) }).first else {
      throw KernelError(
        "enforce on", directory.string, .invalidArgument,
        remedy: "this host mounts cgroup version 1 alone: name a directory of one of its hierarchies, or "
          + "\(hierarchy.mount.mountPoint) for all of them")
    }
    guard isThere(directory.string) || older.contains(where: { $0.shows(path) }) else {
      throw KernelError("enforce on", directory.string, .noSuchFileOrDirectory, remedy: "make it, or name another")
    }
    return path
  }

  private static func make(_ path: FilePath, in hierarchy: CgroupHierarchy) throws(KernelError) -> CgroupDirectory {
    var directory = try hierarchy.root()
    for component in path.components.dropFirst(hierarchy.mount.root.components.count) {
      directory = try directory.makeMirrored(component)
    }
    return directory
  }

  // MARK: Mirroring

  /// Looks at every process that /proc shows, and again until nothing is left to move; then removes directories whose
  /// model is gone.
  package func scan() -> MirrorPass {
    state.withLock { state in
      var pass = MirrorPass()
      guard !state.hasEnded else { return pass }
      scan(&pass)
      tidyAll(&state)
      return pass
    }
  }

  /// Does what events ask for: `.unknown` is a scan.
  package func follow(_ events: [WorkloadEvent]) -> MirrorPass {
    if events.contains(.unknown) { return scan() }
    return state.withLock { state in
      var pass = MirrorPass()
      guard !state.hasEnded else { return pass }
      var processes: Set<ProcessID> = []
      for event in events {
        switch event {
        case .enteredV1(let id): processes.insert(id)
        // What was forked before its parent was mirrored is found at its first exec at the latest.
        case .executed(let start): processes.insert(start.process)
        case .removedV1(let path?): state.leaving.insert(FilePath(path))
        case .removedV1(nil): tidyAll(&state)
        case .made, .emptied, .removed, .released, .entered, .exited, .unknown: break
        }
      }
      for id in processes { settle(id, withFamily: true, &pass) }
      if !state.leaving.isEmpty { tidy(&state) }
      return pass
    }
  }

  /// Looks at one process, which is held.
  package func settle(_ process: borrowing ProcessHandle) -> MirrorPass {
    let id = process.id
    return state.withLock { state in
      var pass = MirrorPass()
      guard !state.hasEnded else { return pass }
      settle(id, withFamily: true, &pass)
      return pass
    }
  }

  private func scan(_ pass: inout MirrorPass) {
    // A process that starts others all the time could keep this going for ever.
    for _ in 0..<16 {
      let before = pass.moved.count
      let all: [ProcessID]
      do throws(KernelError) { all = try ProcessID.all() } catch {
        pass.faults.append(error)
        return
      }
      let refused = pass.faults.count
      for id in all { settle(id, withFamily: false, &pass) }
      guard pass.moved.count > before, pass.faults.count == refused else { break }
    }
  }

  /// Moves a process to where it belongs; `withFamily` also those that are in the same directory of version 1, which it
  /// may have started before it was moved.
  private func settle(_ id: ProcessID, withFamily: Bool, _ pass: inout MirrorPass) {
    do throws(KernelError) {
      guard let places = try CgroupPlaces.of(id), destination(of: places) != nil else { return }
      // From here on it is held: the number cannot come to mean another one.
      let process = try ProcessHandle.open(id)
      var isMoved = false
      // It may be moved on in version 1 meanwhile.
      for _ in 0..<4 {
        guard let places = try CgroupPlaces.of(id), let path = destination(of: places) else { break }
        try process.move(to: Self.make(path, in: hierarchy))
        isMoved = true
      }
      guard isMoved else { return }
      pass.moved.append(id)
      if withFamily { settleFamily(of: places.older, &pass) }
    } catch {
      switch error.errno {
      case .noSuchProcess: break
      // Of /proc/PID, which is gone.
      case .noSuchFileOrDirectory where (try? ProcessHandle.open(id)) == nil: break
      default: pass.faults.append(error)
      }
    }
  }

  private func settleFamily(of place: CgroupV1Membership, _ pass: inout MirrorPass) {
    let mount = older.first { !$0.names.isDisjoint(with: place.names) }
    guard let location = mount?.location(of: place.path) else { return scan(&pass) }
    for _ in 0..<16 {
      let before = pass.moved.count
      guard let text = try? readKernelFile(location.appending("cgroup.procs")) else { return }
      // 0 stands for what is in another pid namespace.
      for number in text.split(separator: "\n").compactMap({ Int32($0) }) where number > 0 {
        settle(ProcessID(rawValue: number), withFamily: false, &pass)
      }
      guard pass.moved.count > before else { return }
    }
  }

  private func destination(of places: CgroupPlaces) -> FilePath? {
    plan.destination(for: places.older.path, at: places.newer.path) { path in
      guard let directory = try? hierarchy.directory(at: path) else { return .other }
      return Self.origin(of: directory)
    }
  }

  private static func origin(of directory: CgroupDirectory) -> MirrorOrigin {
    if (try? directory.isMirrored()) == true { return .mirror }
    return Placer.made(directory.path.string) && Placer.tag(of: directory) != nil ? .placement : .other
  }

  // MARK: Tidying

  private func tidyAll(_ state: inout State) {
    var found: [FilePath] = []
    try? root.walk { directory throws(KernelError) in
      if directory.path != root.path, try directory.isMirrored() { found.append(directory.path) }
    }
    state.leaving.formUnion(found)
    tidy(&state)
  }

  /// Removes directories whose model is gone in every hierarchy, children first; what is in use is tried again later.
  private func tidy(_ state: inout State) {
    for path in state.leaving.sorted(by: { $0.components.count > $1.components.count }) {
      guard path.starts(with: root.path), path != root.path, !older.contains(where: { $0.shows(path) }),
        let directory = try? hierarchy.directory(at: path), (try? directory.isMirrored()) == true,
        (try? directory.removeIfUnused()) == false
      else {
        state.leaving.remove(path)
        continue
      }
    }
  }

  // MARK: The end

  /// Moves all mirrored processes to the root of the tree, removes their directories, and unmounts the tree unless another
  /// agent uses it.
  ///
  /// - Throws: when something stays; the rest was done.
  package func end() throws(KernelError) {
    try state.withLock { state throws(KernelError) in
      guard !state.hasEnded, let use = state.use.take() else { return }
      state.hasEnded = true
      let top = try hierarchy.root()
      try Self.clear(root, into: top)
      var path = root.path
      while path.components.count > hierarchy.mount.root.components.count {
        guard let directory = try? hierarchy.directory(at: path), try directory.isMirrored(),
          try directory.removeIfUnused()
        else { break }
        path.removeLastComponent()
      }
      // Somebody else's lock says that the mount is still needed.
      guard flock(use.raw, LOCK_EX | LOCK_NB) == 0 else { return }
      try hierarchy.unmountOwn()
    }
  }

  private static func clear(_ directory: CgroupDirectory, into top: CgroupDirectory) throws(KernelError) {
    for name in try directory.childNames() {
      if let child = try? directory.child(name) { try clear(child, into: top) }
    }
    guard directory.id != top.id, origin(of: directory) != .other else { return }
    for _ in 0..<16 {
      let processes = try directory.processes()
      guard !processes.isEmpty else { break }
      // One that ended meanwhile is none to move.
      for id in processes { try? ProcessHandle.open(id).move(to: top) }
    }
    guard try !directory.removeIfUnused(), try directory.childNames().isEmpty else { return }
    // The last thread of a process that ends leaves a moment after it is told.
    try directory.remove(within: 2000)
  }
}

extension CgroupV1Mount {
  /// Whether a path of the hierarchy is there.
  fileprivate func shows(_ path: FilePath) -> Bool { location(of: path).map { isThere($0.string) } ?? false }
}
