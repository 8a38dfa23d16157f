// Cuts the live flows that a change of policy or labels no longer allows, and says which.

internal import Glibc
package import Kernel
internal import Policy

/// What a pass did.
package struct Revocation: Sendable {
  /// Sockets that were listed.
  package var listed = 0
  /// Sockets of policed subjects that were evaluated.
  package var judged = 0
  /// The losers, each reported before it was destroyed.
  package var revoked: [RevokedFlow] = []
  /// Losers that the kernel destroyed.
  package var destroyed = 0
  /// Losers that were gone before.
  package var gone = 0
  /// Losers that live on because their workload is observed.
  package var observed = 0
  /// Losers that the kernel did not destroy, and namespaces that could not be listed: each a line for people.
  package var failures: [String] = []

  /// Nothing done.
  package init() {}
}

/// Re-evaluates the sockets of policed workloads and destroys those that lose.
///
/// Established TCP passes the packet hooks unjudged, so tightening a policy must end such connections here; the
/// application sees ECONNABORTED. Datagrams are judged by the kernel again at the next packet; connected datagram
/// sockets are destroyed too, so that the application hears of it. SOCK_DESTROY needs a kernel with
/// CONFIG_INET_DIAG_DESTROY.
package struct Revoker: Sendable {
  private let flows: LiveFlows
  private let retags: RetagTable?

  /// A revoker that takes directions and peers from `flows` where they are remembered, and asks `retags` whom retagged
  /// sockets speak for; nil = there are none.
  package init(flows: LiveFlows, retags: RetagTable? = nil) {
    self.flows = flows
    self.retags = retags
  }

  /// One pass over the sockets of `namespaces`, which must be those that policed processes live in, each once.
  ///
  /// `report` gets the losers before they are destroyed, so that their refusal is on record before their close. What
  /// fails in one namespace is in `failures` and does not stop the others.
  package func revoke(
    by rules: RevocationRules, in namespaces: [NetworkNamespace], report: ([RevokedFlow]) -> Void = { _ in }
  ) -> Revocation {
    var result = Revocation()
    var sockets: [RevocationJudge.Socket] = []
    let storage = retags?.storageInUse
    var isWhole = true
    let began = Clock.monotonicNanoseconds()
    for (index, namespace) in namespaces.enumerated() {
      do throws(KernelError) {
        let listed = try SocketDiagnostics.open(in: namespace).list(storage: storage)
        sockets += listed.map { .init(namespace: index, entry: $0) }
      } catch {
        isWhole = false
        result.failures.append("\(error)")
      }
    }
    result.listed = sockets.count
    let cookies = sockets.map(\.entry.cookie)
    let known = flows.flows(of: cookies)
    // What no namespace has any more ended without a record; when a list is missing, that cannot be told.
    if isWhole, flows.count > known.count(where: { $0 != nil }) {
      flows.forget(missingFrom: Set(cookies), before: began)
    }
    judge(sockets, known, by: rules, in: namespaces, areRetagged: storage != nil, &result, report)
    return result
  }

  /// How long records may be on their way from the kernel: it wakes their reader for few of them.
  private static let recordDelay: UInt32 = 150_000

  /// Judges sockets, tells of the losers and destroys them.
  private func judge(
    _ sockets: [RevocationJudge.Socket], _ known: [LiveFlows.Flow?], by rules: RevocationRules,
    in namespaces: [NetworkNamespace], areRetagged: Bool, _ result: inout Revocation, _ report: ([RevokedFlow]) -> Void
  ) {
    var judge = RevocationJudge(sockets, rules, areRetagged: areRetagged)
    let losers = judge.losers(known)
    flows.remember(judge.found)
    result.judged = judge.judged
    result.observed = judge.observed
    // Of these only the address was known: the record that says who is there may be on its way.
    let doubtful = Set(
      zip(judge.losing, losers).filter { $1.assurance == .address && known[$0] == nil && $1.isTCP }.map(\.0))
    end(zip(judge.losing, losers).filter { !doubtful.contains($0.0) }, sockets, namespaces, &result, report)
    guard !doubtful.isEmpty else { return }
    usleep(Self.recordDelay)
    var again = RevocationJudge(sockets, rules, areRetagged: areRetagged)
    let lost = again.losers(flows.flows(of: sockets.map(\.entry.cookie)))
    end(zip(again.losing, lost).filter { doubtful.contains($0.0) }, sockets, namespaces, &result, report)
  }

  private func end(
    _ losers: [(place: Int, flow: RevokedFlow)], _ sockets: [RevocationJudge.Socket],
    _ namespaces: [NetworkNamespace], _ result: inout Revocation, _ report: ([RevokedFlow]) -> Void
  ) {
    guard !losers.isEmpty else { return }
    let flows = losers.map(\.flow)
    result.revoked += flows
    report(flows)
    destroy(losers.map(\.place), sockets, namespaces, &result)
  }

  private func destroy(
    _ losing: [Int], _ sockets: [RevocationJudge.Socket], _ namespaces: [NetworkNamespace],
    _ result: inout Revocation
  ) {
    // One pass: a host may have a thousand namespaces.
    let byNamespace = Dictionary(grouping: losing) { sockets[$0].namespace }
    for (index, own) in byNamespace.sorted(by: { $0.key < $1.key }) {
      do throws(KernelError) {
        let outcome = try SocketDiagnostics.destroy(own.map { sockets[$0].entry }, in: namespaces[index])
        result.destroyed += outcome.destroyed
        result.gone += outcome.gone
        result.failures += outcome.failed.map { "destroy socket \($0.socket.cookie): error \($0.error)" }
      } catch {
        result.failures.append("\(error)")
      }
    }
  }
}

