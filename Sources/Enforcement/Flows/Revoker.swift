// Cuts the live flows that a change of policy or labels no longer allows, and says which.

public import Kernel

/// What a pass did.
public struct Revocation: Sendable {
  /// Sockets that were listed.
  public var listed = 0
  /// Sockets of policed subjects that were evaluated.
  public var judged = 0
  /// The losers, each reported before it was destroyed.
  public var revoked: [RevokedFlow] = []
  /// Losers that the kernel destroyed.
  public var destroyed = 0
  /// Losers that were gone before.
  public var gone = 0
  /// Losers that live on because their workload is observed.
  public var observed = 0
  /// Losers that the kernel did not destroy, and namespaces that could not be listed: each a line for people.
  public var failures: [String] = []

  /// Nothing done.
  public init() {}
}

/// Re-evaluates the sockets of policed workloads and destroys those that lose.
///
/// Established TCP passes the packet hooks unjudged, so tightening a policy must end such connections here; the
/// application sees ECONNABORTED. Datagrams are judged by the kernel again at the next packet; connected datagram
/// sockets are destroyed too, so that the application hears of it. SOCK_DESTROY needs a kernel with
/// CONFIG_INET_DIAG_DESTROY.
public struct Revoker: Sendable {
  private let flows: LiveFlows
  private let retags: RetagTable?

  /// A revoker that takes directions and peers from `flows` where they are remembered, and asks `retags` whom retagged
  /// sockets speak for; nil = there are none.
  public init(flows: LiveFlows, retags: RetagTable? = nil) {
    self.flows = flows
    self.retags = retags
  }

  /// One pass over the sockets of `namespaces`, which must be those that policed processes live in, each once.
  ///
  /// `report` gets the losers before they are destroyed, so that their refusal is on record before their close. What
  /// fails in one namespace is in `failures` and does not stop the others.
  public func revoke(
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
    var judge = RevocationJudge(sockets, rules, areRetagged: storage != nil)
    result.revoked = judge.losers(known)
    result.judged = judge.judged
    result.observed = judge.observed
    guard !result.revoked.isEmpty else { return result }
    report(result.revoked)
    destroy(judge.losing, sockets, namespaces, &result)
    return result
  }

  private func destroy(
    _ losing: [Int], _ sockets: [RevocationJudge.Socket], _ namespaces: [NetworkNamespace],
    _ result: inout Revocation
  ) {
    // One pass: a host may have a thousand namespaces.
    let byNamespace = Dictionary(grouping: losing) { sockets[$0].namespace }
    for (index, own) in byNamespace.sorted(by: { $0.key < $1.key }) {
      do throws(KernelError) {
        let outcome = try SocketDiagnostics.open(in: namespaces[index]).destroy(own.map { sockets[$0].entry })
        result.destroyed += outcome.destroyed
        result.gone += outcome.gone
        result.failures += outcome.failed.map { "destroy socket \($0.socket.cookie): error \($0.error)" }
      } catch {
        result.failures.append("\(error)")
      }
    }
  }
}
