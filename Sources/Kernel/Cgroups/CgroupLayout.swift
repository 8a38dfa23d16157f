// Which versions of cgroups a host's userspace mounts, and where; pure, from the text of mountinfo.
package import SystemPackage

/// One mount of a version 1 hierarchy.
package struct CgroupV1Mount: Equatable, Sendable {
  /// Where it is mounted.
  package let mountPoint: FilePath
  /// Which directory of the hierarchy the mount shows: `/` for all of it.
  package let root: FilePath
  /// What the hierarchy is called in /proc/PID/cgroup: its controllers such as `cpu`, `cpuacct`, or `name=systemd`.
  package let names: Set<String>

  /// States a mount.
  package init(mountPoint: FilePath, root: FilePath = "/", names: Set<String>) {
    self.mountPoint = mountPoint
    self.root = root
    self.names = names
  }

  /// The path in the file system of a path in the hierarchy; nil if the mount does not show it.
  package func location(of path: FilePath) -> FilePath? {
    var below = path
    guard below.removePrefix(root) else { return nil }
    return mountPoint.appending(below.components)
  }

  /// The path in the hierarchy of a path in the file system; nil if that is not below the mount point.
  package func path(of location: FilePath) -> FilePath? {
    var below = location.lexicallyNormalized()
    guard below.removePrefix(mountPoint) else { return nil }
    return root.appending(below.components)
  }
}

/// What a host's userspace made of the two versions of cgroups.
package enum CgroupLayout: Equatable, Sendable {
  /// Version 2 alone.
  case v2
  /// Version 2 beside hierarchies of version 1.
  case hybrid
  /// Version 1 alone; `mirror` is where Sallyport has mounted version 2 for itself.
  case v1([CgroupV1Mount], mirror: CgroupMount?)
  /// Nothing is mounted.
  case none

  /// The source by which Sallyport's own mount of cgroup2 is known: mountinfo shows it, and the kernel gives it no meaning.
  package static let mirrorSource = "sallyport"

  /// The layout in a mountinfo text (proc_pid_mountinfo(5)).
  ///
  /// A mount of Sallyport's own says that there was no other when it was made. So it decides, whatever was mounted since:
  /// what is mirrored stays mirrored until enforcement ends.
  package static func parse(mountinfo bytes: [UInt8]) -> CgroupLayout {
    let lines = MountLine.parse(bytes)
    let older = CgroupV1Mount.all(in: lines)
    let newer = lines.filter { $0.type == "cgroup2" }
    if let own = newer.first(where: { $0.source == mirrorSource }) {
      return .v1(older, mirror: CgroupMount(mountPoint: own.mountPoint, root: own.root))
    }
    switch (older.isEmpty, newer.isEmpty) {
    case (true, true): return .none
    case (false, true): return .v1(older, mirror: nil)
    case (true, false): return .v2
    case (false, false): return .hybrid
    }
  }

  /// The layout that this process sees.
  package static func current() throws(KernelError) -> CgroupLayout {
    parse(mountinfo: try readKernelBytes("/proc/self/mountinfo"))
  }

}

extension CgroupV1Mount {
  /// The version 1 mounts in a mountinfo text, in its order; other lines are ignored.
  package static func parse(mountinfo bytes: [UInt8]) -> [CgroupV1Mount] { all(in: MountLine.parse(bytes)) }

  fileprivate static func all(in lines: [MountLine]) -> [CgroupV1Mount] {
    lines.filter { $0.type == "cgroup" }.map { line in
      CgroupV1Mount(
        mountPoint: line.mountPoint, root: line.root,
        names: line.options.subtracting(plainOptions).filter { !$0.hasPrefix("release_agent=") })
    }
  }

  /// Options of version 1 that name no hierarchy (`cgroup1_show_options()` in kernel/cgroup/cgroup-v1.c).
  private static let plainOptions: Set<String> = [
    "rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods",
  ]
}

/// A mount of any file system, as far as it matters to who looks for one.
package struct FilesystemMount: Equatable, Sendable {
  /// Where it is mounted.
  package let mountPoint: String
  /// Such as `bpf`, `proc` or `securityfs`.
  package let type: String
  /// Of the file system, not of the mount.
  package let options: Set<String>

  /// Every mount in a mountinfo text, in its order; broken lines are left out.
  package static func parse(mountinfo bytes: [UInt8]) -> [FilesystemMount] {
    MountLine.parse(bytes).map { line in
      FilesystemMount(mountPoint: line.mountPoint.string, type: line.type, options: line.options)
    }
  }
}

