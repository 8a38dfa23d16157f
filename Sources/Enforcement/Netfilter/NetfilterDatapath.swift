// The fallback: pinned programs that iptables rules call in each network namespace of a workload.

internal import BPF
internal import CDatapath
package import Kernel
internal import Synchronization

/// BPF programs called by `iptables -m bpf --object-pinned`, for hosts that take no programs on cgroups.
///
/// Rules are written only in namespaces that `police(_:)` names. Tests must never name the one they were started in.
package final class NetfilterDatapath: KernelDatapath {
  /// What it holds in the kernel.
  package let kernel: KernelState
  private let base: NetfilterRuleset
  private let settings: NetfilterSettings
  /// What the programs are told; nil where they see for themselves.
  let markState: MarkState?
  let listenerWatch = Mutex<ListenerWatch?>(nil)
  private let policed = Mutex(Policed())

  private let watching = Mutex<NetfilterWatch?>(nil)

  private struct Policed {
    var namespaces: [NetworkNamespace.Identity: NetworkNamespace] = [:]
    /// Whether the rules are to be there.
    var isAttached = false
    /// Where they may have been changed by others since they were looked at.
    var suspects: Set<NetworkNamespace.Identity> = []
    /// Where nobody tells when they are changed: ip_tables, and what cannot be watched.
    var silent: Set<NetworkNamespace.Identity> = []
  }

  static let output = "sp_nf_output"
  static let input = "sp_nf_input"
  static let tracepoint = (program: "sp_nf_state", name: "inet_sock_set_state")

  private init(kernel: KernelState, base: NetfilterRuleset, settings: NetfilterSettings, markState: MarkState?) {
    self.kernel = kernel
    self.base = base
    self.settings = settings
    self.markState = markState
  }

  /// How the programs learn whose packet it is.
  package var view: NetfilterView { markState == nil ? .exact : .mark }

  static func open(
    _ options: DatapathOptions, state: StateDirectory, lock: StateLock
  ) throws(DatapathError) -> NetfilterDatapath {
    var loader = try ProgramLoader(.netfilter, options, state: state)
    let isNew = try loader.open()
    let kernel = try KernelState(loader, isNew: isNew, lock: lock)
    var markState: MarkState?
    if loader.pins.object == .netfilterMark {
      markState = try MarkState(loader.pins, scope: loader.cgroup, workloads: kernel.holdings.workloads)
    }
    return NetfilterDatapath(
      kernel: kernel, base: try ruleset(loader.pins), settings: options.netfilter, markState: markState)
  }

  /// The rules that call what is pinned: their version tells the programs apart.
  private static func ruleset(_ pins: PinnedState) throws(DatapathError) -> NetfilterRuleset {
    do throws(BPFError) {
      let tags = [
        try BPFProgram.pinned(pins.program(output)).tag, try BPFProgram.pinned(pins.program(input)).tag,
      ]
      // The same programs with other maps are others: rules must be written anew to call them.
      let tables = try MapInfo(of: OwnedDescriptor.pinned(pins.map("sp_active"), "map")).id
      return NetfilterRuleset(
        instance: pins.instance, version: "\(SP_ABI_VERSION)-\(tags.joined(separator: "-"))-\(tables)",
        outputProgram: pins.program(output), inputProgram: pins.program(input), source: .kernel)
    } catch {
      throw DatapathError("open programs", pins.published, underlying: error, remedy: error.remedy)
    }
  }

  // MARK: Rules

  private func rules(in namespace: NetworkNamespace) throws(DatapathError) -> NetfilterRules {
    guard let markState else { return NetfilterRules(base, settings: settings) }
    return NetfilterRules(base.seeing(by: try markState.source(for: namespace)), settings: settings)
  }

  /// Writes the rules of a namespace.
  ///
  /// A cgroup may be removed after it was listed and before iptables looks it up: then they are listed again.
  private func install(in namespace: NetworkNamespace) throws(DatapathError) {
    var rules = try rules(in: namespace)
    for _ in 1..<4 {
      do throws(DatapathError) {
        note(try rules.install(in: namespace), in: namespace)
        return
      } catch {
        let now = try self.rules(in: namespace)
        guard now.ruleset != rules.ruleset else { throw error }
        rules = now
      }
    }
    note(try rules.install(in: namespace), in: namespace)
  }

  private func note(_ placement: NetfilterPlacement, in namespace: NetworkNamespace) {
    guard placement.backend == .legacy else { return }
    policed.withLock { _ = $0.silent.insert(namespace.identity) }
  }

  /// Writes what differs in every namespace, after workloads came or went; throws the first failure after all were tried.
  func followWorkloads(_ markState: MarkState) throws(DatapathError) {
    try markState.tellListeners()
    let namespaces = policed.withLock { $0.isAttached ? Array($0.namespaces.values) : [] }
    var failure: DatapathError?
    for namespace in namespaces {
      do throws(DatapathError) { try install(in: namespace) } catch { failure = failure ?? error }
    }
    if let failure { throw failure }
    if let namespace = namespaces.first, case .marked(let sources, _, _) = try markState.source(for: namespace) {
      markState.freeNumbers(except: sources)
    }
  }

  /// Makes one step; in the mark view rules follow the workloads.
  package func apply(_ change: TableChange) throws(DatapathError) {
    do throws(BPFError) { try kernel.tables.apply(change) } catch { throw kernel.tables.failure(change, error) }
    if let markState, markState.note(change) { try followWorkloads(markState) }
  }

  // MARK: Where

  /// Adds namespaces; in those that are new the rules are written at once if enforcement has begun.
  package func police(_ namespaces: [NetworkNamespace]) throws(DatapathError) {
    var isAttached = false
    let added = policed.withLock { policed in
      isAttached = policed.isAttached
      return namespaces.filter {
        !settings.spared.contains($0.identity) && policed.namespaces.updateValue($0, forKey: $0.identity) == nil
      }
    }
    defer { followNamespaces() }
    if added.isEmpty { askForListeners() }
    for namespace in added {
      do throws(DatapathError) {
        try markState?.enter(namespace)
        if isAttached { try install(in: namespace) }
      } catch {
        // It is tried again when it is named again.
        policed.withLock { $0.namespaces[namespace.identity] = nil }
        throw error
      }
    }
  }

  /// Ends the attention to namespaces that no policed process lives in; their rules stay until they are gone.
  package func forget(except living: [NetworkNamespace]) {
    let identities = Set(living.map(\.identity))
    policed.withLock { policed in
      policed.namespaces = policed.namespaces.filter { identities.contains($0.key) }
      policed.suspects.formIntersection(identities)
      policed.silent.formIntersection(identities)
    }
    markState?.leave(except: identities)
    followNamespaces()
  }

  /// Calls `changed`, on a thread of its own, whenever the rules of a policed namespace may have been changed.
  ///
  /// Legacy tables announce nothing: who changes them without iptables' lock goes unnoticed (`suspectTheSilent`).
  package func watch(_ changed: @escaping @Sendable () -> Void) throws(DatapathError) {
    let started = try NetfilterWatch.start { [weak self] change in
      self?.policed.withLock { policed in
        switch change {
        case .nftables(let namespace): policed.suspects.insert(namespace.identity)
        case .legacy: policed.suspects.formUnion(policed.namespaces.keys)
        }
      }
      changed()
    }
    watching.withLock { $0 = started }
    followNamespaces()
    // What happened before it watched was told to nobody.
    policed.withLock { $0.suspects.formUnion($0.namespaces.keys) }
    changed()
  }

  /// Ends the calls; none is under way when it returns.
  package func endWatch() { watching.withLock { $0.take() }?.stop() }

  /// Has `repair()` look where nobody tells of changes; to be called from time to time.
  package func suspectTheSilent() {
    policed.withLock { $0.suspects.formUnion($0.silent) }
  }

  private func followNamespaces() {
    guard let watch = watching.withLock({ $0 }) else { return }
    let namespaces = policed.withLock { Array($0.namespaces.values) }
    guard !watch.watch(namespaces).isEmpty else { return }
    // Which of them failed is of no use: all are looked at from time to time.
    policed.withLock { $0.silent.formUnion($0.namespaces.keys) }
  }

  /// Writes again what others have taken out or moved: what was done, in words, and where it could not be done.
  ///
  /// Looks only where something was announced, or is silent: reading the rules of a namespace takes four programs.
  package func repair() -> (done: [String], failures: [DatapathError]) {
    var done: [String] = []
    var failures: [DatapathError] = []
    let namespaces: [NetworkNamespace] = policed.withLock { policed in
      guard policed.isAttached else { return [] }
      defer { policed.suspects = [] }
      return policed.suspects.compactMap { policed.namespaces[$0] }
    }
    askForListeners()
    for namespace in namespaces {
      do throws(DatapathError) {
        let what: String
        switch try rules(in: namespace).state(in: namespace) {
        case .intact: continue
        case .missing(let difference): what = difference
        case .foreign(let version): what = "rules were of version \(version)"
        }
        try install(in: namespace)
        done.append("in \(namespace.description) \(what)")
      } catch {
        failures.append(error)
        policed.withLock { _ = $0.silent.insert(namespace.identity) }
      }
    }
    return (done, failures)
  }

  // MARK: Attaching

  /// Writes the rules into a namespace made for it, where nobody lives.
  package func tryToAttach() throws(DatapathError) {
    let nowhere: NetworkNamespace
    do throws(KernelError) {
      nowhere = try NetworkNamespace.anonymous()
    } catch {
      throw DatapathError("try to attach", "a network namespace", underlying: error, remedy: error.remedy)
    }
    try install(in: nowhere)
  }

  /// Attaches the tracepoint by a link that is pinned, and writes the rules.
  package func attachHooks() throws(DatapathError) {
    if let markState {
      try markState.tellListeners()
      try watchListeners(markState)
    } else {
      try attachTracepoint()
    }
    let namespaces = policed.withLock { Array($0.namespaces.values) }
    var done: [NetworkNamespace] = []
    do throws(DatapathError) {
      for namespace in namespaces {
        try install(in: namespace)
        done.append(namespace)
      }
    } catch {
      guard kernel.holdings.isNew else { throw error }
      // Best effort: the first error is the one to tell, and detach ends what may be left.
      let rules = NetfilterRules(base, settings: settings)
      for namespace in done.reversed() { try? rules.remove(from: namespace) }
      if markState == nil { try? removePin(at: kernel.pinned.link(Self.tracepoint.program)) }
      endListenerWatch()
      throw error
    }
    policed.withLock { $0.isAttached = true }
    try markState?.forgetFormer()
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
  package func detachHooks() throws(DatapathError) {
    let known = policed.withLock { policed in
      policed.isAttached = false
      defer { policed.namespaces = [:] }
      return Array(policed.namespaces.values)
    }
    endListenerWatch()
    let rules = NetfilterRules(base, settings: settings)
    for namespace in known { try rules.remove(from: namespace) }
    try Self.removeRules(kernel.pinned)
  }

  /// Pins again what was removed; rules are looked after by `repair()`.
  package func mendPins() -> PinCondition { kernel.held.mend { (_, _) throws(BPFError) in nil } }

  /// Nil: socket storage cannot be read where these programs run.
  package func retags() throws(DatapathError) -> RetagTable? { nil }
}

// MARK: What is pinned

extension NetfilterDatapath {
  /// The cgroup that the pinned programs police; nil if it is gone or nothing is attached.
  static func policedCgroup(_ pins: PinnedState) throws(DatapathError) -> CgroupID? {
    guard try isAttached(pins) else { return nil }
    return try policedDirectory(pins)?.id
  }

  /// Whether enforcement has begun: by the tracepoint's link, which the mark view does not have, else by a generation.
  private static func isAttached(_ pins: PinnedState) throws(DatapathError) -> Bool {
    guard pins.object == .netfilterMark else { return pins.hasLink(tracepoint.program) }
    do throws(BPFError) {
      return try BPFMap<UInt32, UInt32>.pinned(pins.map("sp_active")).value(for: 0) ?? 0 != 0
    } catch {
      throw DatapathError("read generation", pins.published, underlying: error, remedy: error.remedy)
    }
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
    let isMark = pins.object == .netfilterMark
    let missing = isMark || pins.hasLink(tracepoint.program) ? [] : [tracepoint.program]
    guard let directory = try policedDirectory(pins) else { return pins.object.programs }
    let rules = NetfilterRules(try ruleset(pins))
    let namespaces: [NetworkNamespace]
    do throws(KernelError) {
      namespaces = try NetworkNamespace.ofProcesses(below: directory)
    } catch {
      throw DatapathError("inspect", pins.published, underlying: error, remedy: error.remedy)
    }
    for namespace in namespaces {
      // What the agent tells in its rules of the mark view is known to it alone.
      let isInForce =
        if isMark { try rules.versionInForce(in: namespace) == rules.ruleset.version } else {
          try rules.state(in: namespace) == .intact
        }
      if !isInForce { return missing + [output, input] }
    }
    return missing
  }

  /// Takes an instance's rules out of every namespace of the host; what could not be taken out is an error.
  static func removeRules(_ pins: PinnedState) throws(DatapathError) {
    let removal = NetfilterRules.removeEverywhere(instance: pins.rulesInstance)
    guard let failure = removal.failures.first else { return }
    let more = removal.failures.count > 1 ? "; and \(removal.failures.count - 1) more" : ""
    throw DatapathError(
      "remove rules", pins.published, reason: "\(failure)\(more)", underlying: failure, remedy: failure.remedy)
  }
}
