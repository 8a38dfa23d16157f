// Two workloads in one network namespace: TCP and UDP of both families, allowed and refused, from both ends.
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Same namespace", .serialized, .requires(.policing), .policed)
struct SameNamespaceTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  /// web may reach db on tcp/9000 and udp/9001; nothing else is allowed.
  private func webAndStore() async throws -> (web: PolicedThread, db: PolicedThread, host: PolicedThread) {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000, udp/9001"))
    return (
      try await policed.workload("web", "app=web"), try await policed.workload("db", "app=db"),
      try policed.thread("host")
    )
  }

  @Test("an allowed TCP connection carries bytes both ways", arguments: Family.allCases)
  func allowedTCP(family: Family) async throws {
    let (web, db, _) = try await webAndStore()
    let listener = try db.run { try TestSocket.listening(family.loopback, 9000) }
    let client = try web.run {
      let client = try TestSocket.tcp(family)
      try client.connect(family.loopback, 9000)
      return client
    }
    let server = try db.run { try listener.accept() }
    try client.send("question")
    #expect(try server.receive() == "question")
    try server.send("answer")
    #expect(try client.receive() == "answer")
  }

  @Test("[36] TCP that the caller's side refuses is EPERM at connect(), at once", arguments: Family.allCases)
  func refusedOutgoing(family: Family) async throws {
    let (web, db, _) = try await webAndStore()
    let listener = try db.run { try TestSocket.listening(family.loopback, 9002) }
    let began = Clock.monotonicNanoseconds()
    let refusal = try web.refusal { try TestSocket.tcp(family).connect(family.loopback, 9002) }
    #expect(refusal == .refusedConnect)
    #expect(Clock.monotonicNanoseconds() - began < 500_000_000)
    #expect(!listener.isReadable)
  }

  @Test("[36] TCP that the listener's side refuses is EPERM at the caller's connect()", arguments: Family.allCases)
  func refusedIncoming(family: Family) async throws {
    try await policed.apply(Policed.outgoing("app=web", to: "any", "any"))
    let web = try await policed.workload("web", "app=web")
    let db = try await policed.workload("db", "app=db")
    let mark = try policed.mark()
    let listener = try db.run { try TestSocket.listening(family.loopback, 9000) }
    #expect(try web.refusal { try TestSocket.tcp(family).connect(family.loopback, 9000) } == .refusedConnect)
    #expect(!listener.isReadable)
    let refused = policed.events.first(after: mark) { $0.kind == .refused }
    #expect(refused?.flags.contains(.peerSide) == true)
    #expect(refused?.direction == .incoming)
    #expect(refused?.workload == db.cgroup.id.rawValue)
    #expect(refused?.peerWorkload == web.cgroup.id.rawValue)
  }

  @Test("what is outside of every workload is the host, and a workload's incoming default holds for it")
  func hostIsRefused() async throws {
    let (_, db, host) = try await webAndStore()
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9000) }
    #expect(try host.refusal { try TestSocket.tcp().connect("127.0.0.1", 9000) } == .refusedConnect)
    #expect(!listener.isReadable)
  }

  @Test("what is outside of the enforced subtree is nobody, and is refused by the listener's side")
  func outsideIsRefused() async throws {
    let (_, db, _) = try await webAndStore()
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9000) }
    let mark = try policed.mark()
    let caller = try policed.home.run {
      let caller = try TestSocket.tcp()
      try caller.startConnect("127.0.0.1", 9000)
      return caller
    }
    let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.direction == .incoming }
    #expect(refused?.workload == db.cgroup.id.rawValue)
    #expect(!listener.isReadable)
    _ = caller
  }

  @Test("[21] an IPv6 socket that speaks IPv4 by a mapped address is judged as IPv4, allowed and refused")
  func mappedClient() async throws {
    let (web, db, _) = try await webAndStore()
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9000) }
    let refusing = try db.run { try TestSocket.listening("127.0.0.1", 9002) }
    let client = try web.run {
      let client = try TestSocket.tcp(.ipv6)
      try client.connect("127.0.0.1", 9000)
      return client
    }
    let server = try db.run { try listener.accept() }
    try client.send("mapped")
    #expect(try server.receive() == "mapped")
    #expect(try web.refusal { try TestSocket.tcp(.ipv6).connect("127.0.0.1", 9002) } == .refusedConnect)
    #expect(try web.refusal { try TestSocket.udp(.ipv6).send("x", to: "127.0.0.1", 9002) } == .notPermitted)
    _ = refusing
  }

  @Test("[21] a dual-stack listener serves mapped callers by policy, allowed and refused", arguments: Family.allCases)
  func mappedListener(caller: Family) async throws {
    let (web, db, host) = try await webAndStore()
    let listener = try db.run { try TestSocket.listening("::", 9000) }
    let client = try web.run {
      let client = try TestSocket.tcp(caller)
      try client.connect("127.0.0.1", 9000)
      return client
    }
    let server = try db.run { try listener.accept() }
    try client.send("x")
    #expect(try server.receive() == "x")
    #expect(try host.refusal { try TestSocket.tcp(caller).connect("127.0.0.1", 9000) } == .refusedConnect)
    #expect(!listener.isReadable)
  }

  @Test("allowed UDP is answered; refused UDP is EPERM at send()", arguments: Family.allCases)
  func datagrams(family: Family) async throws {
    let (web, db, host) = try await webAndStore()
    let server = try db.run { try TestSocket.bound(family.loopback, 9001) }
    let client = try web.run {
      let client = try TestSocket.udp(family)
      try client.send("unconnected", to: family.loopback, 9001)
      return client
    }
    let (text, sender) = try db.run { try server.receiveFrom() }
    #expect(text == "unconnected")
    try db.run { _ = try server.reply("answer", to: sender) }
    #expect(try client.receive() == "answer")
    #expect(try web.refusal { try TestSocket.udp(family).send("x", to: family.loopback, 9002) } == .notPermitted)
    _ = try? host.refusal { try TestSocket.udp(family).send("from the host", to: family.loopback, 9001) }
    #expect(!server.isReadable)
  }

  @Test("connected UDP is let through connect() and judged at send()", arguments: Family.allCases)
  func connectedDatagrams(family: Family) async throws {
    let (web, db, _) = try await webAndStore()
    let server = try db.run { try TestSocket.bound(family.loopback, 9001) }
    try web.run {
      let client = try TestSocket.udp(family)
      try client.connect(family.loopback, 9001)
      try client.send("connected")
    }
    #expect(try server.receive() == "connected")
    let other = try web.run {
      let other = try TestSocket.udp(family)
      try other.connect(family.loopback, 9002)
      return other
    }
    #expect(try web.refusal { _ = try other.send("x") } == .notPermitted)
  }

  @Test("a workload may always talk to itself, over TCP and UDP", arguments: Family.allCases)
  func local(family: Family) async throws {
    let (_, db, _) = try await webAndStore()
    let mark = try policed.mark()
    let reached = try db.run {
      let listener = try TestSocket.listening(family.loopback, 7777)
      let client = try TestSocket.tcp(family)
      try client.connect(family.loopback, 7777)
      let server = try listener.accept()
      try client.send("self")
      let receiver = try TestSocket.bound(family.loopback, 7778)
      try TestSocket.udp(family).send("too", to: family.loopback, 7778)
      return [try server.receive(), try receiver.receive()]
    }
    #expect(reached == ["self", "too"])
    #expect(policed.events.first(after: mark) { $0.kind == .open && $0.decidedBy == .local } != nil)
  }
}
