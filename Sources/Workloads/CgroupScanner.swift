// Looks at every cgroup below the agent's and says which workloads there are.
public import Enforcement
public import Kernel
internal import Policy
internal import SystemPackage

/// What one look at the cgroups found.
public struct Scan: Sendable {
  /// The labelled cgroups, by path.
  public var workloads: [WorkloadInstance]
  /// What people should know, one line each, sorted.
  public var warnings: [String]
  /// How many cgroups were looked at.
  public var cgroups: Int
}

/// Reads facts from cgroupfs and /proc, and classifies.
public struct CgroupScanner: Sendable {
  /// The cgroup that the programs are attached to.
  public let root: CgroupDirectory

  /// Scans below and including `root`.
  public init(root: CgroupDirectory) { self.root = root }

  /// Classifies every cgroup; those that go meanwhile are left out.
  ///
  /// - Throws: when the root cannot be read. What is wrong with one cgroup is a warning, not a failure.
  public func scan(_ classifier: Classifier) throws(KernelError) -> Scan {
    var scan = Scan(workloads: [], warnings: [], cgroups: 0)
    // Read once a scan and only when asked: names are needed for the users of processes alone.
    let users = classifier.needsProcesses ? UserNames.read() : UserNames()
    try root.walk { cgroup throws(KernelError) in
      scan.cgroups += 1
      var facts = CgroupFacts(
        cgroup: cgroup.id, path: cgroup.path.description, level: cgroup.level, isAttachRoot: cgroup.id == root.id)
      do {
        if let bytes = try cgroup.labels() {
          facts.tag = try WorkloadTag(parsing: String(decoding: bytes, as: UTF8.self))
        }
      } catch let error as WorkloadTagError {
        scan.warnings.append("\(facts.path): \(error): not labelled by it; repair it with `sallyport label`")
      } catch {
        scan.warnings.append("\(facts.path): \(error)")
      }
      if classifier.needsProcesses(of: facts) { facts.processes = processes(of: cgroup, users) }
      let result = classifier.classify(facts)
      scan.warnings += result.warnings
      if let workload = result.workload { scan.workloads.append(workload) }
    }
    scan.workloads.sort { $0.path < $1.path }
    scan.warnings.sort()
    return scan
  }

  /// Writes a tag on the cgroup with this path below the root of the hierarchy, and returns the cgroup's id.
  ///
  /// - Throws: also when the cgroup is not below this scanner's root, where nothing would be enforced on it.
  @discardableResult
  public func tag(_ path: String, _ tag: WorkloadTag?) throws(KernelError) -> CgroupID {
    var below = FilePath(path).lexicallyNormalized()
    guard below.removePrefix(root.path) else {
      throw KernelError(
        "label", path, .invalidArgument, remedy: "name a cgroup at or below \(root.path), where policy is enforced")
    }
    let cgroup = try root.hierarchy.directory(at: root.path.appending(below.components))
    if let tag { try cgroup.setLabels(Array(tag.text.utf8)) } else { try cgroup.removeLabels() }
    return cgroup.id
  }

  /// The tag that is on the cgroup with this path; nil when there is none or it cannot be read.
  public func tag(at path: String) -> WorkloadTag? {
    guard let cgroup = try? root.hierarchy.directory(at: FilePath(path)), let bytes = try? cgroup.labels() else {
      return nil
    }
    return try? WorkloadTag(parsing: String(decoding: bytes, as: UTF8.self))
  }

  /// Removes the cgroups that `sallyport exec` made and that nobody can enter any more; returns how many went.
  ///
  /// One whose maker still lives stays although it is empty: its maker is about to move in.
  public func removeAbandoned() throws(KernelError) -> Int {
    var removed = 0
    try root.walk { cgroup throws(KernelError) in
      guard cgroup.id != root.id, let bytes = try cgroup.labels(),
        let tag = try? WorkloadTag(parsing: String(decoding: bytes, as: UTF8.self)), let owner = tag.transientOwner,
        try cgroup.isEmpty(), !isAlive(owner)
      else { return }
      // Somebody may have entered in between: then the kernel says EBUSY, and it is not abandoned.
      do { try cgroup.remove(within: 0) } catch { return }
      removed += 1
    }
    return removed
  }

  private func isAlive(_ pid: Int32) -> Bool {
    guard let process = try? ProcessHandle.open(ProcessID(rawValue: pid)) else { return false }
    return !process.hasExited
  }

  /// The traits of the processes directly in a cgroup; those that end meanwhile are left out.
  private func processes(of cgroup: CgroupDirectory, _ users: UserNames) -> [ProcessTraits] {
    guard let ids = try? cgroup.processes() else { return [] }
    var traits: [ProcessTraits] = []
    for id in Set(ids.map(\.rawValue)) {
      guard let process = try? ProcessHandle.open(ProcessID(rawValue: id)), let facts = try? process.facts() else {
        continue
      }
      traits.append(
        ProcessTraits(
          executable: facts.executable.map { CgroupScanner.currentName($0.description) }, uid: facts.user,
          user: users[facts.user]))
    }
    return traits
  }

  /// The kernel appends ` (deleted)` once the file was replaced, as package upgrades do: still the same program.
  static func currentName(_ executable: String) -> String {
    let suffix = " (deleted)"
    return executable.hasSuffix(suffix) ? String(executable.dropLast(suffix.count)) : executable
  }
}
