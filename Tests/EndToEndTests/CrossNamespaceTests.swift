// Workloads in different network namespaces of one host: told apart whatever the addresses.
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Across namespaces", .serialized, .requires(.policing), .policed)
struct CrossNamespaceTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private static let ports = "tcp/9000-9007, udp/9001"

  private func db() async throws -> PolicedThread {
    try await policed.workload("db", "app=db", at: ["10.77.0.2", "fd77::2"])
  }

  @Test(
    "an allowed connection crosses a veth, and its sender is known by hand-off", arguments: ["10.77.0.2", "fd77::2"])
  func allowed(address: String) async throws {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", Self.ports))
    let (web, db, pair) = (try await policed.workload("web", "app=web"), try await db(), try policed.pair())
    let mark = try policed.mark()
    let listener = try db.run(in: pair.right) { try TestSocket.listening(address, 9000) }
    let client = try web.run(in: pair.left) {
      let client = try TestSocket.tcp(Family(of: address))
      try client.connect(address, 9000)
      return client
    }
    let server = try listener.accept()
    try client.send("across")
    #expect(try server.receive() == "across")
    let open = policed.events.first(after: mark) { $0.kind == .open && $0.direction == .incoming }
    #expect(open?.assurance == .handoff)
    #expect(open?.peerWorkload == web.cgroup.id.rawValue)
    #expect(open?.workload == db.cgroup.id.rawValue)
  }

  @Test("what the listener's side refuses never reaches accept()", arguments: ["10.77.0.2", "fd77::2"])
  func refusedIncoming(address: String) async throws {
    try await policed.apply(Policed.outgoing("app=web", to: "any", "any"))
    let (web, db, pair) = (try await policed.workload("web", "app=web"), try await db(), try policed.pair())
    let mark = try policed.mark()
    let listener = try db.run(in: pair.right) { try TestSocket.listening(address, 9000) }
    let client = try web.run(in: pair.left) {
      let client = try TestSocket.tcp(Family(of: address))
      try client.startConnect(address, 9000)
      return client
    }
    let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.direction == .incoming }
    #expect(refused?.workload == db.cgroup.id.rawValue)
    #expect(refused?.peerWorkload == web.cgroup.id.rawValue)
    #expect(refused?.decidedBy == .default)
    #expect(!listener.isReadable)
    _ = client
  }

  @Test("[36] what the caller's side refuses is EPERM at connect()", arguments: ["10.77.0.2", "fd77::2"])
  func refusedOutgoing(address: String) async throws {
    try await policed.apply(Policed.incoming("app=db", from: "any", "any"))
    let (web, _, pair) = (try await policed.workload("web", "app=web"), try await db(), try policed.pair())
    let refusal = try web.refusal(in: pair.left) { try TestSocket.tcp(Family(of: address)).connect(address, 9000) }
    #expect(refusal == .refusedConnect)
  }

  @Test("UDP is judged at both ends, and answered", arguments: ["10.77.0.2", "fd77::2"])
  func datagrams(address: String) async throws {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", Self.ports))
    let (web, db, pair) = (try await policed.workload("web", "app=web"), try await db(), try policed.pair())
    let intruder = try await policed.workload("intruder", "app=intruder")
    let server = try db.run(in: pair.right) { try TestSocket.bound(address, 9001) }
    let client = try web.run(in: pair.left) {
      let client = try TestSocket.udp(Family(of: address))
      try client.send("question", to: address, 9001)
      return client
    }
    let (text, sender) = try server.receiveFrom()
    #expect(text == "question")
    try db.run(in: pair.right) { _ = try server.reply("answer", to: sender) }
    #expect(try client.receive() == "answer")
    let refusal = try intruder.refusal(in: pair.left) {
      try TestSocket.udp(Family(of: address)).send("x", to: address, 9001)
    }
    #expect(refusal == .notPermitted)
    #expect(!server.isReadable)
  }

  @Test(
    "a datagram larger than the link's MTU is fragmented, reassembled and let through",
    arguments: ["10.77.0.2", "fd77::2"])
  func largeDatagram(address: String) async throws {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", Self.ports))
    let (web, db, pair) = (try await policed.workload("web", "app=web"), try await db(), try policed.pair())
    let server = try db.run(in: pair.right) { try TestSocket.bound(address, 9001) }
    let text = String(repeating: "0123456789", count: 500)
    try web.run(in: pair.left) { _ = try TestSocket.udp(Family(of: address)).send(text, to: address, 9001) }
    #expect(try server.receive() == text)
  }

  @Test("[6] a stranger at a workload's address is not that workload: TCP and UDP")
  func strangerAtAddress() async throws {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", Self.ports))
    let (_, db, pair) = (
      try await policed.workload("web", "app=web", at: ["10.77.0.1"]), try await db(), try policed.pair()
    )
    let mark = try policed.mark()
    let listener = try db.run(in: pair.right) { try TestSocket.listening("10.77.0.2", 9000) }
    let server = try db.run(in: pair.right) { try TestSocket.bound("10.77.0.2", 9001) }
    // Outside of the enforced subtree, so no egress hook vouches for it.
    let stranger = try pair.left.run {
      let stranger = try TestSocket.tcp()
      try stranger.startConnect("10.77.0.2", 9000)
      try TestSocket.udp().send("I am web", to: "10.77.0.2", 9001)
      return stranger
    }
    for wanted in [IPProtocol.tcp, .udp] {
      let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.protocol == wanted }
      #expect(refused?.peer == .unknown)
      #expect(refused?.assurance == .unknown)
    }
    #expect(!listener.isReadable)
    #expect(!server.isReadable)
    _ = try await policed.workload("web", "app=web")
    _ = stranger
  }

  @Test("[30] overlapping addresses, same ports, same instant: the right one gets in, the other never does")
  func overlappingPairs() async throws {
    try await policed.apply(
      Policed.allowing("app=web", to: "app=db", Self.ports) + Policed.outgoing("app=intruder", to: "any", "any"))
    let (web, db) = (try await policed.workload("web", "app=web"), try await db())
    let intruder = try await policed.workload("intruder", "app=intruder")
    let (one, two) = (try policed.pair("one"), try policed.pair("two"))
    // A port of its own for each round: the same refusal twice within a second is told once.
    for round in UInt16(0)..<8 {
      let port = 9000 + round
      let good = try db.run(in: one.right) { try TestSocket.listening("10.77.0.2", port) }
      let bad = try db.run(in: two.right) { try TestSocket.listening("10.77.0.2", port) }
      let mark = try policed.mark()
      let connect: @Sendable () throws -> TestSocket = {
        let caller = try TestSocket.tcp()
        try caller.bind("10.77.0.1", 20000 + round)
        try caller.startConnect("10.77.0.2", port)
        return caller
      }
      // Side by side: the sequence number comes from addresses, ports and the clock, and may be the same.
      async let first = web.run(in: one.left, connect)
      async let second = intruder.run(in: two.left, connect)
      let (caller, other) = (try await first, try await second)
      try caller.finishConnect()
      _ = try good.accept()
      let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.localPort == port }
      #expect(refused?.peerWorkload == intruder.cgroup.id.rawValue)
      #expect(!bad.isReadable)
      _ = other
    }
  }

  @Test("[30] overlapping addresses over UDP: on one tuple each packet is its own sender's")
  func overlappingDatagrams() async throws {
    try await policed.apply(
      Policed.allowing("app=web", to: "app=db", Self.ports) + Policed.outgoing("app=intruder", to: "any", "any"))
    let (web, db) = (try await policed.workload("web", "app=web"), try await db())
    let intruder = try await policed.workload("intruder", "app=intruder")
    let (one, two) = (try policed.pair("one"), try policed.pair("two"))
    let good = try db.run(in: one.right) { try TestSocket.bound("10.77.0.2", 9001) }
    let bad = try db.run(in: two.right) { try TestSocket.bound("10.77.0.2", 9001) }
    let before = try policed.counters().statistics.sendersAmbiguous
    for port in UInt16(21000)..<21016 {
      let send: @Sendable (String) throws -> Void = { text in
        let socket = try TestSocket.udp()
        try socket.bind("10.77.0.1", port)
        try socket.send(text, to: "10.77.0.2", 9001)
      }
      if port % 2 == 0 {
        try web.run(in: one.left) { try send("web") }
        try intruder.run(in: two.left) { try send("intruder") }
      } else {
        try intruder.run(in: two.left) { try send("intruder") }
        try web.run(in: one.left) { try send("web") }
      }
      #expect(try good.receive() == "web")
    }
    // What comes behind the intruder's on the same wire arrives first, because nothing of them did.
    try web.run(in: two.left) { _ = try TestSocket.udp().send("behind", to: "10.77.0.2", 9001) }
    #expect(try bad.receive() == "behind")
    #expect(try policed.counters().statistics.sendersAmbiguous == before)
  }

  @Test("[10] two workloads that share a namespace and its address are policed apart")
  func sharedNamespace() async throws {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "any"))
    let (web, db, pair) = (try await policed.workload("web", "app=web"), try await db(), try policed.pair())
    let neighbour = try await policed.workload("neighbour", "app=neighbour")
    let mark = try policed.mark()
    let open = try db.run(in: pair.right) { try TestSocket.listening("10.77.0.2", 9100) }
    let shut = try neighbour.run(in: pair.right) { try TestSocket.listening("10.77.0.2", 9200) }
    let waiting = try web.run(in: pair.left) {
      try TestSocket.tcp().connect("10.77.0.2", 9100)
      let waiting = try TestSocket.tcp()
      try waiting.startConnect("10.77.0.2", 9200)
      return waiting
    }
    _ = try open.accept()
    let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.direction == .incoming }
    #expect(refused?.workload == neighbour.cgroup.id.rawValue)
    #expect(!shut.isReadable)
    _ = waiting
  }

  @Test("[11] a socket stays in the namespace that it was made in, and is policed there")
  func setnsWithOldSocket() async throws {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", Self.ports))
    let (web, db, pair) = (try await policed.workload("web", "app=web"), try await db(), try policed.pair())
    let listener = try db.run(in: pair.right) { try TestSocket.listening("10.77.0.2", 9000) }
    let sockets = try web.run(in: pair.left) { (try TestSocket.tcp(), try TestSocket.tcp()) }
    // The thread works in another namespace now, the sockets do not.
    try web.run { try sockets.0.connect("10.77.0.2", 9000) }
    _ = try listener.accept()
    #expect(try web.refusal { try sockets.1.connect("10.77.0.2", 9100) } == .refusedConnect)
  }
}
