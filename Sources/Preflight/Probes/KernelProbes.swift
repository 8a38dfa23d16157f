// Programs, hooks, helpers and maps asked of this very kernel; nothing of them stays.
internal import BPF
internal import Enforcement
internal import Glibc
internal import Kernel
internal import Synchronization
internal import SystemPackage
internal import Workloads

/// A cgroup that nobody lives in, for one attempt; gone with `remove()`.
enum ScratchCgroup {
  private static let counter = Atomic<Int>(0)
  /// How their names begin.
  static let prefix = "sallyport-preflight-"
  /// Those that are there now, by their names.
  private static let present = Mutex<[String: CgroupDirectory]>([:])

  /// Makes one directly below the top of version 2, runs `body` with it and removes it.
  ///
  /// Where version 2 is not mounted, a mount that nobody else sees is made for it: what a kernel can do is not decided by
  /// what its userspace has mounted.
  static func with<T: Sendable>(_ body: @escaping @Sendable (CgroupDirectory) throws -> T) throws -> T {
    try inVersion2 { try make($0, body) }
  }

  /// Runs `body` with the hierarchy that is mounted, or else with a mount that nobody else sees.
  static func inVersion2<T: Sendable>(_ body: @escaping @Sendable (CgroupHierarchy) throws -> T) throws -> T {
    if let seen = try? CgroupHierarchy.find() { return try body(seen) }
    return try CgroupHierarchy.withPrivateMount(body)
  }

  private static func make<T>(_ hierarchy: CgroupHierarchy, _ body: (CgroupDirectory) throws -> T) throws -> T {
    let number = counter.add(1, ordering: .relaxed).newValue
    guard let name = FilePath.Component("\(prefix)\(getpid())-\(number)") else {
      throw KernelError("name", "scratch cgroup", .invalidArgument)
    }
    let directory = try hierarchy.root().create(name)
    present.withLock { $0[name.string] = directory }
    let result = Result { try body(directory) }
    present.withLock { $0[name.string] = nil }
    try directory.remove()
    return try result.get()
  }

  /// Removes those of attempts that were given up, as far as nobody is in them.
  static func removeAbandoned() {
    let left = present.withLock { Array($0.values) }
    for directory in left { try? directory.remove(within: 0) }
  }
}

extension Probe {
  /// Loads every program of this binary, as an agent would.
  static let programs = Probe("programs", within: .seconds(9)) {
    $0.programs = $1
  } _: {
    // Without one of them the verifier refuses what it takes from an agent.
    try requireBPF([.bpf, .netAdmin, .perfmon])
    return try DatapathKind.trials() + [KernelEvents.trial()]
  }

  /// Throws where no program at all may be loaded: what is refused then says nothing of the kernel.
  private static func requireBPF(_ capabilities: [Capability]) throws {
    try Capabilities.require(capabilities)
    do throws(BPFError) {
      _ = try BPFProgram.load(.socketFilter, name: "sp_preflight", instructions: [.move(0, 1), .exit])
    } catch {
      guard [.notPermitted, .permissionDenied].contains(error.errno) else { return }
      throw KernelError(
        "load", "the smallest program (a user namespace, seccomp or a security module refuses that)", error.errno)
    }
  }

  /// Attaches the smallest program of each kind to a scratch cgroup; only loads it where none can be made.
  static let hooks = Probe("hooks", within: .seconds(5)) {
    $0.hooks = $1
  } _: {
    try requireBPF([.bpf, .netAdmin])
    return (try? ScratchCgroup.with { HookTrial.all(on: $0) }) ?? HookTrial.all(on: nil)
  }

  /// Asks for every helper and kind of map that the programs of both datapaths use.
  static let features = Probe("helpers and maps", within: .seconds(8)) {
    $0.features = $1
  } _: {
    try requireBPF([.bpf, .netAdmin, .perfmon])
    let needs = try DatapathKind.allCases.flatMap { try DatapathKind.needs(of: $0) }
    let maps = Set(needs.flatMap(\.maps)).sorted { $0.rawValue < $1.rawValue }
    let calls = Set(needs.flatMap(\.calls))
    var helpers: [FeatureTrials.Trial] = []
    for (name, callers) in Dictionary(grouping: calls, by: \.name).sorted(by: { $0.key < $1.key }) {
      // One answer for each kind of program; where it is attached matters to the connect and bind hooks alone.
      for call in callers.sorted(by: {
        ($0.program.rawValue, $0.attach.rawValue) < ($1.program.rawValue, $1.attach.rawValue)
      }) {
        helpers.append(FeatureTrials.Trial(name: "\(name) for \(call.caller)", support: call.probe()))
      }
    }
    return FeatureTrials(maps: maps.map { FeatureTrials.Trial(name: $0.name, support: $0.probe()) }, helpers: helpers)
  }

  /// Makes a socket in a scratch cgroup and asks the kernel whose it is.
  static let sockets = Probe("sockets", within: .seconds(5)) {
    $0.sockets = $1
  } _: {
    try Capabilities.require([.sysAdmin, .netAdmin])
    return try ScratchCgroup.with { scratch in
      do throws(KernelError) {
        try SocketOwnership.check(below: scratch)
        return nil
      } catch {
        guard error.operation == "police sockets below", let remedy = error.remedy else { throw error }
        let parts = remedy.split(separator: ":", maxSplits: 1).map { String($0).trimmed }
        return SocketRefusal(reason: parts[0], remedy: parts.count > 1 ? parts[1] : remedy)
      }
    }
  }

  /// What filters packets in the network namespace of this process; loads nothing and makes no table.
  static let packetFilters = Probe("packet filters", within: .seconds(3)) {
    $0.packetFilters = $1
  } _: {
    try PacketFilterTables.read(in: NetworkNamespace.current())
  }
}

extension HelperCall {
  /// The kind of program, and its hook where the kernel tells hooks apart.
  fileprivate var caller: String {
    attach.rawValue == 0 && program != .cgroupSKB ? "type \(program.name)" : attach.name
  }
}
