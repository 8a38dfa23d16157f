// An address that belongs to a workload, and somebody else receives there.
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Addresses that were taken", .serialized, .requires(.policing), .policed)
struct AddressClaimTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private static let addresses = ["10.77.0.2", "fd77::2"]
  private static let ports = "tcp/9000, udp/9001"

  /// web may reach db, whose addresses are those of `pair.right`; the thief lets everybody in.
  private func stage(
    _ more: String = "", declared: [String] = addresses
  ) async throws -> (web: PolicedThread, db: PolicedThread, thief: PolicedThread, pair: Policed.NamespacePair) {
    try await policed.apply(
      Policed.allowing("app=web", to: "app=db", Self.ports) + Policed.incoming("app=thief", from: "any", "any") + more)
    return (
      try await policed.workload("web", "app=web"), try await policed.workload("db", "app=db", at: declared),
      try await policed.workload("thief", "app=thief"), try policed.pair()
    )
  }

  @Test("who is allowed to reach a workload does not reach another that took its address", arguments: addresses)
  func anotherWorkload(address: String) async throws {
    let (web, db, thief, pair) = try await stage()
    let family = Family(of: address)
    let mark = try policed.mark()
    let listener = try thief.run(in: pair.right) { try TestSocket.listening(address, 9000) }
    let server = try thief.run(in: pair.right) { try TestSocket.bound(address, 9001) }
    let caller = try web.run(in: pair.left) { () throws -> TestSocket in
      let caller = try TestSocket.tcp(family)
      try caller.startConnect(address, 9000)
      try TestSocket.udp(family).send("secret", to: address, 9001)
      return caller
    }
    for wanted in [IPProtocol.tcp, .udp] {
      let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.protocol == wanted }
      #expect(refused?.direction == .outgoing)
      #expect(refused?.workload == web.cgroup.id.rawValue)
      #expect(refused?.peerWorkload == thief.cgroup.id.rawValue)
      #expect(refused?.flags.contains(.peerSide) == true)
    }
    #expect(!listener.isReadable)
    #expect(!server.isReadable)
    _ = (caller, db)
  }

  @Test("the workload itself is reached at its address, and its replies arrive", arguments: addresses)
  func itself(address: String) async throws {
    let (web, db, _, pair) = try await stage()
    let family = Family(of: address)
    let listener = try db.run(in: pair.right) { try TestSocket.listening(address, 9000) }
    let server = try db.run(in: pair.right) { try TestSocket.bound(address, 9001) }
    // One socket that connects twice: what was confirmed is the handshake, not the socket.
    let caller = try web.run(in: pair.left) { try TestSocket.tcp(family) }
    for _ in 0..<2 {
      try web.run(in: pair.left) { try caller.connect(address, 9000) }
      let accepted = try listener.accept()
      try accepted.send("hello")
      #expect(try caller.receive() == "hello")
      try caller.disconnect()
    }
    let client = try web.run(in: pair.left) { () throws -> TestSocket in
      let client = try TestSocket.udp(family)
      try client.send("question", to: address, 9001)
      return client
    }
    let (_, sender) = try server.receiveFrom()
    try db.run(in: pair.right) { _ = try server.reply("answer", to: sender) }
    #expect(try client.receive() == "answer")
  }

  @Test("where a workload of that namespace receives whom the sender may reach, its address is no obstacle")
  func neighbour() async throws {
    let (web, _, thief, pair) = try await stage(Policed.outgoing("app=web", to: "app=thief", Self.ports))
    let listener = try thief.run(in: pair.right) { try TestSocket.listening("10.77.0.2", 9000) }
    try web.run(in: pair.left) { try TestSocket.tcp().connect("10.77.0.2", 9000) }
    _ = try listener.accept()
  }

  @Test(
    "an address without a hook behind it answers nobody who was allowed to reach its workload", arguments: addresses)
  func stranger(address: String) async throws {
    let (web, db, _, pair) = try await stage()
    let family = Family(of: address)
    let mark = try policed.mark()
    // Outside of the enforced subtree.
    let (listener, server) = try pair.right.run {
      (try TestSocket.listening(address, 9000), try TestSocket.bound(address, 9001))
    }
    let (caller, client) = try web.run(in: pair.left) { () throws -> (TestSocket, TestSocket) in
      let (caller, client) = (try TestSocket.tcp(family), try TestSocket.udp(family))
      try caller.startConnect(address, 9000)
      try client.send("question", to: address, 9001)
      return (caller, client)
    }
    let (_, sender) = try server.receiveFrom()
    try pair.right.run { _ = try server.reply("answer", to: sender) }
    let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.protocol == .tcp }
    #expect(refused?.direction == .outgoing)
    #expect(refused?.workload == web.cgroup.id.rawValue)
    #expect(refused?.peer == .unknown)
    #expect(policed.events.first(after: mark) { $0.kind == .refused && $0.protocol == .udp } != nil)
    #expect(throws: Errno.timedOut) { try caller.finishConnect(within: 0) }
    #expect(!client.isReadable)
    _ = (listener, db)
  }

  @Test(
    "what policy allows to an unknown sender, or to a network, does not depend on who receives", arguments: addresses)
  func allowedAnyway(address: String) async throws {
    let networks =
      Policed.network("lan", "10.77.0.0/24, fd77::/64")
      + Policed.outgoing(
        "app=web", to: "network:lan", Self.ports)
    for (more, declared) in [(Policed.defaults(incoming: "allow", outgoing: "allow"), Self.addresses), (networks, [])] {
      let (_, db, _, pair) = try await stage(more, declared: declared)
      let free = try await policed.workload(
        declared.isEmpty ? "web" : "free", declared.isEmpty ? "app=web" : "app=free")
      let family = Family(of: address)
      let (listener, server) = try pair.right.run {
        (try TestSocket.listening(address, 9000), try TestSocket.bound(address, 9001))
      }
      let client = try free.run(in: pair.left) { () throws -> TestSocket in
        try TestSocket.tcp(family).connect(address, 9000)
        let client = try TestSocket.udp(family)
        try client.send("question", to: address, 9001)
        return client
      }
      _ = try listener.accept()
      let (_, sender) = try server.receiveFrom()
      try pair.right.run { _ = try server.reply("answer", to: sender) }
      #expect(try client.receive() == "answer")
      _ = db
    }
  }
}
