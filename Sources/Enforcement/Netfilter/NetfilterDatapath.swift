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
  private let policed = PolicedNamespaces()

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
  static func ruleset(_ pins: PinnedState) throws(DatapathError) -> NetfilterRuleset {
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
    policed.noteSilent(namespace)
  }

  /// Writes what differs in every namespace, after workloads came or went; throws the first failure after all were tried.
  func followWorkloads(_ markState: MarkState) throws(DatapathError) {
    try markState.tellListeners()
    let namespaces = policed.attached
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

  /// Ends the attention to namespaces that no policed process lives in, and writes rules in those that are new.
  package func policeProcesses(below root: CgroupDirectory) -> [DatapathError] {
    let living: [NetworkNamespace]
    do throws(KernelError) {
      living = try NetworkNamespace.ofProcesses(below: root)
    } catch {
      return [DatapathError("list", "network namespaces", underlying: error)]
    }
    forget(except: living)
    var failures: [DatapathError] = []
    for namespace in living {
      do throws(DatapathError) { try police([namespace]) } catch { failures.append(error) }
    }
    return failures
  }

  /// Adds namespaces; in those that are new the rules are written at once if enforcement has begun.
  package func police(_ namespaces: [NetworkNamespace]) throws(DatapathError) {
    let (added, isAttached) = policed.add(namespaces.filter { !settings.spared.contains($0.identity) })
    defer { policed.followNamespaces() }
    if added.isEmpty { askForListeners() }
    for namespace in added {
      do throws(DatapathError) {
        try markState?.enter(namespace)
        if isAttached { try install(in: namespace) }
      } catch {
        // It is tried again when it is named again.
        policed.remove(namespace)
        throw error
      }
    }
  }

  /// Ends the attention to namespaces that no policed process lives in; their rules stay until they are gone.
  func forget(except living: [NetworkNamespace]) {
    let identities = Set(living.map(\.identity))
    policed.keep(identities)
    markState?.leave(except: identities)
  }

  /// Legacy tables announce nothing: who changes them without iptables' lock goes unnoticed (`suspectTheSilent`).
  package func watchRules(_ changed: @escaping @Sendable () -> Void) throws(DatapathError) {
    try policed.watch(changed)
  }

  package func endRuleWatch() { policed.endWatch() }

  package var ruleInterval: Duration? { .seconds(10) }

  package func suspectTheSilent() { policed.suspectTheSilent() }

  /// Writes again what others have taken out or moved: what was done, in words, and where it could not be done.
  ///
  /// Looks only where something was announced, or is silent: reading the rules of a namespace takes four programs.
  package func repairRules() -> RuleRepair {
    var repair = RuleRepair()
    let namespaces = policed.takeSuspects()
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
        repair.done.append("in \(namespace.description) \(what)")
      } catch {
        repair.failures.append(error)
        policed.noteSilent(namespace)
      }
    }
    return repair
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
    let namespaces = policed.all
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
    policed.attach()
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
    let known = policed.detach()
    endListenerWatch()
    let rules = NetfilterRules(base, settings: settings)
    for namespace in known { try rules.remove(from: namespace) }
    try Self.removeRules(kernel.pinned)
  }

  /// Pins again what was removed; rules are looked after by `repairRules()`.
  package func mendPins() -> PinCondition { kernel.held.mend { (_, _) throws(BPFError) in nil } }

  /// Nil: socket storage cannot be read where these programs run.
  package func retags() throws(DatapathError) -> RetagTable? { nil }
}
