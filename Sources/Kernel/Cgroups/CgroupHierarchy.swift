// Where the cgroup v2 hierarchy is mounted, and the way from names and processes to its directories.
internal import CLinux
internal import Glibc
package import SystemPackage

/// One cgroup v2 mount, as /proc/self/mountinfo tells it.
package struct CgroupMount: Equatable, Sendable {
  /// Where it is mounted.
  package let mountPoint: FilePath
  /// Which directory of the hierarchy the mount shows: `/` for all of it.
  package let root: FilePath

  /// States a mount.
  package init(mountPoint: FilePath, root: FilePath) {
    self.mountPoint = mountPoint
    self.root = root
  }

  /// The cgroup v2 mounts in a mountinfo text (proc_pid_mountinfo(5)), in its order; other lines are ignored.
  package static func parse(mountinfo bytes: [UInt8]) -> [CgroupMount] {
    MountLine.parse(bytes).filter { $0.type == "cgroup2" }.map { CgroupMount(mountPoint: $0.mountPoint, root: $0.root) }
  }
}

/// The cgroup v2 hierarchy of this host, through one of its mounts.
package struct CgroupHierarchy: Equatable, Sendable {
  /// The mount that is used.
  package let mount: CgroupMount

  /// Uses a mount that is known.
  package init(mount: CgroupMount) { self.mount = mount }

  /// Finds the mount; ENODEV if there is none.
  package static func find() throws(KernelError) -> CgroupHierarchy {
    try find(mountinfo: try readKernelBytes("/proc/self/mountinfo"))
  }

  /// The same, for a given mountinfo text.
  ///
  /// A mount of the whole hierarchy is preferred to one of a part, then the shortest mount point: bind mounts
  /// inside containers' file systems show the same hierarchy.
  package static func find(mountinfo: [UInt8]) throws(KernelError) -> CgroupHierarchy {
    let best = CgroupMount.parse(mountinfo: mountinfo).min { first, second in
      let keys = [first, second].map { ($0.root.components.count, $0.mountPoint.components.count) }
      return keys[0] < keys[1]
    }
    guard let best else {
      throw KernelError(
        "find", "cgroup v2 hierarchy", .missingDevice,
        remedy: "mount -t cgroup2 none /sys/fs/cgroup; where version 1 alone is mounted `sallyport run` does its own")
    }
    return CgroupHierarchy(mount: best)
  }

  /// The directory at the top of the mount.
  package func root() throws(KernelError) -> CgroupDirectory {
    try CgroupDirectory.open(in: self, path: mount.root)
  }

  /// The directory with a path as /proc/PID/cgroup shows it, such as `/system.slice/ssh.service`.
  package func directory(at path: FilePath) throws(KernelError) -> CgroupDirectory {
    try CgroupDirectory.open(in: self, path: path)
  }

  /// The directory with a number, or nil if it is gone or the mount does not show it.
  ///
  /// Needs CAP_DAC_READ_SEARCH.
  package func directory(id: CgroupID) throws(KernelError) -> CgroupDirectory? {
    let mounted = try OwnedDescriptor.open(mount.mountPoint, flags: O_RDONLY | O_DIRECTORY)
    let rc = sp_open_by_id(mounted.raw, id.rawValue)
    guard rc != -ESTALE, rc != -ENOENT else { return nil }
    let opened = OwnedDescriptor(adopting: try check(rc, "open cgroup", "id \(id)"))
    // The kernel tells the path from here; it may be removed before it is opened by that path.
    guard var below = opened.target, below.removePrefix(mount.mountPoint) else { return nil }
    do {
      let found = try directory(at: mount.root.appending(below.components))
      return found.id == id ? found : nil
    } catch {
      guard error.errno == .noSuchFileOrDirectory else { throw error }
      return nil
    }
  }

  /// The directory with a path in the file system, such as `/sys/fs/cgroup/system.slice`, wherever cgroup v2 is mounted.
  ///
  /// - Throws: also when the path is not in the hierarchy.
  package func directory(mountedAt location: FilePath) throws(KernelError) -> CgroupDirectory {
    var below = location.lexicallyNormalized()
    guard below.removePrefix(mount.mountPoint) else {
      throw KernelError(
        "open cgroup", location.description, .invalidArgument,
        remedy: "give a directory below \(mount.mountPoint), where cgroup v2 is mounted")
    }
    return try directory(at: mount.root.appending(below.components))
  }

  /// The path in the file system of a path in the hierarchy; nil if the mount does not show it.
  package func location(of path: FilePath) -> FilePath? {
    var below = path
    guard below.removePrefix(mount.root) else { return nil }
    return mount.mountPoint.appending(below.components)
  }

  /// Where a process is in the hierarchy.
  package static func membership(of process: ProcessID) throws(KernelError) -> CgroupMembership {
    let file = FilePath("/proc/\(process.rawValue)/cgroup")
    guard let found = CgroupMembership.parse(try readKernelBytes(file)) else {
      throw KernelError("read", file.description, .noData, remedy: "the kernel has no cgroup v2 hierarchy")
    }
    return found
  }
}

/// A process's place in the cgroup v2 hierarchy.
package struct CgroupMembership: Equatable, Sendable {
  /// The path below the hierarchy's root, or below the reader's cgroup namespace's.
  package let path: FilePath
  /// Whether the directory is gone already; the process is then a zombie or dying.
  package let isDeleted: Bool

  /// States a place.
  package init(path: FilePath, isDeleted: Bool) {
    self.path = path
    self.isDeleted = isDeleted
  }

  /// The `0::` line of /proc/PID/cgroup, which may come after lines of cgroup v1; nil if there is none.
  package static func parse(_ bytes: [UInt8]) -> CgroupMembership? {
    let prefix = Array("0::".utf8)
    let suffix = Array(" (deleted)".utf8)
    let lines = bytes.split(separator: UInt8(ascii: "\n"))
    guard let line = lines.first(where: { $0.starts(with: prefix) }) else { return nil }
    let path = line.dropFirst(prefix.count)
    guard path.suffix(suffix.count).elementsEqual(suffix) else {
      return CgroupMembership(path: FilePath(bytes: Array(path)), isDeleted: false)
    }
    return CgroupMembership(path: FilePath(bytes: Array(path.dropLast(suffix.count))), isDeleted: true)
  }
}

extension FilePath {
  /// A path of any bytes, which need not be UTF-8; a NUL ends it.
  package init(bytes: [UInt8]) {
    let characters = bytes.prefix { $0 != 0 }.map { CChar(bitPattern: $0) } + [0]
    self.init(platformString: characters)
  }

  /// The path's bytes, without a NUL.
  package var bytes: [UInt8] {
    unsafe withPlatformString { start in
      unsafe UnsafeBufferPointer(start: start, count: strlen(start)).map { UInt8(bitPattern: $0) }
    }
  }
}
