// An end is not a change of labels: what an ended cgroup made keeps the identity that it had.

import Policy
import Testing

@testable import Enforcement
@testable import Kernel

@Suite struct EndedJudgeTests {
  /// Only web may reach api; a connection with anybody else loses.
  private static let document = """
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: api}
    spec:
      subject: app=api
      incoming: [{action: allow, peers: [{selector: app=web}], ports: [tcp/80]}]
    ---
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: web}
    spec:
      subject: app=web
      outgoing: [{action: allow, peers: [{selector: app=api}], ports: [tcp/80]}]
    """

  private static let (web, api): (UInt64, UInt64) = (100, 200)

  /// `gone` are ended, and nobody knows whose they were; `left` are ended with their rows in force.
  private func rules(gone: Set<UInt64> = [], left: Set<UInt64> = [], allowing: Bool = true) throws -> RevocationRules {
    let text = allowing ? Self.document : Self.document.replacing("tcp/80", with: "tcp/81")
    let parsed = try PolicyParser.parse(files: [(name: "test.yaml", bytes: [UInt8](text.utf8))])
    let identities = [Sample.web: try Sample.labels(("app", "web")), Sample.api: try Sample.labels(("app", "api"))]
    return RevocationRules(
      tables: try Compiler.compile(policy: parsed.policy, identities: identities).tables, generation: 3
    ) { cgroup in
      guard !gone.contains(cgroup.rawValue) else { return nil }
      return switch cgroup.rawValue {
      case Self.web: PolicedSubject(workload: cgroup, identity: Sample.web)
      case Self.api: PolicedSubject(workload: cgroup, identity: Sample.api)
      case 1: .host
      default: nil
      }
    } isEnded: {
      gone.contains($0.rawValue) || left.contains($0.rawValue)
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

  /// What api's record says of the connection that web began.
  private func accepted(_ cookie: UInt64, assurance: FlowEvent.Assurance = .socket) throws -> FlowEvent {
    var event = try Sample.attempt(cookie, at: 1)
    event.kind = .open
    event.direction = .incoming
    (event.workload, event.peerWorkload) = (Self.api, Self.web)
    (event.subject, event.peer) = (Sample.api, Sample.web)
    event.assurance = assurance
    return event
  }

  @Test("the socket of an ended workload keeps its labels: it loses by a change of rules, and by nothing else")
  func subject() throws {
    let client = try socket(1, ("10.0.0.1", 5000), ("10.0.0.1", 80), cgroup: Self.web, state: 4)
    let server = try socket(2, ("10.0.0.1", 80), ("10.0.0.1", 5000), cgroup: Self.api, state: 8)
    let listener = try socket(3, ("10.0.0.1", 80), nil, cgroup: Self.api, state: 10)
    let both = [client, server, listener]
    #expect(losers(both, try rules(left: [Self.web, Self.api])) == [])
    #expect(losers(both, try rules(left: [Self.web, Self.api], allowing: false)) == [1, 2])
    // Nobody can say whose the client was: it is not the host's, and the server does not lose by it.
    #expect(losers(both, try rules(gone: [Self.web])) == [])
    #expect(losers(both, try rules(gone: [Self.web]), live: [2: try accepted(2)]) == [])
    // One that lives outside of what is enforced on is the host's, as ever.
    let stranger = try socket(4, ("10.0.0.1", 5000), ("10.0.0.1", 80), cgroup: 77)
    #expect(losers([stranger, server, listener], try rules()) == [2])
  }

  @Test("a peer whose socket is gone as well is whom it was judged as, by tables of now")
  func peer() throws {
    let server = try socket(2, ("10.0.0.2", 80), ("10.0.0.1", 5000), cgroup: Self.api, state: 8)
    let listener = try socket(3, ("10.0.0.2", 80), nil, cgroup: Self.api, state: 10)
    let live = [UInt64(2): try accepted(2, assurance: .handoff)]
    for gone in [Set<UInt64>(), [Self.web]] {
      #expect(losers([server, listener], try rules(gone: gone), live: live) == [])
      #expect(losers([server, listener], try rules(gone: gone, allowing: false), live: live) == [2])
    }
    // Judged by an address that was the workload's own; whoever has it now was not asked.
    let declared = [UInt64(2): try accepted(2, assurance: .address)]
    #expect(losers([server, listener], try rules(), live: declared) == [2])
    #expect(losers([server, listener], try rules(left: [Self.web]), live: declared) == [])
    #expect(losers([server, listener], try rules(gone: [Self.web]), live: declared) == [])
    // A cgroup that is there and has no labels any more is another matter: they were taken.
    var unlabelled = try accepted(2, assurance: .handoff)
    unlabelled.peerWorkload = 77
    #expect(losers([server, listener], try rules(), live: [2: unlabelled]) == [2])
  }

  @Test("without memory, an other end of this host that is closing or gone is nobody to lose by")
  func closing() throws {
    let listener = try socket(3, ("10.0.0.2", 80), nil, cgroup: Self.api, state: 10)
    let server = try socket(2, ("10.0.0.2", 80), ("10.0.0.1", 5000), cgroup: Self.api, state: 8)
    // From elsewhere it is judged by its address.
    #expect(losers([server, listener], try rules()) == [2])
    for state: UInt8 in [5, 6] {
      let waiting = try socket(1, ("10.0.0.1", 5000), ("10.0.0.2", 80), cgroup: 0, state: state, namespace: 1)
      #expect(losers([server, listener, waiting], try rules()) == [])
    }
    for (local, remote) in [("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "127.1.2.3"), ("10.0.0.2", "10.0.0.2")] {
      let near = try socket(4, (local, 80), (remote, 5001), cgroup: Self.api, state: 8)
      #expect(losers([near, listener], try rules()) == [])
    }
  }

  @Test("the other end of a connected UDP socket is whoever receives there; nobody, once that is gone")
  func datagrams() throws {
    let client = try socket(1, ("127.0.0.1", 5000), ("127.0.0.1", 80), cgroup: Self.web, protocol: 17)
    let server = try socket(2, ("0.0.0.0", 80), nil, cgroup: Self.api, state: 7, protocol: 17)
    let stranger = try socket(3, ("127.0.0.1", 80), nil, cgroup: 1, state: 7, protocol: 17)
    func rules(_ ports: String) throws -> RevocationRules {
      let text = Self.document.replacing("tcp/80", with: ports)
      let parsed = try PolicyParser.parse(files: [(name: "test.yaml", bytes: [UInt8](text.utf8))])
      var rules = try self.rules()
      let identities = [Sample.web: try Sample.labels(("app", "web")), Sample.api: try Sample.labels(("app", "api"))]
      rules.tables = try Compiler.compile(policy: parsed.policy, identities: identities).tables
      return rules
    }
    #expect(losers([client, server], try rules("udp/80")) == [])
    #expect(losers([client, server], try rules("udp/81")) == [1])
    #expect(losers([client, stranger], try rules("udp/80")) == [1])
    #expect(losers([client], try rules("udp/80")) == [])
  }

  @Test("what is found of both ends is remembered for the time when one is gone")
  func found() throws {
    let client = try socket(1, ("10.0.0.1", 5000), ("10.0.0.2", 80), cgroup: Self.web)
    let server = try socket(2, ("10.0.0.2", 80), ("10.0.0.1", 5000), cgroup: Self.api, namespace: 1)
    let listener = try socket(3, ("10.0.0.2", 80), nil, cgroup: Self.api, state: 10, namespace: 1)
    var judge = RevocationJudge([client, server, listener], try rules())
    #expect(judge.losers([nil, nil, nil]).isEmpty)
    let flows = LiveFlows()
    flows.remember(judge.found)
    #expect(flows[2]?.peerWorkload == Self.web && flows[2]?.peer == Sample.web && flows[2]?.direction == .incoming)
    let web = CgroupID(rawValue: Self.web)
    #expect(flows.mentioned(among: [web, CgroupID(rawValue: 5)]) == [web])
    var later = RevocationJudge([server, listener], try rules(left: [Self.web]))
    #expect(later.losers([flows[2], nil]).isEmpty)
  }
}
