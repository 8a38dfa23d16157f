// A place of its own for a test: a cgroup subtree, network namespaces, a directory for pins; all of it removed.
internal import Glibc
package import Kernel
internal import Synchronization
package import SystemPackage

/// What one test makes in the kernel; use `withSandbox`, which removes it also when the test fails.
package final class Sandbox: Sendable {
  /// The sandbox's own cgroup, directly below the hierarchy's root.
  package let cgroup: CgroupDirectory
  /// A directory of its own on the BPF file system; made on first use.
  package let pinDirectory: String
  private let name: String

  private static let prefix = "sallyport-test-"
  private static let counter = Atomic<Int>(0)
  /// Sandboxes of processes that are gone are removed once, before the first new one.
  private static let swept: Void = { sweep() }()

  fileprivate init() throws {
    _ = Self.swept
    name = "\(Self.prefix)\(getpid())-\(Self.counter.add(1, ordering: .relaxed).newValue)"
    cgroup = try CgroupHierarchy.find().root().create(try Self.component(name))
    pinDirectory = "\(BPFFilesystem.standard.path)/\(name)"
  }

  private static func component(_ name: String) throws(KernelError) -> FilePath.Component {
    guard let component = FilePath.Component(name) else {
      throw KernelError("name", "'\(name)'", .invalidArgument, remedy: "one component, no slash")
    }
    return component
  }

  // MARK: Cgroups

  /// A child of the sandbox's cgroup; `path` may have several components, all of which are made.
  package func makeCgroup(_ path: String) throws -> CgroupDirectory {
    var directory = cgroup
    for component in FilePath(path).components { directory = try directory.create(component) }
    return directory
  }

  /// A threaded child of the sandbox's cgroup: threads of this process can be put into it.
  ///
  /// The sandbox's cgroup itself becomes threaded first, since the process is in the root and threads stay in its
  /// domain: such a sandbox can hold no processes of its own, and `makeCgroup` is of no use in it.
  package func makeThreadedCgroup(_ name: String) throws -> CgroupDirectory {
    if try readKernelFile("cgroup.type", at: cgroup.descriptor.raw) != "threaded\n" { try cgroup.makeThreaded() }
    let child = try cgroup.create(try Self.component(name))
    if try readKernelFile("cgroup.type", at: child.descriptor.raw) != "threaded\n" { try child.makeThreaded() }
    return child
  }

  /// Runs `body` on a thread of its own inside a threaded cgroup and, if given, a network namespace.
  ///
  /// Sockets made in it belong to that cgroup and can be used from anywhere afterwards.
  package func run<T: Sendable>(
    in threaded: CgroupDirectory, namespace: NetworkNamespace? = nil, _ body: @escaping @Sendable () throws -> T
  ) throws -> T {
    let root = try CgroupHierarchy.find().root()
    let work: @Sendable () throws -> T = {
      try threaded.addThread(currentThread())
      // Out again before the thread ends: a dying thread would keep the directory busy.
      defer { try? root.addThread(currentThread()) }
      return try body()
    }
    if let namespace { return try namespace.run(work) }
    let result = try runOnFreshThread("sandbox") { () throws(KernelError) in Result { try work() } }
    return try result.get()
  }

  // MARK: Programs

  /// Runs a program to its end in a cgroup and namespace; throws if its exit code is not 0.
  package func command(
    _ words: [String], cgroup: CgroupDirectory? = nil, namespace: NetworkNamespace? = nil
  ) throws {
    let child = try start(words, cgroup: cgroup, namespace: namespace)
    let status = try child.wait()
    guard status == 0 else {
      throw KernelError("run", "'\(words.joined(separator: " "))': exit code \(status)", .canceled)
    }
  }

  /// Starts a program in a cgroup and namespace; it is killed with the sandbox if it is in one of its cgroups.
  package func start(
    _ words: [String], cgroup: CgroupDirectory? = nil, namespace: NetworkNamespace? = nil,
    input: Int32? = nil, output: Int32? = nil
  ) throws -> ChildProcess {
    guard let name = words.first, let path = Self.find(name) else {
      throw KernelError("find program", words.first ?? "", .noSuchFileOrDirectory)
    }
    return try ChildProcess.start(
      path, Array(words.dropFirst()), cgroup: cgroup, namespace: namespace, input: input, output: output)
  }

  /// The path of a program, looked for where root looks.
  package static func find(_ name: String) -> FilePath? {
    if name.hasPrefix("/") { return FilePath(name) }
    let places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map { "\($0)/\(name)" }
    return places.first { unsafe access($0, X_OK) == 0 }.map { FilePath($0) }
  }

  // MARK: Networks

  /// A namespace without a name, with its loopback interface up.
  package func makeNamespace() throws -> NetworkNamespace {
    let namespace = try NetworkNamespace.anonymous()
    try namespace.bringLoopbackUp()
    return namespace
  }

  /// Joins two namespaces by a veth pair (`sp0` in both); addresses are CIDRs such as `10.9.0.1/24`.
  ///
  /// IPv6 addresses are usable at once: no duplicate address detection.
  package func connect(
    _ first: NetworkNamespace, _ firstAddresses: [String], _ second: NetworkNamespace, _ secondAddresses: [String]
  ) throws {
    try command(
      ["ip", "link", "add", "sp0", "type", "veth", "peer", "name", "sp0", "netns", second.path.string],
      namespace: first)
    for (namespace, addresses) in [(first, firstAddresses), (second, secondAddresses)] {
      for address in addresses {
        let noDetection = address.contains(":") ? ["nodad"] : []
        try command(["ip", "addr", "add", address, "dev", "sp0"] + noDetection, namespace: namespace)
      }
      try command(["ip", "link", "set", "sp0", "up"], namespace: namespace)
    }
  }

  // MARK: Pins

  /// Makes the directory for pins and returns its path; mounts nothing.
  package func makePinDirectory() throws -> String {
    try BPFFilesystem.standard.require()
    let rc = unsafe mkdir(pinDirectory, 0o700)
    guard rc == 0 || errno == EEXIST else { throw KernelError("make", pinDirectory, Errno(rawValue: errno)) }
    return pinDirectory
  }

  // MARK: The end

  fileprivate func remove() throws {
    removeTree(pinDirectory)
    try Self.removeCgroup(cgroup)
  }

  private static func removeCgroup(_ cgroup: CgroupDirectory) throws(KernelError) {
    // A threaded cgroup has no kill: its threads are ours and have left.
    try? cgroup.kill()
    try cgroup.remove()
  }

  /// Removes what processes that no longer exist have left.
  private static func sweep() {
    guard let root = try? CgroupHierarchy.find().root(), let names = try? root.childNames() else { return }
    for name in names where name.string.hasPrefix(prefix) {
      let number = name.string.dropFirst(prefix.count).prefix { $0 != "-" }
      guard let pid = Int32(number), Glibc.kill(pid, 0) != 0, errno == ESRCH else { continue }
      removeTree("\(BPFFilesystem.standard.path)/\(name.string)")
      guard let left = try? root.child(name) else { continue }
      try? removeCgroup(left)
    }
  }
}

