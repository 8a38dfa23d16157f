// What happens while policy changes: to connections that begin, that live, and that are there to stay.
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Change", .serialized, .requires(.policing), .policed)
struct ChangeTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private func webAndStore() async throws -> (web: PolicedThread, db: PolicedThread) {
    (try await policed.workload("web", "app=web"), try await policed.workload("db", "app=db"))
  }

  @Test("[42] while two policies alternate, every verdict is that of its generation and never of a mixture")
  func oneFlip() async throws {
    let (web, db) = try await webAndStore()
    let first = Policed.allowing("app=web", to: "app=db", "tcp/9000")
    let second = Policed.allowing("app=web", to: "app=db", "tcp/9001")
    var allowed: [UInt32: UInt16] = [try await policed.apply(second).generation: 9001]
    let listeners = try db.run {
      (try TestSocket.listening("127.0.0.1", 9000), try TestSocket.listening("127.0.0.1", 9001))
    }
    let mark = try policed.mark()
    let load = try Background { progress in
      try web.run { () throws -> Int in
        var strange = 0
        while progress.next() {
          for port in [UInt16(9000), 9001] {
            do {
              let caller = try TestSocket.tcp()
              try caller.startConnect("127.0.0.1", port)
            } catch let error as Errno where error == .notPermitted {
            } catch { strange += 1 }
          }
          _ = try? listeners.0.accept(within: 0)
          _ = try? listeners.1.accept(within: 0)
        }
        return strange
      }
    }
    var round = 0
    while round < 60 || (round < 20000 && load.progress.count < 500) {
      round += 1
      let isFirst = round % 2 == 0
      let publication = try await policed.apply(isFirst ? first : second)
      allowed[publication.generation] = isFirst ? 9000 : 9001
    }
    #expect(try load.finish() == 0)
    let told = try policed.told(after: mark).filter {
      ($0.kind == .attempt || $0.kind == .refused) && $0.workload == web.cgroup.id.rawValue && $0.protocol == .tcp
    }
    let wrong = told.filter { ($0.action == .allow) != (allowed[$0.generation] == $0.remotePort) }
    #expect(wrong.isEmpty)
    #expect(Set(told.map(\.generation)).count > 2)
  }

  @Test("[37] tightening cuts live TCP at both ends, loosening lets the next attempt through")
  func revocation() async throws {
    let (web, db) = try await webAndStore()
    let allow =
      Policed.allowing("app=web", to: "app=db", "tcp/9010") + Policed.allowing("app=web", to: "app=db", "tcp/9015")
    try await policed.apply(allow)
    let connect: @Sendable (UInt16) throws -> (client: TestSocket, server: TestSocket) = { port in
      let listener = try db.run { try TestSocket.listening("127.0.0.1", port) }
      let client = try web.run {
        let client = try TestSocket.tcp()
        try client.connect("127.0.0.1", port)
        return client
      }
      return (client, try listener.accept())
    }
    let (cut, kept) = (try connect(9010), try connect(9015))
    try cut.client.send("x")
    #expect(try cut.server.receive() == "x")
    _ = try policed.mark()
    // Another test's changes may have left connections that are half closed.
    let ours: (Revocation) -> Int = { cut in
      cut.revoked.count { $0.socket.local.port == 9010 || $0.socket.remote.port == 9010 }
    }
    #expect(ours(try await policed.revoke()) == 0)
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9015"))
    let revocation = try await policed.revoke()
    #expect(ours(revocation) == 2)
    #expect(revocation.destroyed + revocation.gone == revocation.revoked.count)
    for end in [cut.client, cut.server] {
      let failure = #expect(throws: Errno.self) { try end.receive() }
      #expect([.connectionAbort, .connectionReset].contains(failure))
    }
    try kept.client.send("alive")
    #expect(try kept.server.receive() == "alive")
    try await policed.apply(allow)
    let again = try connect(9010)
    try again.client.send("again")
    #expect(try again.server.receive() == "again")
  }

  @Test("[37] a connected UDP socket is destroyed as well, so that its owner hears of it")
  func revokedDatagrams() async throws {
    let (web, db) = try await webAndStore()
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "udp/9001"))
    let server = try db.run { try TestSocket.bound("127.0.0.1", 9001) }
    let client = try web.run {
      let client = try TestSocket.udp()
      try client.connect("127.0.0.1", 9001)
      try client.send("x")
      return client
    }
    #expect(try server.receive() == "x")
    _ = try policed.mark()
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "udp/9002"))
    #expect(try await policed.revoke().destroyed == 1)
    #expect(throws: Errno.connectionAbort) { try client.receive() }
  }

  @Test("[37] an idle connection across namespaces is cut as well")
  func revocationAcross() async throws {
    let pair = try policed.pair()
    let (web, db) = (
      try await policed.workload("web", "app=web"), try await policed.workload("db", "app=db", at: ["10.77.0.2"])
    )
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000"))
    let listener = try db.run(in: pair.right) { try TestSocket.listening("10.77.0.2", 9000) }
    let client = try web.run(in: pair.left) {
      let client = try TestSocket.tcp()
      try client.connect("10.77.0.2", 9000)
      return client
    }
    let server = try listener.accept()
    _ = try policed.mark()
    try await policed.apply(Policed.outgoing("app=web", to: "app=db", "tcp/9000"))
    #expect(try await policed.revoke().revoked.count == 1)
    #expect(throws: Errno.connectionAbort) { try server.receive() }
    #expect(throws: Errno.connectionReset) { try client.receive() }
    _ = try await policed.workload("db", "app=db")
  }

  @Test("a policy that cannot be parsed or compiled changes nothing")
  func refusedPolicy() async throws {
    let (web, db) = try await webAndStore()
    let before = try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000"))
    await #expect(throws: PolicyErrors.self) { try await policed.apply("kind: Nonsense") }
    await #expect(throws: PolicyErrors.self) {
      try await policed.apply(Policed.outgoing("app=web", to: "network:none", "any"))
    }
    #expect(await policed.enforcer.snapshot.generation == before.generation)
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9000) }
    try web.run { try TestSocket.tcp().connect("127.0.0.1", 9000) }
    _ = try listener.accept()
  }
}
