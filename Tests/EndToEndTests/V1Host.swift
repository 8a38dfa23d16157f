// A host that mounts cgroup version 1 alone: this one, if it is one, or as much of it as private namespaces can show.
internal import Enforcement
internal import FoundationEssentials
internal import Glibc
internal import Kernel
internal import Synchronization
internal import SystemPackage
internal import TestSupport
internal import Testing

/// Directories of a test's own in the hierarchy of the service manager, and an agent that sees no mount of version 2.
///
/// On a hybrid machine all of it runs in mount and pid namespaces of its own: whatever the agent looks for in /proc, it
/// finds only what the test started.
final class V1Host {
  /// The hierarchy whose paths count.
  static let systemd: CgroupV1Mount? = {
    let mounts: [CgroupV1Mount]
    switch try? CgroupLayout.current() {
    case .v1(let older, _): mounts = older
    case .hybrid: mounts = (try? V1Host.olderMounts()) ?? []
    default: mounts = []
    }
    return mounts.first { $0.names.contains("name=systemd") && $0.root == "/" }
  }()

  private static func olderMounts() throws -> [CgroupV1Mount] {
    // As a version 1 host would see it: without the lines of version 2.
    let text = try readKernelFile("/proc/self/mountinfo").split(separator: "\n").filter { !$0.contains(" - cgroup2 ") }
    guard case .v1(let older, _) = CgroupLayout.parse(mountinfo: Array(text.joined(separator: "\n").utf8)) else {
      return []
    }
    return older
  }

  /// Keeps the namespaces.
  private final class Keeper {
    let child: ChildProcess
    init(_ child: consuming ChildProcess) { self.child = child }
  }

  private static let counter = Atomic<Int>(0)

  /// The path of the test's own cgroup in version 1; the agent enforces on its mirror.
  let top: FilePath
  let directory: String
  /// Where everything but the agent runs; its loopback interface is up.
  let network: NetworkNamespace
  /// Whether all of this host is the test's: nothing has to be hidden from the agent.
  let isWhole: Bool
  private let mount: CgroupV1Mount
  private let keeper: Keeper?
  private var commands = 0
  var state: String { "\(directory)/state" }
  var mirror: String { "\(directory)/cgroup2" }

  fileprivate init() throws {
    mount = try #require(Self.systemd)
    let name = "sallyport-v1-\(getpid())-\(Self.counter.add(1, ordering: .relaxed).newValue)"
    top = FilePath("/\(name)")
    directory = "/tmp/\(name)"
    network = try NetworkNamespace.anonymous()
    try network.bringLoopbackUp()
    try makeDirectory(directory, mode: 0o755)
    if case .v1 = try CgroupLayout.current() { isWhole = true } else { isWhole = false }
    guard !isWhole else {
      keeper = nil
      return
    }
    // Its own mounts: nothing is unmounted for anybody else.
    let script = """
      set -e
      for point in $(awk '{for (i = 7; i < NF; i++) if ($i == "-" && $(i + 1) == "cgroup2") print $5}' /proc/self/mountinfo)
      do umount "$point"; done
      touch \(directory)/ready
      exec sleep 3600
      """
    keeper = Keeper(
      try ChildProcess.start(
        "/usr/bin/unshare",
        ["-m", "-p", "-f", "--kill-child", "--mount-proc", "--propagation", "private", "sh", "-c", script]))
    try eventually("the namespaces are made") { isThere("\(directory)/ready") }
  }

  /// The process that lives in the namespaces: what `nsenter` is told.
  private func inside(_ words: [String]) throws -> [String] {
    guard let keeper else { return words }
    let id = keeper.child.handle.id
    let children = try readKernelFile(FilePath("/proc/\(id)/task/\(id)/children"))
    let first = try #require(children.split(separator: " ").first)
    return ["nsenter", "-t", String(first), "-m", "-p", "--"] + words
  }

  // MARK: Directories of version 1

  /// The path in the file system of a directory below the test's own.
  func location(_ path: String) throws -> String {
    try #require(mount.location(of: top.appending(FilePath(path).components))).string
  }

  /// Makes a directory of version 1 below the test's own.
  func make(_ path: String) throws {
    var at = FilePath("")
    for component in FilePath(path).components {
      try makeDirectory(location(""), mayExist: true)
      at.append(component)
      try makeDirectory(location(at.string), mayExist: true)
    }
  }

  // MARK: Commands

  /// Starts a command where the test's host is.
  func start(
    _ words: [String], isAgent: Bool = false, output: Int32? = nil, errors: Int32? = nil
  ) throws -> ChildProcess {
    let words = try inside(words)
    let path = try #require(Sandbox.find(words[0]))
    // The agent spares its own network namespace: it is not in that of the workloads.
    return try ChildProcess.start(
      path, Array(words.dropFirst()), namespace: isAgent ? nil : network, output: output, errors: errors)
  }

