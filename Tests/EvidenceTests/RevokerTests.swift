// Real sockets in a network namespace of their own: losers are cut, everything else lives on.

import Enforcement
import Glibc
import Kernel
import Policy
import TestSupport
import Testing

/// Policy: subject `app=web` may connect to no one at port 7002, everything else is allowed by default.
private func tables(_ text: String) throws -> Tables {
  let parsed = try PolicyParser.parse(files: [(name: "test.yaml", bytes: [UInt8](text.utf8))])
  return try Compiler.compile(
    policy: parsed.policy, identities: [Sample.web: try Sample.labels(("app", "web"))]
  ).tables
}

private let tightened = """
  apiVersion: sallyport/v1
  kind: Defaults
  metadata: {name: d}
  spec: {incoming: allow, outgoing: allow}
  ---
  apiVersion: sallyport/v1
  kind: NetworkRuleSet
  metadata: {name: tight}
  spec:
    subject: app=web
    outgoing:
      - {name: no-7002, action: reject, peers: any, ports: [tcp/7002]}
  """

/// Sockets of one side of a connection and the namespace they are in.
private struct Pairs: Sendable {
  var clients: [Int32] = []
  var servers: [Int32] = []
  var listener: Int32 = -1

  func close() { for socket in clients + servers + [listener] { _ = Glibc.close(socket) } }
}

private func pairs(_ count: Int, port: UInt16, in namespace: NetworkNamespace) throws -> Pairs {
  try namespace.run {
    var pairs = Pairs()
    // Close-on-exec, or programs that other suites start would hold them too.
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
    pairs.listener = socket(AF_INET, type, 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    func with<T>(_ body: (UnsafePointer<sockaddr>) -> T) -> T {
      unsafe withUnsafePointer(to: &address) {
        unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0) }
      }
    }
    let result = unsafe with { unsafe bind(pairs.listener, $0, size) }
    try #require(result == 0)
    try #require(listen(pairs.listener, 4096) == 0)
    for _ in 0..<count {
      let client = socket(AF_INET, type, 0)
      let result = unsafe with { unsafe connect(client, $0, size) }
      try #require(result == 0)
      pairs.clients.append(client)
      pairs.servers.append(acceptClosingOnExec(pairs.listener))
    }
    return pairs
  }
}

/// Whether reading says that the connection was cut (ECONNABORTED or ECONNRESET), without waiting.
private func isCut(_ socket: Int32) -> Bool {
  var byte: UInt8 = 0
  let count = unsafe recv(socket, &byte, 1, Int32(MSG_DONTWAIT))
  return count == 0 || (count < 0 && (errno == ECONNABORTED || errno == ECONNRESET))
}

@Suite(.requires(.root, .networkNamespaces, .cgroups))
struct RevokerTests {
  /// Everything in the test's own cgroup is web.
  private func rules(_ tables: Tables, observe: Bool = false) -> RevocationRules {
    let web = PolicedSubject(workload: CgroupID(rawValue: 100), identity: Sample.web, observe: observe)
    return RevocationRules(tables: tables, generation: 9) { _ in web }
  }

  /// As `rules`, but both ends are not the same workload: what is at the other end is remembered as unknown to socket.
  private func note(_ pairs: Pairs, port: UInt16, in flows: LiveFlows) throws {
    for (sockets, direction) in [(pairs.clients, Direction.outgoing), (pairs.servers, .incoming)] {
      for socket in sockets {
        var cookie: UInt64 = 0
        var size = socklen_t(8)
        try #require(unsafe getsockopt(socket, SOL_SOCKET, 57 /* SO_COOKIE */, &cookie, &size) == 0)
        var event = FlowEvent(kind: .open, time: 1, socket: cookie)
        event.direction = direction
        event.protocol = .tcp
        event.action = .allow
        event.decidedBy = .default
        event.peer = .world
        event.assurance = .address
        flows.note([event])
      }
    }
  }

