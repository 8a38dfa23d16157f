// Who is at the other end, and who began, when nothing or little is remembered.

import Policy
import Testing

@testable import Enforcement
@testable import Kernel

@Suite struct RevocationJudgeTests {
  private let document = """
    apiVersion: sallyport/v1
    kind: Defaults
    metadata: {name: d}
    spec: {incoming: allow, outgoing: allow, host: {incoming: allow, outgoing: allow}}
    ---
    apiVersion: sallyport/v1
    kind: ExternalNetwork
    metadata: {name: corp}
    spec: {cidrs: [203.0.113.0/24]}
    ---
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: api}
    spec:
      subject: app=api
      incoming:
        - {name: not-web, action: reject, peers: [{selector: app=web}, {network: corp}], ports: [tcp/80, udp/53]}
    """

  private func rules(
    addresses: [IPAddress: PolicedSubject] = [:], ended: Set<UInt64> = []
  ) throws -> RevocationRules {
    let parsed = try PolicyParser.parse(files: [(name: "test.yaml", bytes: [UInt8](document.utf8))])
    let tables = try Compiler.compile(
      policy: parsed.policy,
      identities: [
        Sample.web: try Sample.labels(("app", "web")), Sample.api: try Sample.labels(("app", "api")),
      ]
    ).tables
    return RevocationRules(tables: tables, generation: 3, addresses: addresses) { cgroup in
      switch cgroup.rawValue {
      case 100, 101: PolicedSubject(workload: CgroupID(rawValue: 100), identity: Sample.web)
      case 200, 201: PolicedSubject(workload: CgroupID(rawValue: 200), identity: Sample.api)
      case 1: .host
      default: nil
      }
    } isEnded: {
      ended.contains($0.rawValue)
    }
  }

  private func socket(
    _ cookie: UInt64, _ local: (String, UInt16), _ remote: (String, UInt16)?, cgroup: UInt64, state: UInt8 = 1,
    protocol: UInt8 = 6, namespace: Int = 0
  ) throws -> RevocationJudge.Socket {
    let near = try IPAddress(parsing: local.0)
    let far = try IPAddress(parsing: remote?.0 ?? "0.0.0.0")
    return .init(
      namespace: namespace,
      entry: SocketEntry(
        family: 2, protocol: `protocol`, state: state,
        local: SocketAddress(high: near.high, low: near.low, port: local.1),
        remote: SocketAddress(high: far.high, low: far.low, port: remote?.1 ?? 0), interface: 0, inode: 1, user: 0,
        cookie: cookie, cgroup: cgroup == 0 ? nil : CgroupID(rawValue: cgroup), storage: []))
  }

  private func losers(
    _ sockets: [RevocationJudge.Socket], _ rules: RevocationRules, live: [UInt64: FlowEvent] = [:]
  ) -> [UInt64] {
    var judge = RevocationJudge(sockets, rules)
    return judge.losers(sockets.map { live[$0.entry.cookie].map(LiveFlows.Flow.init) }).map(\.socket.cookie)
  }

  @Test("Without memory, a socket on a listener's port is incoming, and its peer is found across namespaces")
  func otherEnd() throws {
    let listener = try socket(1, ("10.0.0.2", 80), nil, cgroup: 200, state: 10)
    let server = try socket(2, ("10.0.0.2", 80), ("10.0.0.1", 5000), cgroup: 201)
    let client = try socket(3, ("10.0.0.1", 5000), ("10.0.0.2", 80), cgroup: 101, namespace: 1)
    #expect(losers([listener, server, client], try rules()) == [2])
    // Two namespaces have such a client: nobody can tell which, so it is judged by its address.
    let twin = try socket(4, ("10.0.0.1", 5000), ("10.0.0.2", 80), cgroup: 101, namespace: 2)
    #expect(losers([listener, server, client, twin], try rules()) == [])
    // Its own namespace comes first.
    let near = try socket(5, ("10.0.0.1", 5000), ("10.0.0.2", 80), cgroup: 1)
    #expect(losers([listener, server, client, near], try rules()) == [])
    // Without a listener it counts as outgoing, for which there is no such rule.
    #expect(losers([server, client], try rules()) == [])
  }

