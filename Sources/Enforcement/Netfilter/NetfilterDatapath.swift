// The fallback: pinned programs that iptables rules call in each network namespace of a workload.

internal import BPF
internal import CDatapath
public import Kernel
internal import Synchronization

/// BPF programs called by `iptables -m bpf --object-pinned`, for hosts that take no programs on cgroups.
///
/// Rules are written only in namespaces that `police(_:)` names. Tests must never name the one they were started in.
public final class NetfilterDatapath: KernelDatapath {
  /// What it holds in the kernel.
  public let kernel: KernelState
  private let rules: NetfilterRules
  private let policed = Mutex(Policed())

  private let watching = Mutex<NetfilterWatch?>(nil)

  private struct Policed {
    var namespaces: [NetworkNamespace.Identity: NetworkNamespace] = [:]
    /// Whether the rules are to be there.
    var isAttached = false
  }

  static let output = "sp_nf_output"
  static let input = "sp_nf_input"
  static let tracepoint = (program: "sp_nf_state", name: "inet_sock_set_state")

  private init(kernel: KernelState, rules: NetfilterRules) {
    self.kernel = kernel
    self.rules = rules
  }

  static func open(
    _ options: DatapathOptions, state: StateDirectory, lock: StateLock
  ) throws(DatapathError) -> NetfilterDatapath {
    var loader = try ProgramLoader(.netfilter, options, state: state)
    let isNew = try loader.open()
    let kernel = try KernelState(loader, isNew: isNew, lock: lock)
    let rules = NetfilterRules(try ruleset(loader.pins), settings: options.netfilter)
    return NetfilterDatapath(kernel: kernel, rules: rules)
  }

  /// The rules that call what is pinned: their version tells the programs apart.
  private static func ruleset(_ pins: PinnedState) throws(DatapathError) -> NetfilterRuleset {
    do throws(BPFError) {
      let tags = [
        try BPFProgram.pinned(pins.program(output)).tag, try BPFProgram.pinned(pins.program(input)).tag,
      ]
      return NetfilterRuleset(
        instance: pins.instance, version: "\(SP_ABI_VERSION)-\(tags.joined(separator: "-"))",
        outputProgram: pins.program(output), inputProgram: pins.program(input), source: .kernel)
    } catch {
      throw DatapathError("open programs", pins.published, underlying: error, remedy: error.remedy)
    }
  }

  // MARK: Where

  /// Adds namespaces; in those that are new the rules are written at once if enforcement has begun.
  public func police(_ namespaces: [NetworkNamespace]) throws(DatapathError) {
    var isAttached = false
    let added = policed.withLock { policed in
      isAttached = policed.isAttached
      return namespaces.filter {
        !rules.settings.spared.contains($0.identity) && policed.namespaces.updateValue($0, forKey: $0.identity) == nil
      }
    }
    defer { followNamespaces() }
    guard isAttached else { return }
    for namespace in added {
      do throws(DatapathError) {
        try rules.install(in: namespace)
      } catch {
        // It is tried again when it is named again.
        policed.withLock { $0.namespaces[namespace.identity] = nil }
        throw error
      }
    }
  }

  /// Ends the attention to namespaces that no policed process lives in; their rules stay until they are gone.
  public func forget(except living: [NetworkNamespace]) {
    let identities = Set(living.map(\.identity))
    policed.withLock { policed in policed.namespaces = policed.namespaces.filter { identities.contains($0.key) } }
    followNamespaces()
  }

  /// Calls `changed`, on a thread of its own, whenever the rules of a policed namespace may have been changed.
  ///
  /// Legacy tables announce nothing: who changes them without iptables' lock goes unnoticed.
  public func watch(_ changed: @escaping @Sendable () -> Void) throws(DatapathError) {
    let started = try NetfilterWatch.start { _ in changed() }
    watching.withLock { $0 = started }
    followNamespaces()
  }

  /// Ends the calls; none is under way when it returns.
  public func endWatch() { watching.withLock { $0.take() }?.stop() }

  /// What cannot be watched is still looked at from time to time.
  private func followNamespaces() {
    guard let watch = watching.withLock({ $0 }) else { return }
    _ = watch.watch(policed.withLock { Array($0.namespaces.values) })
  }

  /// Writes again what others have taken out or moved; what was done, in words.
  public func repair() throws(DatapathError) -> [String] {
    var repaired: [String] = []
    let namespaces = policed.withLock { $0.isAttached ? Array($0.namespaces.values) : [] }
    for namespace in namespaces {
      switch try rules.state(in: namespace) {
      case .intact: continue
      case .missing(let what): repaired.append("in \(namespace.description) \(what)")
      case .foreign(let version): repaired.append("in \(namespace.description) rules were of version \(version)")
      }
      try rules.install(in: namespace)
    }
    return repaired
  }

