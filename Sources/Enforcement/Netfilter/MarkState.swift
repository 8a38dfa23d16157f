// What the mark view must be told: numbers of workloads and namespaces in the mark, and who listens where.
internal import BPF
internal import CDatapath
internal import Kernel
internal import Synchronization
internal import SystemPackage

/// The tables and rules of the mark view that change with workloads, namespaces and sockets.
///
/// A number is given away as late as possible: rules that could not be rewritten may still write it into marks.
final class MarkState: Sendable {
  let layout: MarkLayout
  private let scope: CgroupDirectory
  private let marks: BPFMap<UInt32, sp_mark_endpoint>
  private let listeners: BPFMap<sp_listener_key, sp_mark_endpoint>
  private let state: Mutex<State>

  private struct State {
    var workloads: [CgroupID: WorkloadRow]
    /// Of cgroups that rules match.
    var sources: [CgroupID: (number: UInt32, endpoint: MarkEndpoint)] = [:]
    var lastSource: UInt32 = 0
    var namespaces: [NetworkNamespace.Identity: (number: UInt32, namespace: NetworkNamespace)] = [:]
    /// What is in sp_listeners.
    var told: [ListenerKey: MarkEndpoint] = [:]
    /// What an agent before us told, by the numbers that rules in force still have, and those numbers.
    var former: [sp_listener_key] = []
    var formerNamespaces: Set<UInt32> = []
  }

  /// Opens what is pinned.
  ///
  /// Numbers of workloads stay what they were; who listened stays known until rules with new numbers are in force.
  init(_ pins: PinnedState, scope: CgroupDirectory, workloads: [CgroupID: WorkloadRow]) throws(DatapathError) {
    self.scope = scope
    state = Mutex(State(workloads: workloads))
    do throws(BPFError) {
      marks = try .pinned(pins.map("sp_marks"), type: .array)
      listeners = try .pinned(pins.map("sp_listeners"), type: .hash)
      let path = pins.map(PinnedState.pin(of: ".rodata.mark"))
      let config = try BPFMap<UInt32, sp_mark_config>.pinned(path).value(for: 0)
      layout = Rows.layout(config)
      let former = try listeners.keys()
      state.withLock { state in
        state.former = former
        state.formerNamespaces = Set(former.map(\.namespace))
      }
      try marks.set(Rows.mark(scope.level > 0 ? .outside : .host), for: 0)
      for (number, row) in try marks.entries() where row.workload != 0 {
        let endpoint = Rows.mark(row)
        guard let id = endpoint.workload, !endpoint.isChild, number <= layout.lastSource else { continue }
        state.withLock { state in
          state.sources[id] = (number, endpoint)
          state.lastSource = max(state.lastSource, number)
        }
      }
    } catch {
      throw DatapathError("open mark tables", pins.published, underlying: error, remedy: error.remedy)
    }
  }

  // MARK: Who is labelled

  /// Notes a change of workloads; whether it is one.
  func note(_ change: TableChange) -> Bool {
    switch change {
    case .setWorkloads(let rows):
      state.withLock { $0.workloads.merge(rows) { _, new in new } }
      return !rows.isEmpty
    case .removeWorkloads(let keys):
      return state.withLock { state in
        for key in keys { state.workloads[key] = nil }
        // No rule names what ended long ago.
        return keys.contains { state.sources[$0] != nil }
      }
    default: return false
    }
  }

  // MARK: Rules

  /// The rules of a namespace, which must have been entered, by the workloads of now.
  func source(for namespace: NetworkNamespace) throws(DatapathError) -> SourceView {
    let number = state.withLock { $0.namespaces[namespace.identity]?.number } ?? 0
    return .marked(try sources(), mask: layout.whole, namespace: layout.namespace(number))
  }

  /// What marks the workloads; those that have no number yet get one, and sp_marks says so before any rule does.
  private func sources() throws(DatapathError) -> [MarkSource] {
    do throws(KernelError) {
      let found = try MarkCgroups(state.withLock { $0.workloads }, below: scope).sources()
      var made: [MarkSource] = []
      for source in found {
        let number = try number(of: source)
        let path = String(decoding: source.path.bytes.dropFirst(), as: UTF8.self)
        made.append(MarkSource(path: path, mark: layout.mark(source: number)))
      }
      return made
    } catch {
      throw DatapathError(error.operation, error.subject, underlying: error, remedy: error.remedy)
    }
  }

