// In which network namespaces rules are to be, and in which of them others may have changed the rules.
internal import Kernel
internal import Synchronization

/// The namespaces of policed processes; what is written there is `NetfilterDatapath`'s.
final class PolicedNamespaces: Sendable {
  private struct State {
    var namespaces: [NetworkNamespace.Identity: NetworkNamespace] = [:]
    /// Whether the rules are to be there.
    var isAttached = false
    /// Where they may have been changed by others since they were looked at.
    var suspects: Set<NetworkNamespace.Identity> = []
    /// Where nothing announces that they are changed: ip_tables, and what cannot be watched.
    var silent: Set<NetworkNamespace.Identity> = []
  }

  private let state = Mutex(State())
  private let watching = Mutex<NetfilterWatch?>(nil)

  /// All of them.
  var all: [NetworkNamespace] { state.withLock { Array($0.namespaces.values) } }

  /// Those where rules are to be now: none before `attach()`.
  var attached: [NetworkNamespace] { state.withLock { $0.isAttached ? Array($0.namespaces.values) : [] } }

  /// Rules are to be there from now on.
  func attach() { state.withLock { $0.isAttached = true } }

  /// No rules are to be there any more; returns where they may be.
  func detach() -> [NetworkNamespace] {
    state.withLock { state in
      state.isAttached = false
      defer { state.namespaces = [:] }
      return Array(state.namespaces.values)
    }
  }

  /// Adds namespaces; returns those that are new, and whether rules are to be there now.
  func add(_ namespaces: [NetworkNamespace]) -> (new: [NetworkNamespace], isAttached: Bool) {
    state.withLock { state in
      let new = namespaces.filter { state.namespaces.updateValue($0, forKey: $0.identity) == nil }
      return (new, state.isAttached)
    }
  }

  /// Forgets one, so that it is new when it is named again.
  func remove(_ namespace: NetworkNamespace) { state.withLock { $0.namespaces[namespace.identity] = nil } }

  /// Forgets all others.
  func keep(_ identities: Set<NetworkNamespace.Identity>) {
    state.withLock { state in
      state.namespaces = state.namespaces.filter { identities.contains($0.key) }
      state.suspects.formIntersection(identities)
      state.silent.formIntersection(identities)
    }
    followNamespaces()
  }

  /// Nothing announces there when rules are changed.
  func noteSilent(_ namespace: NetworkNamespace) { state.withLock { _ = $0.silent.insert(namespace.identity) } }

  /// Has the silent ones looked at.
  func suspectTheSilent() { state.withLock { $0.suspects.formUnion($0.silent) } }

  /// Those in which rules may have been changed; they are not suspected any more.
  func takeSuspects() -> [NetworkNamespace] {
    state.withLock { state in
      guard state.isAttached else { return [] }
      defer { state.suspects = [] }
      return state.suspects.compactMap { state.namespaces[$0] }
    }
  }

  // MARK: Watching

  /// Calls `changed`, on a thread of its own, whenever the rules of one of them may have been changed.
  func watch(_ changed: @escaping @Sendable () -> Void) throws(DatapathError) {
    let started = try NetfilterWatch.start { [weak self] change in
      self?.state.withLock { state in
        switch change {
        case .nftables(let namespace): state.suspects.insert(namespace.identity)
        case .legacy: state.suspects.formUnion(state.namespaces.keys)
        }
      }
      changed()
    }
    watching.withLock { $0 = started }
    followNamespaces()
    // What happened before it watched was announced to nothing.
    state.withLock { $0.suspects.formUnion($0.namespaces.keys) }
    changed()
  }

  /// Ends the calls; none is under way when it returns.
  func endWatch() { watching.withLock { $0.take() }?.stop() }

  /// Has the namespaces watched that there are now.
  func followNamespaces() {
    guard let watch = watching.withLock({ $0 }) else { return }
    guard !watch.watch(all).isEmpty else { return }
    // Which of them failed is of no use: all are looked at from time to time.
    state.withLock { $0.silent.formUnion($0.namespaces.keys) }
  }
}