  // MARK: Attaching

  /// Writes the rules into a namespace made for it, where nobody lives.
  public func tryToAttach() throws(DatapathError) {
    let nowhere: NetworkNamespace
    do throws(KernelError) {
      nowhere = try NetworkNamespace.anonymous()
    } catch {
      throw DatapathError("try to attach", "a network namespace", underlying: error, remedy: error.remedy)
    }
    try rules.install(in: nowhere)
  }

  /// Attaches the tracepoint by a link that is pinned, and writes the rules.
  public func attachHooks() throws(DatapathError) {
    try attachTracepoint()
    let namespaces = policed.withLock { Array($0.namespaces.values) }
    var done: [NetworkNamespace] = []
    do throws(DatapathError) {
      for namespace in namespaces {
        try rules.install(in: namespace)
        done.append(namespace)
      }
    } catch {
      guard kernel.holdings.isNew else { throw error }
      // Best effort: the first error is the one to tell, and detach ends what may be left.
      for namespace in done.reversed() { try? rules.remove(from: namespace) }
      try? removePin(at: kernel.pinned.link(Self.tracepoint.program))
      throw error
    }
    policed.withLock { $0.isAttached = true }
  }

  private func attachTracepoint() throws(DatapathError) {
    let pinned = kernel.pinned
    let program = Self.tracepoint.program
    guard !pinned.hasLink(program) else { return }
    do throws(BPFError) {
      let link = try BPFLink.attach(
        try BPFProgram.pinned(pinned.program(program)), rawTracepoint: Self.tracepoint.name)
      _ = try link.pin(at: pinned.link(program))
    } catch {
      throw DatapathError("attach", pinned.published, underlying: error, remedy: error.remedy)
    }
  }

  /// Takes the rules out of every namespace of the host.
  public func detachHooks() throws(DatapathError) {
    let known = policed.withLock { policed in
      policed.isAttached = false
      defer { policed.namespaces = [:] }
      return Array(policed.namespaces.values)
    }
    for namespace in known { try rules.remove(from: namespace) }
    try Self.removeRules(kernel.pinned)
  }

  /// Nil: socket storage cannot be read where these programs run.
  public func retags() throws(DatapathError) -> RetagTable? { nil }
}

// MARK: What is pinned

extension NetfilterDatapath {
  /// The cgroup that the pinned programs police; nil if it is gone or nothing is attached.
  static func policedCgroup(_ pins: PinnedState) throws(DatapathError) -> CgroupID? {
    guard pins.hasLink(tracepoint.program) else { return nil }
    return try policedDirectory(pins)?.id
  }

  private static func policedDirectory(_ pins: PinnedState) throws(DatapathError) -> CgroupDirectory? {
    do throws(BPFError) {
      let path = pins.map(PinnedState.pin(of: ".rodata.netfilter"))
      guard let scope = try BPFMap<UInt32, sp_nf_config>.pinned(path).value(for: 0) else { return nil }
      do throws(KernelError) {
        return try CgroupHierarchy.find().directory(id: CgroupID(rawValue: scope.cgroup))
      } catch { throw BPFError(error) }
    } catch {
      throw DatapathError("read scope", pins.published, underlying: error, remedy: error.remedy)
    }
  }

  /// The programs that are not called: the tracepoint's without a link, the others if any namespace of a policed process
  /// lacks their rules.
  static func missingAttachments(_ pins: PinnedState) throws(DatapathError) -> [String] {
    let missing = pins.hasLink(tracepoint.program) ? [] : [tracepoint.program]
    guard let directory = try policedDirectory(pins) else { return pins.kind.programs }
    let rules = NetfilterRules(try ruleset(pins))
    let namespaces: [NetworkNamespace]
    do throws(KernelError) {
      namespaces = try NetworkNamespace.ofProcesses(below: directory)
    } catch {
      throw DatapathError("inspect", pins.published, underlying: error, remedy: error.remedy)
    }
    for namespace in namespaces where try rules.state(in: namespace) != .intact {
      return missing + [output, input]
    }
    return missing
  }

  /// Takes an instance's rules out of every namespace of the host; what could not be taken out is an error.
  static func removeRules(_ pins: PinnedState) throws(DatapathError) {
    let removal = NetfilterRules.removeEverywhere(instance: pins.instance)
    guard let failure = removal.failures.first else { return }
    let more = removal.failures.count > 1 ? "; and \(removal.failures.count - 1) more" : ""
    throw DatapathError(
      "remove rules", pins.published, reason: "\(failure)\(more)", underlying: failure, remedy: failure.remedy)
  }
}