/// Runs `body` with a sandbox and removes the sandbox afterwards, whatever happens.
package func withSandbox<T>(_ body: (Sandbox) throws -> T) throws -> T {
  let sandbox = try Sandbox()
  let result = Result { try body(sandbox) }
  try finish(sandbox, result)
  return try result.get()
}

/// The same for a test that suspends.
package func withSandbox<T>(_ body: (Sandbox) async throws -> T) async throws -> T {
  let sandbox = try Sandbox()
  let result: Result<T, any Error>
  do { result = .success(try await body(sandbox)) } catch { result = .failure(error) }
  try finish(sandbox, result)
  return try result.get()
}

/// The body's error is worth more than that of the removal.
private func finish<T>(_ sandbox: Sandbox, _ result: Result<T, any Error>) throws {
  do { try sandbox.remove() } catch { if case .success = result { throw error } }
}

/// Removes a directory of pins and everything in it, as far as it can.
private func removeTree(_ path: String) {
  guard let stream = unsafe opendir(path) else { return }
  while let entry = unsafe readdir(stream) {
    let bytes = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { unsafe Array($0.prefix { $0 != 0 }) }
    let name = String(decoding: bytes, as: UTF8.self)
    guard name != ".", name != ".." else { continue }
    let child = "\(path)/\(name)"
    if unsafe unlink(child) != 0 { removeTree(child) }
  }
  unsafe closedir(stream)
  _ = unsafe rmdir(path)
}
