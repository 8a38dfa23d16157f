// The semantics that never bend, as real sockets feel them and as records tell them.
internal import Enforcement
internal import Glibc
internal import Kernel
internal import Policy
internal import Synchronization
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Semantics", .serialized, .requires(.policing), .policed)
struct SemanticsTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private func webAndStore() async throws -> (web: PolicedThread, db: PolicedThread) {
    (try await policed.workload("web", "app=web"), try await policed.workload("db", "app=db"))
  }

  /// A port of its own for each attempt, because the same refusal twice within a second is told once.
  private static let ports = UInt16(9000)...9499
  private static let attempts = Atomic<UInt16>(0)

  /// Whether web reaches a listener of db on one of the ports.
  private func reaches(_ web: PolicedThread, _ db: PolicedThread) throws -> Bool {
    let port = Self.ports.lowerBound + Self.attempts.wrappingAdd(1, ordering: .relaxed).oldValue
    let listener = try db.run { try TestSocket.listening("127.0.0.1", port) }
    let refusal = try web.refusal { try TestSocket.tcp().connect("127.0.0.1", port) }
    #expect(refusal == nil || refusal == .refusedConnect)
    #expect(listener.isReadable == (refusal == nil))
    return refusal == nil
  }

  @Test("both ends decide: a rule at one end alone lets nothing through")
  func bothEnds() async throws {
    let (web, db) = try await webAndStore()
    let out = Policed.outgoing("app=web", to: "app=db", "tcp/9000-9499")
    let `in` = Policed.incoming("app=db", from: "app=web", "tcp/9000-9499")
    try await policed.apply(out)
    #expect(try !reaches(web, db))
    try await policed.apply(`in`)
    #expect(try !reaches(web, db))
    try await policed.apply(out + `in`)
    #expect(try reaches(web, db))
  }

  @Test("[48] reject beats allow, whichever is narrower")
  func rejectBeatsAllow() async throws {
    let (web, db) = try await webAndStore()
    let allow = Policed.allowing("app=web", to: "app=db", "any")
    for reject in [
      Policed.outgoing("app=web", to: "any", "tcp/9000-9499", action: "reject"),
      Policed.outgoing("app=web", to: "app=db", "any", action: "reject"),
      Policed.incoming("app", from: "any", "any", action: "reject"),
    ] {
      try await policed.apply(allow)
      #expect(try reaches(web, db))
      let mark = try policed.mark()
      try await policed.apply(allow + reject)
      #expect(try !reaches(web, db))
      #expect(policed.events.first(after: mark) { $0.kind == .refused }?.decidedBy == .rule)
    }
  }

  @Test("an observed rule changes nothing and is reported: one that would reject, one that would allow")
  func observedRules() async throws {
    let (web, db) = try await webAndStore()
    var mark = try policed.mark()
    try await policed.apply(
      Policed.allowing("app=web", to: "app=db", "tcp/9000-9499")
        + Policed.outgoing("app=web", to: "any", "tcp/9000-9499", action: "reject", mode: "observe"))
    #expect(try reaches(web, db))
    let passed = policed.events.first(after: mark) { $0.kind == .attempt && Self.ports.contains($0.remotePort) }
    #expect(passed?.action == .allow)
    #expect(passed?.observedAction == .reject)
    #expect(passed?.observedRule ?? 0 != 0)
    mark = try policed.mark()
    try await policed.apply(Policed.outgoing("app=web", to: "any", "tcp/9000-9499", mode: "observe"))
    #expect(try !reaches(web, db))
    let refused = policed.events.first(after: mark) { $0.kind == .refused && Self.ports.contains($0.remotePort) }
    #expect(refused?.action == .reject)
    #expect(refused?.observedAction == .allow)
  }

  @Test("an observed workload is let through whatever policy says, and what would have happened is told")
  func observedWorkload() async throws {
    try await policed.apply(Policed.incoming("app=db", from: "any", "any"))
    let (_, db) = try await webAndStore()
    let watched = try await policed.workload("watched", "app=watched", observe: true)
    let mark = try policed.mark()
    #expect(try reaches(watched, db))
    let told = policed.events.first(after: mark) { $0.kind == .attempt && Self.ports.contains($0.remotePort) }
    #expect(told?.action == .allow)
    #expect(told?.observedAction == .reject)
    #expect(try policed.counters().workloads[watched.cgroup.id]?.observed(.outgoing) ?? 0 > 0)
    try await policed.remove("watched")
  }

  @Test("default actions of allow are discovery mode: everything passes, and the record says by what")
  func discovery() async throws {
    let (web, db) = try await webAndStore()
    let mark = try policed.mark()
    try await policed.apply(Policed.defaults(incoming: "allow", outgoing: "allow"))
    #expect(try reaches(web, db))
    #expect(
      policed.events.first(after: mark) { $0.kind == .attempt && Self.ports.contains($0.remotePort) }?.decidedBy
        == .default)
    try await policed.apply(Policed.defaults(hostOutgoing: "reject"))
    let host = try policed.thread("host")
    #expect(try host.refusal { try TestSocket.udp().send("x", to: "127.0.0.1", 5353) } == .notPermitted)
  }

  @Test("replies of an allowed conversation pass, and nothing rides on it")
  func replies() async throws {
    let (web, db) = try await webAndStore()
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "udp/9001"))
    let server = try db.run { try TestSocket.bound("127.0.0.1", 9001) }
    let client = try web.run {
      let client = try TestSocket.bound("127.0.0.1", 4001)
      try client.send("question", to: "127.0.0.1", 9001)
      return client
    }
    let (_, sender) = try server.receiveFrom()
    let bystander = try web.run { try TestSocket.bound("127.0.0.1", 4002) }
    #expect(try db.refusal { _ = try server.reply("answer", to: sender) } == nil)
    #expect(try client.receive() == "answer")
    #expect(try db.refusal { try server.send("elsewhere", to: "127.0.0.1", 4002) } == .notPermitted)
    #expect(try db.refusal { try TestSocket.udp().send("other socket", to: "127.0.0.1", 4001) } == .notPermitted)
    #expect(!client.isReadable)
    #expect(!bystander.isReadable)
  }

  @Test(
    "a connection is recorded with process, both workloads, rule, log flag, generation and byte counts",
    .only(on: .cgroup, because: "it tells of no bind(), and knows the caller by hand-off"))
  func records() async throws {
    let (web, db) = try await webAndStore()
    let publication = try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000", log: true))
    let mark = try policed.mark()
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9000) }
    let cookie = try web.run { () throws -> UInt64 in
      let client = try TestSocket.tcp()
      try client.connect("127.0.0.1", 9000)
      try client.send("12345")
      return try client.descriptor.socketCookie()
    }
    let server = try db.run { try listener.accept() }
    #expect(try server.receive() == "12345")
    let told = try policed.told(after: mark)
    let attempt = told.first { $0.kind == .attempt && $0.socket == cookie }
    #expect(attempt?.pid == UInt32(getpid()))
    #expect(attempt?.command.text == "policed")
    #expect(attempt?.cgroup == web.cgroup.id.rawValue)
    #expect(attempt?.workload == web.cgroup.id.rawValue)
    #expect(attempt?.peerWorkload == db.cgroup.id.rawValue)
    #expect(attempt?.decidedBy == .rule)
    #expect(attempt?.flags.contains(.log) == true)
    #expect(attempt?.generation == publication.generation)
    let bind = told.first { $0.kind == .bind && $0.localPort == 9000 }
    #expect(bind?.cgroup == db.cgroup.id.rawValue)
    let open = policed.events.first(after: mark) { $0.kind == .open && $0.direction == .incoming }
    #expect(open?.workload == db.cgroup.id.rawValue)
    #expect(open?.peerWorkload == web.cgroup.id.rawValue)
    #expect(open?.assurance == .socket)
    #expect(open?.listener == bind?.socket)
    #expect(open?.generation == publication.generation)
    let close = policed.events.first(after: mark) { $0.kind == .close && $0.socket == cookie }
    // The kernel counts the SYN and the FIN as a byte each.
    #expect(close?.bytesSent == 6)
    #expect(close?.flags.contains(.failed) == false)
  }

  @Test("counters count each verdict once, by workload, direction and reason")
  func counters() async throws {
    let (web, db) = try await webAndStore()
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "udp/9001"))
    let server = try db.run { try TestSocket.bound("127.0.0.1", 9001) }
    let before = try policed.counters()
    try web.run {
      let client = try TestSocket.udp()
      for _ in 0..<5 { try client.send("x", to: "127.0.0.1", 9001) }
    }
    for _ in 0..<3 { _ = try web.refusal { try TestSocket.udp().send("x", to: "127.0.0.1", 9002) } }
    let after = try policed.counters()
    let grown: (CgroupID, Direction, FlowEvent.DecidedBy, Bool) -> UInt64 = { cgroup, direction, by, refused in
      let was = before.workloads[cgroup]?[direction, by, refused: refused] ?? 0
      return (after.workloads[cgroup]?[direction, by, refused: refused] ?? 0) - was
    }
    // One conversation is judged once at either end, whatever its packets.
    #expect(grown(web.cgroup.id, .outgoing, .rule, false) == 1)
    #expect(grown(db.cgroup.id, .incoming, .rule, false) == 1)
    #expect(grown(web.cgroup.id, .outgoing, .default, true) == 3)
    #expect(grown(db.cgroup.id, .incoming, .default, true) == 0)
    _ = server
  }

  @Test("[47] an empty list of peers or ports matches nothing; an empty selector matches everything")
  func emptyLists() async throws {
    let (web, db) = try await webAndStore()
    for (peers, ports) in [("[]", "[any]"), ("any", "[]")] {
      try await policed.apply(
        Policed.incoming("app=db", from: "any", "any") + """
          ---
          apiVersion: sallyport/v1
          kind: NetworkRuleSet
          metadata: {name: empty}
          spec:
            subject: "app=web"
            outgoing: [{action: allow, peers: \(peers), ports: \(ports)}]

          """)
      #expect(try !reaches(web, db))
    }
    try await policed.apply(Policed.outgoing("", to: "", "any") + Policed.incoming("", from: "", "any"))
    #expect(try reaches(web, db))
  }

  @Test("[48] an exclusion inside a network is not the network, and a wide reject is not shadowed by a narrow allow")
  func networks() async throws {
    let (web, _) = try await webAndStore()
    try await policed.apply(
      Policed.network("wide", "10.0.0.0/8, \"!10.66.0.0/16\"") + Policed.network("narrow", "10.77.9.0/24")
        + Policed.network("other", "10.66.0.0/16") + Policed.outgoing("app=web", to: "network:narrow", "any")
        + Policed.outgoing("app=web", to: "network:other", "any")
        + Policed.outgoing("app=web", to: "network:wide", "udp/1", action: "reject"))
    let pair = try policed.pair()
    try policed.sandbox.command(["ip", "route", "replace", "default", "via", "10.77.0.2"], namespace: pair.left)
    let refusal: (String, UInt16) throws -> Errno? = { address, port in
      try web.refusal(in: pair.left) { try TestSocket.udp().send("x", to: address, port) }
    }
    #expect(try refusal("10.77.9.1", 2) == nil)
    #expect(try refusal("10.77.9.1", 1) == .notPermitted)
    #expect(try refusal("10.66.1.1", 1) == nil)
    #expect(try refusal("10.1.1.1", 2) == .notPermitted)
    #expect(try refusal("192.0.2.1", 2) == .notPermitted)
  }
}
