// The names that records needed lately, made once and shared.

internal import Enforcement
internal import Kernel
internal import Policy
internal import Synchronization

/// Names of all generations: most numbers mean the same in each.
final class MadeNames: Sendable {
  private struct State {
    var identities: [IdentityNumber: IdentityName] = [:]
    var workloads: [CgroupID: WorkloadName] = [:]
  }

  private let state = Mutex(State())
  /// Of each kind; then they are made anew.
  private static let limit = 16384

  func identity(_ number: IdentityNumber, in source: NamesInForce) -> IdentityName? {
    if let identity = source.identity(of: number) {
      return name(number, unless: { $0.identity != identity }) {
        source.labels(of: number).map { IdentityName(labels: $0) }
      }
    }
    if let networks = source.networks(of: number) {
      // Outside of every label: an address is known by its networks.
      return name(number, unless: { $0.networks != networks }) { IdentityName(labels: .empty, networks: networks) }
    }
    guard let labels = number.reservedLabels else { return nil }
    return name(number, unless: { _ in false }) { IdentityName(labels: labels) }
  }

  private func name(
    _ number: IdentityNumber, unless isStale: (IdentityName) -> Bool, _ make: () -> IdentityName?
  ) -> IdentityName? {
    state.withLock { state in
      if let known = state.identities[number], !isStale(known) { return known }
      if state.identities.count >= Self.limit { state.identities = [:] }
      let name = make()
      state.identities[number] = name
      return name
    }
  }

  func workload(_ id: CgroupID, in source: NamesInForce) -> WorkloadName? {
    guard let path = source.path(of: id) else { return nil }
    return state.withLock { state in
      if let known = state.workloads[id], known.path == path { return known }
      if state.workloads.count >= Self.limit { state.workloads = [:] }
      let name = WorkloadName(path: path)
      state.workloads[id] = name
      return name
    }
  }
}