/// A process's places in the hierarchies of version 1.
package struct CgroupV1Membership: Equatable, Sendable {
  /// The path that counts, below the root of its hierarchy; `/` when no hierarchy has another.
  package let path: FilePath
  /// What that hierarchy is called, as in `CgroupV1Mount.names`.
  package let names: Set<String>

  /// States a place.
  package init(path: FilePath, names: Set<String>) {
    self.path = path
    self.names = names
  }

  /// The path that tells most of who a process is, from the text of /proc/PID/cgroup (cgroups(7)).
  ///
  /// That is the service manager's, in a named hierarchy, or else the first controller's that has another than `/`: hosts
  /// without a service manager that uses cgroups still run containers, whose engines use all controllers alike. Nil if
  /// there is no hierarchy of version 1, or the process is outside of the reader's cgroup namespace.
  package static func parse(_ bytes: [UInt8]) -> CgroupV1Membership? {
    var places: [(rank: Int, place: CgroupV1Membership)] = []
    for line in bytes.split(separator: UInt8(ascii: "\n")) {
      // The path may hold colons; the names may not, but for what follows `name=`.
      let fields = line.split(separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3, !fields[1].isEmpty else { continue }
      let names = Set(String(decoding: fields[1], as: UTF8.self).split(separator: ",").map(String.init))
      let path = FilePath(bytes: Array(fields[2]))
      guard path.isAbsolute, path.components.allSatisfy({ $0.kind == .regular }) else { continue }
      places.append((rank(of: names), CgroupV1Membership(path: path, names: names)))
    }
    places.sort { $0.rank < $1.rank }
    return (places.first { !$0.place.path.components.isEmpty } ?? places.first)?.place
  }

  /// Service managers first, then controllers in the order in which engines can be relied on to use them.
  private static let order = ["pids", "memory", "cpu", "cpuacct", "cpuset", "blkio", "devices", "freezer"]

  private static func rank(of names: Set<String>) -> Int {
    if names.contains("name=systemd") { return 0 }
    if names.contains(where: { $0.hasPrefix("name=") }) { return 1 }
    return 2 + (order.firstIndex(where: names.contains) ?? order.count)
  }
}

/// A line of mountinfo, as far as it matters here.
struct MountLine: Equatable {
  let root: FilePath
  let mountPoint: FilePath
  let type: String
  let source: String
  /// Of the file system, not of the mount.
  let options: Set<String>

  /// The lines of a mountinfo text; broken ones are left out.
  static func parse(_ bytes: [UInt8]) -> [MountLine] {
    bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
      let fields = line.split(separator: UInt8(ascii: " "))
      // Optional fields end with a lone hyphen; type, source and the file system's options follow it.
      guard let hyphen = fields.firstIndex(where: { $0.elementsEqual("-".utf8) }), hyphen >= 6,
        fields.indices.contains(hyphen + 2)
      else { return nil }
      let options = fields.indices.contains(hyphen + 3) ? fields[hyphen + 3] : []
      return MountLine(
        root: FilePath(bytes: unescape(fields[3])), mountPoint: FilePath(bytes: unescape(fields[4])),
        type: String(decoding: fields[hyphen + 1], as: UTF8.self),
        source: String(decoding: unescape(fields[hyphen + 2]), as: UTF8.self),
        options: Set(String(decoding: options, as: UTF8.self).split(separator: ",").map(String.init)))
    }
  }

  /// Undoes the kernel's `\ooo` for blank, tab, newline and backslash.
  private static func unescape(_ field: ArraySlice<UInt8>) -> [UInt8] {
    var plain: [UInt8] = []
    var rest = field
    while let byte = rest.popFirst() {
      let digits = rest.prefix(3)
      guard byte == UInt8(ascii: "\\"), digits.count == 3, digits.allSatisfy({ (48...55).contains($0) }) else {
        plain.append(byte)
        continue
      }
      plain.append(UInt8(truncatingIfNeeded: digits.reduce(0) { $0 << 3 | Int($1 - 48) }))
      rest = rest.dropFirst(3)
    }
    return plain
  }
}