  @Test("Only the connections that the new policy refuses are cut, and each is reported with its rule")
  func losers() throws {
    let namespace = try withSandbox { try $0.makeNamespace() }
    let kept = try pairs(5, port: 7001, in: namespace)
    let cut = try pairs(5, port: 7002, in: namespace)
    defer {
      kept.close()
      cut.close()
    }
    let flows = LiveFlows()
    try note(kept, port: 7001, in: flows)
    try note(cut, port: 7002, in: flows)
    var reported = 0
    let result = Revoker(flows: flows).revoke(by: rules(try tables(tightened)), in: [namespace]) { losers in
      reported += losers.count
      #expect(!cut.clients.contains(where: isCut), "reported before they are destroyed")
    }
    #expect(result.failures == [] && result.revoked.count == 5 && reported == 5)
    #expect(result.destroyed == 5 && result.judged == 20)
    #expect(result.revoked.allSatisfy { $0.direction == .outgoing && $0.socket.remote.port == 7002 && $0.rule == 1 })
    #expect(cut.clients.allSatisfy(isCut) && cut.servers.allSatisfy(isCut))
    #expect(!kept.clients.contains(where: isCut) && !kept.servers.contains(where: isCut))
    let event = try #require(result.revoked.first).event(at: 5)
    #expect(event.kind == .refused && event.flags == .revoked && event.rule == 1 && event.generation == 9)
    // A second pass finds nothing left to do, and forgets the flows whose sockets are gone.
    #expect(Revoker(flows: flows).revoke(by: rules(try tables(tightened)), in: [namespace]).revoked.isEmpty)
    #expect(flows.count == 10)
  }

  @Test("An observed workload keeps its connections, and they are counted")
  func observed() throws {
    let namespace = try withSandbox { try $0.makeNamespace() }
    let pairs = try pairs(3, port: 7002, in: namespace)
    defer { pairs.close() }
    let flows = LiveFlows()
    try note(pairs, port: 7002, in: flows)
    let result = Revoker(flows: flows).revoke(by: rules(try tables(tightened), observe: true), in: [namespace])
    #expect(result.observed == 3 && result.revoked.isEmpty && !pairs.clients.contains(where: isCut))
  }

  @Test("An observed rule cuts nothing")
  func observedRule() throws {
    let namespace = try withSandbox { try $0.makeNamespace() }
    let pairs = try pairs(3, port: 7002, in: namespace)
    defer { pairs.close() }
    let flows = LiveFlows()
    try note(pairs, port: 7002, in: flows)
    let text = tightened.replacing("ports: [tcp/7002]", with: "ports: [tcp/7002], mode: observe")
    let result = Revoker(flows: flows).revoke(by: rules(try tables(text)), in: [namespace])
    #expect(result.judged == 6 && result.revoked.isEmpty && !pairs.clients.contains(where: isCut))
  }

  @Test("Without any memory of the flows, a workload that talks to itself is left alone")
  func local() throws {
    let namespace = try withSandbox { try $0.makeNamespace() }
    let pairs = try pairs(3, port: 7002, in: namespace)
    defer { pairs.close() }
    let result = Revoker(flows: LiveFlows()).revoke(by: rules(try tables(tightened)), in: [namespace])
    #expect(result.judged == 6 && result.revoked.isEmpty)
  }

  @Test("Sockets outside of what is enforced on are not even judged")
  func notPoliced() throws {
    let namespace = try withSandbox { try $0.makeNamespace() }
    let pairs = try pairs(3, port: 7002, in: namespace)
    defer { pairs.close() }
    let rules = RevocationRules(tables: try tables(tightened), generation: 9) { _ in nil }
    let result = Revoker(flows: LiveFlows()).revoke(by: rules, in: [namespace])
    #expect(result.listed >= 6 && result.judged == 0 && result.revoked.isEmpty)
  }

  @Test("Thousands of connections are cut in one pass within the bound")
  func many() throws {
    var limit = rlimit()
    try #require(unsafe getrlimit(__rlimit_resource_t(7), &limit) == 0)
    // The other tests of this process need descriptors too; alone it may take them all: SALLYPORT_FLOWS=9800.
    let wanted = unsafe getenv("SALLYPORT_FLOWS").flatMap { unsafe Int(String(cString: $0)) } ?? 1500
    let count = min(Int(limit.rlim_cur / 2) - 200, wanted)
    let namespace = try withSandbox { try $0.makeNamespace() }
    let pairs = try pairs(count, port: 7002, in: namespace)
    defer { pairs.close() }
    let flows = LiveFlows()
    try note(pairs, port: 7002, in: flows)
    let rules = rules(try tables(tightened))
    let clock = ContinuousClock()
    var result = Revocation()
    let taken = clock.measure { result = Revoker(flows: flows).revoke(by: rules, in: [namespace]) }
    #expect(result.destroyed == count)
    print("revoked \(count) of \(result.judged) sockets in \(taken)")
    // A debug build on a busy machine: the bound of the product is 100 ms per 10,000 in release.
    #expect(taken < .seconds(5))
  }
}
