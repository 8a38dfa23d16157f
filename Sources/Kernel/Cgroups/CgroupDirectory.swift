// One cgroup v2 directory, held open: who it is, who is in it, what hangs below it.
internal import CLinux
internal import Glibc
package import SystemPackage

/// The kernel's number for a cgroup: its directory's inode number, what `bpf_skb_cgroup_id` returns.
package struct CgroupID: RawRepresentable, Hashable, Sendable, Comparable, CustomStringConvertible {
  /// The number.
  package let rawValue: UInt64

  /// Wraps the number.
  package init(rawValue: UInt64) { self.rawValue = rawValue }

  /// The number in decimal.
  package var description: String { String(rawValue) }

  /// Older cgroups come first: the kernel counts up.
  package static func < (left: CgroupID, right: CgroupID) -> Bool { left.rawValue < right.rawValue }
}

/// A cgroup v2 directory, open as long as this object lives; removing the directory does not make it another one.
package final class CgroupDirectory: Sendable {
  /// The hierarchy it is in.
  package let hierarchy: CgroupHierarchy
  /// The path below the hierarchy's root, as /proc/PID/cgroup shows it; may be non-UTF-8.
  package let path: FilePath
  /// The kernel's number.
  package let id: CgroupID
  /// The open directory, for attaching programs and for clone3.
  package let descriptor: OwnedDescriptor

  private init(
    _ hierarchy: CgroupHierarchy, _ path: FilePath, _ descriptor: consuming OwnedDescriptor, _ id: CgroupID
  ) {
    self.hierarchy = hierarchy
    self.path = path
    self.id = id
    self.descriptor = descriptor
  }

  /// The depth below the hierarchy's root, which is 0: the level that `bpf_skb_ancestor_cgroup_id` counts.
  package var level: Int { path.components.count }

  /// Opens the directory with a path as /proc/PID/cgroup shows it.
  package static func open(in hierarchy: CgroupHierarchy, path: FilePath) throws(KernelError) -> CgroupDirectory {
    guard let location = hierarchy.location(of: path) else {
      throw KernelError("open cgroup", path.description, .noSuchFileOrDirectory, remedy: "the mount does not show it")
    }
    return try open(hierarchy, path, location, at: nil)
  }

  private static func open(
    _ hierarchy: CgroupHierarchy, _ path: FilePath, _ location: FilePath, at parent: Int32?
  ) throws(KernelError) -> CgroupDirectory {
    let opened = try OwnedDescriptor.open(location, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW, at: parent)
    var status = stat()
    let rc = unsafe fstat(opened.raw, &status)
    try check(rc < 0 ? -errno : rc, "stat cgroup", path.description)
    return CgroupDirectory(hierarchy, path, opened, CgroupID(rawValue: UInt64(status.st_ino)))
  }

  // MARK: The tree

  /// Opens a child by name.
  package func child(_ name: FilePath.Component) throws(KernelError) -> CgroupDirectory {
    try Self.open(hierarchy, path.appending(name), FilePath(root: nil, [name]), at: descriptor.raw)
  }

  /// Makes a child, or opens it if it is there.
  package func create(_ name: FilePath.Component) throws(KernelError) -> CgroupDirectory {
    let rc = unsafe FilePath(root: nil, [name]).withPlatformString { name in
      unsafe mkdirat(descriptor.raw, name, 0o755) < 0 ? -errno : 0
    }
    if rc != -EEXIST {
      let remedy = rc == -EAGAIN ? "cgroup.max.depth or cgroup.max.descendants is reached" : nil
      try check(rc, "create cgroup", path.appending(name).description, remedy: remedy)
    }
    return try child(name)
  }

  /// The names of the children.
  package func childNames() throws(KernelError) -> [FilePath.Component] {
    // A descriptor of its own: reading a directory moves its position.
    let listed = try OwnedDescriptor.open(".", flags: O_RDONLY | O_DIRECTORY, at: descriptor.raw)
    guard let stream = unsafe fdopendir(listed.release()) else {
      throw KernelError("list cgroup", path.description, Errno(rawValue: errno))
    }
    defer { unsafe closedir(stream) }
    var names: [FilePath.Component] = []
    while let entry = unsafe readdir(stream) {
      guard unsafe entry.pointee.d_type == UInt8(DT_DIR) else { continue }
      let bytes = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { unsafe Array($0.prefix { $0 != 0 }) }
      let name = FilePath(bytes: bytes).lastComponent
      if let name, name.kind == .regular { names.append(name) }
    }
    return names
  }

  /// Calls `visit` for this directory and everything below it, parents first; what goes meanwhile is skipped.
  package func walk(_ visit: (CgroupDirectory) throws(KernelError) -> Void) throws(KernelError) {
    try visit(self)
    let names: [FilePath.Component]
    do { names = try childNames() } catch { return try ignoreRemoved(error) }
    for name in names {
      do { try child(name).walk(visit) } catch { try ignoreRemoved(error) }
    }
  }

  private func ignoreRemoved(_ error: KernelError) throws(KernelError) {
    guard error.errno == .noSuchFileOrDirectory || error.errno == .missingDevice else { throw error }
  }

  // MARK: Who is in it

  /// The processes directly in it; EOPNOTSUPP in a threaded cgroup.
  ///
  /// A process of another namespace is left out.
  ///
  /// The kernel may name a process twice when it moves meanwhile.
  package func processes() throws(KernelError) -> [ProcessID] {
    try numbers("cgroup.procs").filter { $0 > 0 }.map { ProcessID(rawValue: $0) }
  }

  /// The threads directly in it.
  package func threads() throws(KernelError) -> [Int32] {
    try numbers("cgroup.threads").filter { $0 > 0 }
  }

  private func numbers(_ file: FilePath) throws(KernelError) -> [Int32] {
    try readKernelFile(file, at: descriptor.raw).split(separator: "\n").compactMap { Int32($0) }
  }

  /// Whether no live process is in it or below it; true for a directory that was removed.
  package func isEmpty() throws(KernelError) -> Bool {
    do throws(KernelError) {
      return try !readKernelFile("cgroup.events", at: descriptor.raw).contains("populated 1")
    } catch {
      // The hierarchy's root has no such file; a removed directory answers ENODEV.
      if error.errno == .missingDevice { return true }
      guard error.errno == .noSuchFileOrDirectory else { throw error }
      let processes = try processes()
      let children = try childNames()
      return processes.isEmpty && children.isEmpty
    }
  }

  /// Moves a whole process here; sockets that it has keep their old cgroup.
  package func add(_ process: ProcessID) throws(KernelError) {
    try write("cgroup.procs", String(process.rawValue))
  }

  /// Moves one thread here; both cgroups must be in the same threaded domain.
  package func addThread(_ thread: Int32) throws(KernelError) {
    try write("cgroup.threads", String(thread))
  }

  /// Turns it into a threaded cgroup, which cannot be undone.
  package func makeThreaded() throws(KernelError) {
    try write("cgroup.type", "threaded")
  }

  private func write(_ file: FilePath, _ text: String) throws(KernelError) {
    do {
      try writeKernelFile(file, text, at: descriptor.raw)
    } catch {
      throw KernelError("write \(text) to", path.appending(file.components).description, error.errno)
    }
  }

  // MARK: Its end

  /// Kills every process in it and below it, at once; EOPNOTSUPP in a threaded cgroup.
  ///
  /// Kernel 5.14.
  package func kill() throws(KernelError) {
    try write("cgroup.kill", "1")
  }

  /// Removes it and everything below it, waiting until the last process is gone.
  ///
  /// Waits for the kernel's own notice, at most `milliseconds`, then throws EBUSY. A missing directory is success.
  package func remove(within milliseconds: Int64 = 2000) throws(KernelError) {
    let deadline = Clock.monotonicNanoseconds() + UInt64(milliseconds) * 1_000_000
    let names: [FilePath.Component]
    do { names = try childNames() } catch { return try ignoreRemoved(error) }
    for name in names {
      do { try child(name).remove(within: milliseconds) } catch { try ignoreRemoved(error) }
    }
    guard let location = hierarchy.location(of: path) else { return }
    while true {
      let rc = unsafe location.withPlatformString { unsafe rmdir($0) < 0 ? -errno : 0 }
      if rc == 0 || rc == -ENOENT { return }
      guard rc == -EBUSY, Clock.monotonicNanoseconds() < deadline else {
        let remedy = rc == -EBUSY ? "processes are still in it" : nil
        return try _ = check(rc, "remove cgroup", path.description, remedy: remedy)
      }
      try awaitEvent(until: deadline)
    }
  }

  /// Returns when cgroup.events changed, and after 10 ms at the latest: a dying thread makes no event of its own.
  private func awaitEvent(until deadline: UInt64) throws(KernelError) {
    let events: OwnedDescriptor
    do {
      events = try OwnedDescriptor.open("cgroup.events", flags: O_RDONLY, at: descriptor.raw)
    } catch { return try ignoreRemoved(error) }
    // The kernel notifies only of changes since the last read.
    var text = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))
    _ = unsafe read(events.raw, &text, 32)
    var request = pollfd(fd: events.raw, events: Int16(POLLPRI), revents: 0)
    _ = unsafe poll(&request, 1, 10)
  }
}