  @Test("An address is that of a workload, else in its networks, else the world")
  func addresses() throws {
    let listener = try socket(1, ("10.0.0.2", 80), nil, cgroup: 200, state: 10)
    let corp = try socket(2, ("10.0.0.2", 80), ("203.0.113.9", 5000), cgroup: 200)
    let world = try socket(3, ("10.0.0.2", 80), ("198.51.100.9", 5000), cgroup: 200)
    #expect(losers([listener, corp, world], try rules()) == [2])
    let web = PolicedSubject(workload: CgroupID(rawValue: 100), identity: Sample.web)
    let known = try rules(addresses: [try IPAddress(parsing: "198.51.100.9"): web])
    #expect(losers([listener, corp, world], known) == [2, 3])
  }

  @Test("A remembered peer is judged by the labels that it has now, and as nobody when it is gone")
  func relabelled() throws {
    let listener = try socket(1, ("10.0.0.2", 80), nil, cgroup: 200, state: 10)
    let server = try socket(2, ("10.0.0.2", 80), ("10.0.0.1", 5000), cgroup: 200)
    var event = try Sample.attempt(2, at: 1)
    event.kind = .open
    event.direction = .incoming
    event.peer = .host  // what it was then
    event.peerWorkload = 100  // is web now
    event.assurance = .handoff
    #expect(losers([listener, server], try rules(), live: [2: event]) == [2])
    event.peerWorkload = 999
    #expect(losers([listener, server], try rules(), live: [2: event]) == [])
    // The same workload at both ends may always talk.
    event.peerWorkload = 200
    #expect(losers([listener, server], try rules(), live: [2: event]) == [])
  }

  @Test("Listening, timed-wait and unconnected sockets are left alone; connected datagram sockets are not")
  func states() throws {
    let listener = try socket(1, ("10.0.0.2", 80), nil, cgroup: 200, state: 10)
    let waiting = try socket(2, ("10.0.0.2", 80), ("203.0.113.9", 5000), cgroup: 0, state: 6)
    let request = try socket(3, ("10.0.0.2", 80), ("203.0.113.9", 5001), cgroup: 0, state: 3)
    let open = try socket(4, ("10.0.0.2", 53), nil, cgroup: 200, state: 7, protocol: 17)
    let connected = try socket(5, ("10.0.0.2", 53), ("203.0.113.9", 53), cgroup: 200, protocol: 17)
    let closing = try socket(6, ("10.0.0.2", 80), ("203.0.113.9", 5002), cgroup: 200, state: 8)
    #expect(losers([listener, waiting, request, open, connected, closing], try rules()) == [5, 6])
  }

  @Test("A child without labels of its own loses all it has where its workload rejects such children")
  func unlabelledChild() throws {
    var strict = PolicedSubject(
      workload: CgroupID(rawValue: 100), identity: Sample.web, rejectsUnlabelledChildren: true)
    let open = try socket(1, ("10.0.0.1", 5000), ("198.51.100.9", 9), cgroup: 101)
    let own = try socket(2, ("10.0.0.1", 5001), ("10.0.0.1", 5002), cgroup: 101)
    let back = try socket(3, ("10.0.0.1", 5002), ("10.0.0.1", 5001), cgroup: 100)
    func lost() throws -> [UInt64] {
      let rules = try rules()
      let parent = strict
      return losers(
        [open, own, back],
        RevocationRules(tables: rules.tables, generation: 1) { $0.rawValue == 100 ? parent : parent.unlabelledChild })
    }
    #expect(try lost() == [1, 2])
    strict.observe = true
    #expect(try lost() == [])
    strict = PolicedSubject(workload: CgroupID(rawValue: 100), identity: Sample.web)
    #expect(try lost() == [])
  }
}