  /// Starts a shell script as a process of a directory of version 1, which it enters itself, as services are started.
  func start(in path: String, _ script: String, output: Int32? = nil) throws -> ChildProcess {
    try start(["sh", "-c", "echo 0 > \(location(path))/cgroup.procs; \(script)"], output: output, errors: output)
  }

  /// Runs a command to its end.
  func run(_ words: [String]) throws -> CommandResult {
    commands += 1
    let path = "\(directory)/out-\(commands)"
    let file = try OwnedDescriptor.open(FilePath(path), flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
    let child = try start(words, output: file.raw, errors: file.raw)
    let status = try child.wait()
    return CommandResult(status: status, output: try readKernelFile(FilePath(path)), errors: "")
  }

  /// Runs a script in a directory of version 1 to its end.
  func run(in path: String, _ script: String) throws -> CommandResult {
    try run(["sh", "-c", "echo 0 > \(location(path))/cgroup.procs; \(script)"])
  }

  /// Shell words that wait until the shell is mirrored.
  func untilMirrored(_ path: String) -> String {
    "until grep -q '^0::\(top.appending(FilePath(path).components))$' /proc/$$/cgroup; do sleep 0.02; done"
  }

  /// The product with the agent's state directory.
  @discardableResult
  func ask(_ words: String...) throws -> CommandResult {
    let result = try run([Product.sallyport] + words + ["--state", state])
    try #require(result.status == 0, "\(words.joined(separator: " ")): \(result.text) \(log)")
    return result
  }

  /// Starts an agent and returns once it enforces.
  func startAgent(_ policy: String, on enforced: String? = nil, _ options: [String] = []) throws -> ChildProcess {
    try replaceFile(FilePath("\(directory)/policy.yaml"), with: Array(policy.utf8))
    let ready = try Stream()
    let log = try OwnedDescriptor.open(
      FilePath("\(directory)/log"), flags: O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
    let child = try start(
      [
        Product.sallyport, "run", "--cgroup", enforced ?? location(""), "--policy", "\(directory)/policy.yaml",
        "--state", state, "--mirror", mirror, "--sources", "systemd", "--no-coverage", "--ready-fd", "1",
        "--datapath", DatapathKind.underTest.rawValue, "--spare-own-namespace",
      ] + options, isAgent: true, output: ready.other.raw, errors: log.raw)
    try #require(ready.handOver().read() == "\n", "the agent did not start: \(self.log)")
    return child
  }

  /// What agents said.
  var log: String { (try? readKernelFile(FilePath("\(directory)/log"))) ?? "" }

  /// The agent's number where it runs.
  func agent() throws -> Int32 { try #require(status().agentPid) }

  func status() throws -> ListedStatus {
    try JSONDecoder().decode(ListedStatus.self, from: Data(ask("status", "--output", "json").output.utf8))
  }

  /// Where cgroup2 is mounted on the test's host.
  func mounts() throws -> [String] {
    try run(["cat", "/proc/self/mountinfo"]).output.split(separator: "\n").filter { $0.contains(" - cgroup2 ") }
      .map { String($0.split(separator: " ")[4]) }
  }

  /// Whether the mirror has a directory.
  func isMirrored(_ path: String) throws -> Bool {
    try run(["test", "-d", "\(mirror)\(top)\(path.isEmpty ? "" : "/" + path)"]).status == 0
  }

  // MARK: The end

  fileprivate func remove() {
    let script = """
      for try in 1 2 3 4 5 6 7 8 9 10; do
        find \((try? location("")) ?? "/none") -name cgroup.procs -exec cat {} + 2>/dev/null | xargs -r kill -9 2>/dev/null
        find \((try? location("")) ?? "/none") -depth -type d -exec rmdir {} + 2>/dev/null && break
        sleep 0.1
      done
      rm -rf /sys/fs/bpf/sallyport/-tmp-\(top.string.dropFirst().replacing("-", with: "%2D"))-state*
      umount -l \(mirror) 2>/dev/null
      for left in /sys/fs/cgroup/unified\(top); do find $left -depth -type d -exec rmdir {} + 2>/dev/null; done
      rm -rf --one-file-system \(directory)
      """
    if let keeper {
      try? keeper.child.handle.send(signal: SIGKILL)
      _ = try? keeper.child.wait()
    }
    let child = try? ChildProcess.start("/bin/sh", ["-c", script])
    _ = try? child?.wait()
  }
}

/// Runs `body` with such a host, and removes what it made.
func withV1Host<T>(_ body: (V1Host) throws -> T) throws -> T {
  let host = try V1Host()
  defer { host.remove() }
  return try body(host)
}

extension MachineRequirement {
  /// A hierarchy of version 1 that a service manager would use.
  static let v1Host = MachineRequirement("cgroup version 1") {
    V1Host.systemd == nil ? "no hierarchy name=systemd is mounted" : nil
  }
}