  private func number(of source: MarkCgroups.Source) throws(KernelError) -> UInt32 {
    try state.withLock { state throws(KernelError) in
      if let known = state.sources[source.id], known.endpoint == source.endpoint { return known.number }
      let used = Set(state.sources.values.map(\.number))
      var number = state.lastSource
      repeat {
        number = number < layout.lastSource ? number + 1 : 1
        if number == state.lastSource || used.count >= Int(layout.lastSource) {
          throw KernelError(
            "mark", source.path.description, .noSpace,
            remedy: "the marks have room for \(layout.lastSource) cgroups: label fewer, or choose a wider mark mask")
        }
      } while used.contains(number)
      do throws(BPFError) { try marks.set(Rows.mark(source.endpoint), for: number) } catch {
        throw KernelError(error.operation, error.subject, error.errno)
      }
      state.lastSource = number
      state.sources[source.id] = (number, source.endpoint)
      return number
    }
  }

  /// Frees the numbers of cgroups that no rule names any more: all rules were rewritten.
  func freeNumbers(except sources: [MarkSource]) {
    let used = Set(sources.map(\.mark))
    state.withLock { state in
      state.sources = state.sources.filter { used.contains(layout.mark(source: $0.value.number)) }
    }
  }

  // MARK: Namespaces

  /// Gives a namespace its number and tells who listens there.
  func enter(_ namespace: NetworkNamespace) throws(DatapathError) {
    try state.withLock { state throws(DatapathError) in
      guard state.namespaces[namespace.identity] == nil else { return }
      let used = Set(state.namespaces.values.map(\.number))
      let all = 1...max(1, layout.lastNamespace)
      let fresh = all.first { !used.contains($0) && !state.formerNamespaces.contains($0) }
      guard let number = fresh ?? all.first(where: { !used.contains($0) }) else {
        throw DatapathError(
          "mark packets of", namespace.description,
          reason: "the marks have room for \(layout.lastNamespace) namespaces",
          remedy: "choose a wider mark mask")
      }
      if fresh == nil { try forgetFormer(&state) }
      state.namespaces[namespace.identity] = (number, namespace)
    }
    try tellListeners()
  }

  /// Forgets what an agent before us told: no rule in force has its numbers any more.
  func forgetFormer() throws(DatapathError) {
    try state.withLock { state throws(DatapathError) in try forgetFormer(&state) }
  }

  private func forgetFormer(_ state: inout State) throws(DatapathError) {
    do throws(BPFError) { try listeners.removeAll(state.former) } catch {
      throw DatapathError("tell who listens", "sp_listeners", underlying: error, remedy: error.remedy)
    }
    state.former = []
    state.formerNamespaces = []
  }

  /// Ends the attention to all other namespaces.
  func leave(except living: Set<NetworkNamespace.Identity>) {
    state.withLock { state in state.namespaces = state.namespaces.filter { living.contains($0.key) } }
  }

  // MARK: Listeners

  /// Looks who listens in every namespace, and tells what changed since the last time.
  ///
  /// What fails in one namespace leaves what was told of it.
  func tellListeners() throws(DatapathError) {
    try state.withLock { state throws(DatapathError) in
      do throws(KernelError) {
        var cgroups = try MarkCgroups(state.workloads, below: scope)
        var wanted: [ListenerKey: MarkEndpoint] = [:]
        for (number, namespace) in state.namespaces.values {
          try Listeners.list(in: namespace, number: number, &cgroups, into: &wanted)
        }
        wanted = Listeners.shared(wanted, limit: listeners.info.maxEntries, known: state.told)
        let gone = state.told.keys.filter { wanted[$0] == nil }
        let changed = wanted.filter { state.told[$0.key] != $0.value }
        do throws(BPFError) {
          try listeners.removeAll(gone.map { Rows.listener($0) })
          for key in gone { state.told[key] = nil }
          try listeners.setAll(changed.map { (Rows.listener($0.key), Rows.mark($0.value)) })
          state.told = wanted
        } catch {
          throw KernelError(error.operation, error.subject, error.errno)
        }
      } catch {
        throw DatapathError("tell who listens", "sp_listeners", underlying: error, remedy: error.remedy)
      }
    }
  }

  /// How many receivers the programs know.
  var listenerCount: Int { state.withLock { $0.told.count } }
}