// MARK: At the start

extension Revoker {
  /// Looks who is at both ends of the connections that nothing is remembered of, and cuts nothing.
  ///
  /// For an agent that takes over: the other end of a connection may be gone by the time that it is judged.
  package func learn(by rules: RevocationRules, in namespaces: [NetworkNamespace]) {
    var sockets: [RevocationJudge.Socket] = []
    for (index, namespace) in namespaces.enumerated() {
      guard let listed = try? SocketDiagnostics.open(in: namespace).list(storage: retags?.storageInUse) else {
        continue
      }
      sockets += listed.map { .init(namespace: index, entry: $0) }
    }
    var judge = RevocationJudge(sockets, rules, areRetagged: retags?.storageInUse != nil)
    _ = judge.losers(flows.flows(of: sockets.map(\.entry.cookie)))
    flows.remember(judge.found)
  }
}

// MARK: After a change of labels

extension Revoker {
  /// One pass over what a change of some cgroups' labels can concern: their own sockets, and those at the other end.
  ///
  /// `cgroups` are those whose subject is another one now: the labelled ones, also those that lost their labels, and what
  /// is below them without labels of its own. `namespaces` are all that policed processes live in, as for a whole pass:
  /// the other ends may be in any. The kernel walks its table of sockets once for each namespace, and once more if
  /// there are connections (a whole pass walks it once), but tells only of the cgroups' own sockets, of what is connected
  /// to them, and of listeners; the rest is never seen here. Once a socket was retagged, or with very many cgroups or
  /// connections, it is a whole pass.
  package func revoke(
    by rules: RevocationRules, in namespaces: [NetworkNamespace], affecting cgroups: Set<CgroupID>,
    report: ([RevokedFlow]) -> Void = { _ in }
  ) -> Revocation {
    guard !cgroups.isEmpty else { return Revocation() }
    guard retags?.storageInUse == nil, cgroups.count <= SocketFilter.limit,
      let sockets = try? affected(cgroups, rules, namespaces)
    else { return revoke(by: rules, in: namespaces, report: report) }
    var result = Revocation()
    result.listed = sockets.count
    judge(
      sockets, flows.flows(of: sockets.map(\.entry.cookie)), by: rules, in: namespaces, areRetagged: false, &result,
      report)
    return result
  }

  /// The sockets that a change of cgroups concerns; nil if there are too many to ask for.
  private func affected(
    _ cgroups: Set<CgroupID>, _ rules: RevocationRules, _ namespaces: [NetworkNamespace]
  ) throws(KernelError) -> [RevocationJudge.Socket]? {
    var found: [UInt64: RevocationJudge.Socket] = [:]
    // Both ends of a connection between affected cgroups are found twice; so are listeners.
    func note(_ entries: [SocketEntry], _ namespace: Int) {
      for entry in entries { found[entry.cookie] = .init(namespace: namespace, entry: entry) }
    }
    for (index, namespace) in namespaces.enumerated() {
      let diagnostics = try SocketDiagnostics.open(in: namespace)
      note(try diagnostics.list(where: .cgroups(cgroups)), index)
    }
    var destinations = flows.destinations(ofPeers: Set(cgroups.map(\.rawValue)))
    for socket in found.values where socket.entry.remote.port != 0 { destinations.insert(socket.entry.local) }
    for (address, owner) in rules.addresses where owner.workload.map(cgroups.contains) == true {
      destinations.insert(SocketAddress(high: address.high, low: address.low, port: 0))
    }
    guard destinations.count <= SocketFilter.limit else { return nil }
    // Nobody is at the other end: what a cgroup that was just made usually is.
    guard !destinations.isEmpty else { return Array(found.values) }
    for (index, namespace) in namespaces.enumerated() {
      let diagnostics = try SocketDiagnostics.open(in: namespace)
      note(try diagnostics.list(where: .destinations(destinations)), index)
      // Who began is told by who listens, where it is not remembered.
      note(try diagnostics.list(states: .waiting), index)
    }
    return Array(found.values)
  }
}

extension RevokedFlow {
  fileprivate var isTCP: Bool { socket.protocol == IPProtocol.tcp.rawValue }
}
