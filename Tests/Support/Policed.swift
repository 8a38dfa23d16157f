// A sandbox with the real datapath attached to its own cgroup, and an enforcer that keeps it.
package import Enforcement
internal import Glibc
package import Kernel
internal import Logging
internal import Policy
internal import Synchronization
internal import SystemPackage

/// A policed subtree: threads that live in labelled cgroups, namespaces they work in, policy, and what was told.
package final class Policed: Sendable {
  /// Where everything is.
  package let sandbox: Sandbox
  /// The programs in the kernel.
  package let datapath: any KernelDatapath
  /// The one writer.
  package let enforcer: Enforcer
  /// A namespace with nothing but its loopback interface: where threads work when no other is named.
  package let home: NetworkNamespace
  /// What the kernel told.
  package let events = PolicedEvents()
  /// What lives, for revocation.
  package let flows = LiveFlows()
  /// Where its enforcer keeps what readers show.
  package let stateDirectory: String
  let tellsAtOnce: Bool
  private let state = Mutex(State())

  private struct State {
    var threads: [String: PolicedThread] = [:]
    var instances: [CgroupID: WorkloadInstance] = [:]
    var namespaces: [NetworkNamespace] = []
    var pairs: [String: NamespacePair] = [:]
  }

  /// Two namespaces that a veth pair joins.
  package struct NamespacePair: Sendable {
    /// 10.77.0.1, fd77::1 and 02:77:00:00:00:01.
    package let left: NetworkNamespace
    /// 10.77.0.2, fd77::2 and 02:77:00:00:00:02.
    package let right: NetworkNamespace
  }

  private init(
    _ sandbox: Sandbox, _ stateDirectory: String, _ kind: DatapathKind, _ view: NetfilterView?, tellsAtOnce: Bool,
    maxEntries: UInt32
  ) throws {
    self.tellsAtOnce = tellsAtOnce
    self.sandbox = sandbox
    self.stateDirectory = stateDirectory
    try sandbox.cgroup.makeThreaded()
    home = try sandbox.makeNamespace()
    guard let cgroup = sandbox.cgroup.hierarchy.location(of: sandbox.cgroup.path) else {
      throw Errno.noSuchFileOrDirectory
    }
    var options = DatapathOptions(
      cgroup: cgroup.string, bpffs: try sandbox.makePinDirectory(), maxEntries: maxEntries)
    options.netfilter.view = view
    let directory = StateDirectory(stateDirectory)
    datapath = try kind.open(options, state: directory)
    try datapath.police([home])
    var logger = Logger(label: "policed")
    logger.logLevel = .critical
    enforcer = Enforcer(datapath: datapath, state: directory, cgroup: cgroup.string, logger: logger)
    state.withLock { $0.namespaces = [home] }
  }

  private func start() async throws {
    try await enforcer.start()
    try resumeEvents()
  }

  /// Reads no records until `resumeEvents()`: they fill the ring.
  package func pauseEvents() { datapath.stopEvents() }

  /// Reads records again.
  package func resumeEvents() throws {
    try datapath.startEvents { [events, flows] batch in
      flows.note(batch)
      events.note(batch)
    }
  }

  /// Runs `body` with programs attached to a cgroup of its own, and removes everything afterwards, whatever happens.
  ///
  /// With `tellsAtOnce` the mark view hears of listeners after each piece of work of a thread, and not when it looks.
  package static func with<T>(
    _ kind: DatapathKind = .underTest, view: NetfilterView? = .underTest, tellsAtOnce: Bool = true,
    maxEntries: UInt32 = 16384, _ body: (Policed) async throws -> T
  ) async throws -> T {
    try await withSandbox { sandbox in
      let directory = try TemporaryDirectory()
      defer { withExtendedLifetime(directory) {} }
      let policed = try Policed(sandbox, directory.path, kind, view, tellsAtOnce: tellsAtOnce, maxEntries: maxEntries)
      let result: Result<T, any Error>
      do {
        try await policed.start()
        result = .success(try await body(policed))
      } catch {
        result = .failure(error)
      }
      await policed.end()
      return try result.get()
    }
  }

  private func end() async {
    for thread in state.withLock({ Array($0.threads.values) }) { thread.stop() }
    datapath.stopEvents()
    // The sandbox removes pins as well; this is the product's own way.
    try? await enforcer.detach()
  }

  // MARK: What was told

  /// A place in the events after everything that the kernel told before this call.
  ///
  /// Records come late, because most do not wake the reader; one that is looked for comes after them.
  package func mark() throws -> Int {
    let kind = datapath.kind
    let port = try thread("marker").run { () throws -> UInt16 in
      let socket = try TestSocket.bound("127.0.0.1", 0)
      let port = try socket.localPort
      // A bind is told on the cgroup datapath, a first datagram on both.
      if kind == .netfilter { try socket.send("mark", to: "127.0.0.1", port) }
      return port
    }
    let wanted: FlowEvent.Kind = kind == .cgroup ? .bind : .open
    guard
      events.first(
        after: 0,
        where: {
          // In the mark view nobody knows yet who listens there.
          ($0.kind == wanted || kind == .netfilter && $0.kind == .refused) && $0.localPort == port
            && $0.protocol == .udp
        }) != nil
    else { throw Errno.timedOut }
    return events.count
  }

  /// All events after a mark until now.
  package func told(after mark: Int) throws -> [FlowEvent] {
    let end = try self.mark()
    return Array(events.since(mark).prefix(end - mark))
  }

  // MARK: Who

  /// The thread of a cgroup, made on first use; `name` may be a path such as `web/child`.
  package func thread(_ name: String) throws -> PolicedThread {
    if let known = state.withLock({ $0.threads[name] }) { return known }
    let thread = try PolicedThread(in: try threadedCgroup(name), home: home, afterwards: tellListeners)
    state.withLock { $0.threads[name] = thread }
    return thread
  }

  /// A threaded cgroup below the sandbox's, with everything above it; nobody lives in it yet.
  package func threadedCgroup(_ name: String) throws -> CgroupDirectory {
    var cgroup = sandbox.cgroup
    for component in FilePath(name).components {
      cgroup = try cgroup.create(component)
      if try readKernelFile("cgroup.type", at: cgroup.descriptor.raw) != "threaded\n" { try cgroup.makeThreaded() }
    }
    return cgroup
  }

  /// Ends a thread, unlabels its cgroup if it was labelled, and removes the directory.
  package func remove(_ name: String) async throws {
    let thread = state.withLock { $0.threads.removeValue(forKey: name) }
    thread?.stop()
    guard let cgroup = thread?.cgroup else { return }
    if state.withLock({ $0.instances[cgroup.id] != nil }) { try await unlabel(cgroup) }
    try cgroup.remove()
  }

  /// Ends a thread and removes its directory, telling the enforcer nothing.
  package func removeBehindTheEnforcersBack(_ name: String) throws {
    let thread = state.withLock { $0.threads.removeValue(forKey: name) }
    thread?.stop()
    try thread?.cgroup.remove()
  }

  /// Labels a cgroup.
  @discardableResult
  package func label(
    _ cgroup: CgroupDirectory, _ labels: String, at addresses: [String] = [], observe: Bool = false,
    rejectingChildren: Bool = false
  ) async throws -> Publication {
    let instance = WorkloadInstance(
      cgroup: cgroup.id, path: cgroup.path.string, level: cgroup.level, labels: try LabelSet(parsing: labels),
      observe: observe, rejectsUnlabelledChildren: rejectingChildren, source: "test",
      addresses: try addresses.map { text in try IPAddress(parsing: text) })
    state.withLock { $0.instances[cgroup.id] = instance }
    return try await enforcer.update(setting: [instance])
  }

  /// Takes a cgroup's labels away.
  package func unlabel(_ cgroup: CgroupDirectory) async throws {
    state.withLock { $0.instances[cgroup.id] = nil }
    _ = try await enforcer.update(setting: [], removing: [cgroup.id])
  }

  /// A thread in a labelled cgroup: the same one for the same name, with labels and addresses as given now.
  package func workload(
    _ name: String, _ labels: String, at addresses: [String] = [], observe: Bool = false
  ) async throws -> PolicedThread {
    let thread = try thread(name)
    let wanted = try LabelSet(parsing: labels)
    let known = state.withLock { $0.instances[thread.cgroup.id] }
    let sameAddresses = known?.addresses.map(\.description) == addresses
    if known?.labels != wanted || known?.observe != observe || !sameAddresses {
      try await label(thread.cgroup, labels, at: addresses, observe: observe)
    }
    return thread
  }

  // MARK: Where

  /// A namespace of its own with its loopback interface up.
  package func makeNamespace() throws -> NetworkNamespace {
    let made = try sandbox.makeNamespace()
    try datapath.police([made])
    state.withLock { $0.namespaces.append(made) }
    return made
  }

  /// Two namespaces on 10.77.0.0/24 and fd77::/64, by name: pairs of different names overlap.
  package func pair(_ name: String = "pair") throws -> NamespacePair {
    if let known = state.withLock({ $0.pairs[name] }) { return known }
    let pair = NamespacePair(left: try makeNamespace(), right: try makeNamespace())
    try sandbox.connect(
      pair.left, ["10.77.0.1/24", "fd77::1/64"], pair.right, ["10.77.0.2/24", "fd77::2/64"])
    for (namespace, address) in [(pair.left, "02:77:00:00:00:01"), (pair.right, "02:77:00:00:00:02")] {
      try sandbox.command(["ip", "link", "set", "sp0", "address", address], namespace: namespace)
    }
    state.withLock { $0.pairs[name] = pair }
    return pair
  }

  // MARK: Policy

  /// Puts documents in force.
  @discardableResult
  package func apply(_ yaml: String) async throws -> Publication {
    let bytes = Array(yaml.utf8)
    let parsed = try PolicyParser.parse(files: [(name: "test.yaml", bytes: bytes)])
    return try await enforcer.apply(policy: parsed.policy, sources: [PolicySource(name: "test.yaml", bytes: bytes)])
  }

  /// What the kernel counts.
  package func counters() throws -> DatapathCounters { try datapath.counters() }

  /// Who every cgroup of this sandbox is now, by its nearest labelled ancestor.
  package func subjects() async throws -> [CgroupID: PolicedSubject] {
    let rows = await enforcer.workloadRows
    var subjects: [CgroupID: PolicedSubject] = [:]
    var byPath: [(path: FilePath, subject: PolicedSubject)] = []
    try sandbox.cgroup.walk { directory in
      if let row = rows[directory.id] {
        byPath.append((directory.path, PolicedSubject(row, of: directory.id)))
      }
      let nearest = byPath.last { directory.path.starts(with: $0.path) }
      subjects[directory.id] =
        nearest.map { $0.path == directory.path ? $0.subject : $0.subject.unlabelledChild } ?? .host
    }
    return subjects
  }

  /// Cuts what the policy in force no longer allows, in all namespaces of this sandbox; with `cgroups` only what a change
  /// of their labels can concern.
  package func revoke(affecting cgroups: Set<CgroupID>? = nil) async throws -> Revocation {
    guard let tables = try await enforcer.tables else { return Revocation() }
    let known = try await subjects()
    let (instances, namespaces) = state.withLock { ($0.instances, $0.namespaces) }
    var addresses: [IPAddress: PolicedSubject] = [:]
    for instance in instances.values {
      for address in instance.addresses { addresses[address] = known[instance.cgroup] }
    }
    let rules = RevocationRules(
      tables: tables, generation: await enforcer.snapshot.generation, addresses: addresses
    ) { known[$0] }
    datapath.rememberTracked(in: namespaces, flows: flows)
    let revoker = Revoker(flows: flows, retags: try datapath.retags())
    let result =
      if let cgroups { revoker.revoke(by: rules, in: namespaces, affecting: cgroups) } else {
        revoker.revoke(by: rules, in: namespaces)
      }
    let tracked = datapath.endTracked(by: rules, after: result.revoked, in: namespaces)
    guard tracked.failures.isEmpty else { throw Errno.ioError }
    return result
  }
}
