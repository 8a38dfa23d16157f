// One policed sandbox for all the tests of a suite, and the policies that tests write most.
internal import Enforcement
internal import Glibc
package import Kernel
internal import SystemPackage
package import Testing

/// Gives a suite one `Policed.current`; its tests run one after the other and each puts its own policy in force.
package struct PolicedSuite: SuiteTrait, TestScoping {
  /// One scope around the whole suite, not one around each test.
  package var isRecursive: Bool { false }
  private let kind: DatapathKind
  private let view: NetfilterView?
  private let tellsAtOnce: Bool

  init(_ kind: DatapathKind = .underTest, view: NetfilterView? = .underTest, tellsAtOnce: Bool = true) {
    self.kind = kind
    self.view = view
    self.tellsAtOnce = tellsAtOnce
  }

  /// Makes the sandbox, runs the suite, removes the sandbox.
  package func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
  ) async throws {
    try await Policed.with(kind, view: view, tellsAtOnce: tellsAtOnce) { policed in
      try await Policed.$current.withValue(policed) { try await function() }
    }
  }
}

extension Trait where Self == PolicedSuite {
  /// The suite shares one policed sandbox.
  package static var policed: PolicedSuite { PolicedSuite() }

  /// The same on the netfilter datapath in its mark view, whose tests say themselves when it looks who listens.
  package static var policedInMarkView: PolicedSuite { PolicedSuite(.netfilter, view: .mark, tellsAtOnce: false) }
}

extension Policed {
  /// The sandbox of the suite that runs.
  @TaskLocal package static var current: Policed?

  /// The sandbox of the suite that runs; throws outside of one.
  package static var shared: Policed {
    get throws {
      guard let current else { throw MissingSandbox() }
      return current
    }
  }

  private struct MissingSandbox: Error {}

  /// Two workloads in the two namespaces of `pair()`: web may reach db on some ports, and nothing else is allowed.
  package func webAndStore(
    _ ports: String
  ) async throws -> (web: PolicedThread, db: PolicedThread, pair: NamespacePair) {
    try await apply(Self.allowing("app=web", to: "app=db", ports))
    return (
      try await workload("web", "app=web", at: ["10.77.0.1", "fd77::1"]),
      try await workload("db", "app=db", at: ["10.77.0.2", "fd77::2"]), try pair()
    )
  }

  /// Documents that let `source` reach `destination` on some ports: a rule at either end.
  package static func allowing(
    _ source: String, to destination: String, _ ports: String, log: Bool = false, mode: String = "enforce"
  ) -> String {
    outgoing(source, to: destination, ports, log: log, mode: mode)
      + incoming(destination, from: source, ports, log: log, mode: mode)
  }

  /// A rule set with one outgoing rule.
  package static func outgoing(
    _ subject: String, to peer: String, _ ports: String, action: String = "allow", log: Bool = false,
    mode: String = "enforce"
  ) -> String {
    ruleSet(subject, "outgoing", peer, ports, action, log, mode)
  }

  /// A rule set with one incoming rule.
  package static func incoming(
    _ subject: String, from peer: String, _ ports: String, action: String = "allow", log: Bool = false,
    mode: String = "enforce"
  ) -> String {
    ruleSet(subject, "incoming", peer, ports, action, log, mode)
  }

  private static func ruleSet(
    _ subject: String, _ direction: String, _ peer: String, _ ports: String, _ action: String, _ log: Bool,
    _ mode: String
  ) -> String {
    let text = "\(subject) \(direction) \(action) \(peer) \(ports) \(mode)"
    let name = "set-" + String(text.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }).lowercased()
    let peers =
      peer == "any"
      ? "any"
      : peer.hasPrefix("network:")
        ? "[{network: \(peer.dropFirst(8))}]" : "[{selector: \"\(peer)\"}]"
    return """
      ---
      apiVersion: sallyport/v1
      kind: NetworkRuleSet
      metadata: {name: \(name)}
      spec:
        subject: "\(subject)"
        \(direction):
          - action: \(action)
            peers: \(peers)
            ports: [\(ports)]
            log: \(log)
            mode: \(mode)

      """
  }

  /// The document that sets default actions.
  package static func defaults(
    incoming: String = "reject", outgoing: String = "reject", hostIncoming: String = "allow",
    hostOutgoing: String = "allow"
  ) -> String {
    """
    ---
    apiVersion: sallyport/v1
    kind: Defaults
    metadata: {name: defaults}
    spec: {incoming: \(incoming), outgoing: \(outgoing), host: {incoming: \(hostIncoming), outgoing: \(hostOutgoing)}}

    """
  }

  /// A document that names a network.
  package static func network(_ name: String, _ cidrs: String) -> String {
    """
    ---
    apiVersion: sallyport/v1
    kind: ExternalNetwork
    metadata: {name: \(name)}
    spec: {cidrs: [\(cidrs)]}

    """
  }
}

extension NetworkNamespace {
  /// Sets a sysctl of this namespace, such as `ipv4/tcp_syncookies`; never one of the initial namespace.
  package func set(sysctl name: String, _ value: String) throws {
    try run {
      let file = try OwnedDescriptor.open(FilePath("/proc/sys/net/\(name)"), flags: O_WRONLY)
      let bytes = Array(value.utf8)
      guard unsafe write(file.raw, bytes, bytes.count) == bytes.count else { throw Errno(rawValue: errno) }
    }
  }
}
