// The many ways to send a datagram, and the many ways to name a destination.
internal import Coverage
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Datagrams and destinations", .serialized, .requires(.policing), .policed)
struct DatagramTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private func webAndStore(_ more: String = "") async throws -> (web: PolicedThread, db: PolicedThread) {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000, udp/9001") + more)
    return (try await policed.workload("web", "app=web"), try await policed.workload("db", "app=db"))
  }

  @Test(
    "[22] a source address chosen with IP_PKTINFO changes nothing about who sends",
    arguments: [
      ("127.0.0.1", "127.0.0.2"), ("::1", "::1"),
    ])
  func chosenSource(destination: String, source: String) async throws {
    let (web, db) = try await webAndStore()
    let server = try db.run { try TestSocket.bound(destination, 9001) }
    try web.run { try TestSocket.udp(Family(of: destination)).send("x", to: destination, 9001, from: source) }
    #expect(try server.receive() == "x")
    let refusal = try web.refusal {
      try TestSocket.udp(Family(of: destination)).send("x", to: destination, 9002, from: source)
    }
    #expect(refusal == .notPermitted)
  }

  @Test("[22] sendmmsg to several destinations is judged for each of them", arguments: Family.allCases)
  func manyDestinations(family: Family) async throws {
    let (web, db) = try await webAndStore()
    let server = try db.run { try TestSocket.bound(family.loopback, 9001) }
    let other = try db.run { try TestSocket.bound(family.loopback, 9002) }
    let sent = try web.run {
      try TestSocket.udp(family).send(
        "x",
        toEach: [(family.loopback, 9001), (family.loopback, 9001), (family.loopback, 9002), (family.loopback, 9001)])
    }
    #expect(sent == 2)
    #expect(try server.receive() == "x")
    #expect(try server.receive() == "x")
    #expect(!other.isReadable)
  }

  @Test("[22] connect(AF_UNSPEC) and another destination starts from nothing", arguments: Family.allCases)
  func reconnect(family: Family) async throws {
    let (web, db) = try await webAndStore()
    let server = try db.run { try TestSocket.bound(family.loopback, 9001) }
    let other = try db.run { try TestSocket.bound(family.loopback, 9002) }
    let refusal = try web.refusal {
      let socket = try TestSocket.udp(family)
      try socket.connect(family.loopback, 9001)
      try socket.send("allowed")
      try socket.disconnect()
      try socket.connect(family.loopback, 9002)
      try socket.send("refused")
    }
    #expect(refusal == .notPermitted)
    #expect(try server.receive() == "allowed")
    #expect(!other.isReadable)
  }

  @Test("[37] a connected UDP socket is revoked at its next packet and let through again after loosening")
  func connectedRevocation() async throws {
    let (web, db) = try await webAndStore()
    let server = try db.run { try TestSocket.bound("127.0.0.1", 9001) }
    let client = try web.run {
      let client = try TestSocket.udp()
      try client.connect("127.0.0.1", 9001)
      try client.send("before")
      return client
    }
    #expect(try server.receive() == "before")
    let mark = try policed.mark()
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000"))
    #expect(try web.refusal { _ = try client.send("after") } == .notPermitted)
    #expect(!server.isReadable)
    let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.protocol == .udp }
    #expect(refused?.flags.contains(.revoked) == true)
    #expect(try policed.counters().workloads[web.cgroup.id]?.revoked(.outgoing) ?? 0 > 0)
    _ = try await webAndStore()
    try web.run { _ = try client.send("again") }
    #expect(try server.receive() == "again")
  }

  @Test(
    "[24] multicast goes to the network that the group is in, and each member judges the sender",
    .only(on: .cgroup, because: TrafficClass.multicast.rawValue))
  func multicast() async throws {
    let group = Policed.network("group", "239.1.2.3/32") + Policed.outgoing("app=web", to: "network:group", "udp/9001")
    let (web, db) = try await webAndStore(group)
    let stranger = try await policed.workload("stranger", "app=stranger")
    try policed.sandbox.command(["ip", "route", "replace", "239.0.0.0/8", "dev", "lo"], namespace: policed.home)
    let membership = try addressBytes("239.1.2.3") + addressBytes("127.0.0.1")
    let join: @Sendable () throws -> TestSocket = {
      let member = try TestSocket.bound("239.1.2.3", 9001)
      try member.setOption(0, 35, bytes: membership)
      return member
    }
    let (member, shut) = (try db.run(join), try stranger.run(join))
    let mark = try policed.mark()
    try web.run { _ = try TestSocket.udp().send("to all", to: "239.1.2.3", 9001) }
    #expect(try member.receive() == "to all")
    let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.direction == .incoming }
    #expect(refused?.workload == stranger.cgroup.id.rawValue)
    #expect(!shut.isReadable)
    #expect(try web.refusal { try TestSocket.udp().send("x", to: "239.1.2.4", 9001) } == .notPermitted)
  }

  @Test("[24] broadcast is judged by its address going out and by its sender coming in")
  func broadcast() async throws {
    let lan = Policed.network("lan", "10.77.0.255/32") + Policed.outgoing("app=web", to: "network:lan", "udp/9001")
    let (web, db) = try await webAndStore(lan)
    let stranger = try await policed.workload("stranger", "app=stranger")
    let pair = try policed.pair()
    let server = try db.run(in: pair.right) { try TestSocket.bound("0.0.0.0", 9001) }
    let send: @Sendable () throws -> Void = {
      let socket = try TestSocket.udp()
      try socket.setOption(1, 6, 1)
      try socket.send("hello", to: "10.77.0.255", 9001)
    }
    try web.run(in: pair.left, send)
    #expect(try server.receive() == "hello")
    #expect(try stranger.refusal(in: pair.left, send) == .notPermitted)
    #expect(!server.isReadable)
  }

  @Test(
    "[24] 0.0.0.0 and :: as a destination mean loopback, and are judged as it",
    arguments: [
      ("0.0.0.0", "127.0.0.1"), ("::", "::1"),
    ])
  func unspecifiedDestination(destination: String, meant: String) async throws {
    let (web, db) = try await webAndStore()
    let family = Family(of: destination)
    let listener = try db.run { try TestSocket.listening(meant, 9000) }
    let server = try db.run { try TestSocket.bound(meant, 9001) }
    let refusing = try db.run { (try TestSocket.listening(meant, 9002), try TestSocket.bound(meant, 9002)) }
    try web.run {
      try TestSocket.tcp(family).connect(destination, 9000)
      try TestSocket.udp(family).send("x", to: destination, 9001)
    }
    _ = try listener.accept()
    #expect(try server.receive() == "x")
    #expect(try web.refusal { try TestSocket.tcp(family).connect(destination, 9002) } == .refusedConnect)
    #expect(try web.refusal { try TestSocket.udp(family).send("x", to: destination, 9002) } == .notPermitted)
    _ = refusing
  }

  @Test("[24] all of 127/8 is loopback, not only its first address")
  func restOfLoopback() async throws {
    let (web, db) = try await webAndStore()
    let listeners = try db.run {
      (try TestSocket.listening("127.0.0.2", 9000), try TestSocket.listening("127.0.0.2", 9002))
    }
    try web.run { try TestSocket.tcp().connect("127.0.0.2", 9000) }
    _ = try listeners.0.accept()
    #expect(try web.refusal { try TestSocket.tcp().connect("127.0.0.2", 9002) } == .refusedConnect)
    #expect(try web.refusal { try TestSocket.udp().send("x", to: "127.9.9.9", 9002) } == .notPermitted)
  }

  @Test("[24] a member of another workload gets nothing of an SO_REUSEPORT group's packets")
  func reusePort() async throws {
    let (web, db) = try await webAndStore()
    let intruder = try await policed.workload("stranger", "app=stranger")
    let open: @Sendable () throws -> (TestSocket, TestSocket) = {
      let (datagrams, stream) = (try TestSocket.udp(), try TestSocket.tcp())
      for socket in [datagrams, stream] { try socket.setOption(1, 15, 1) }
      try datagrams.bind("127.0.0.1", 9001)
      try stream.bind("127.0.0.1", 9000)
      try stream.startListening()
      return (datagrams, stream)
    }
    // The last to come is the first that a search finds.
    let (foreign, own) = (try intruder.run(open), try db.run(open))
    let passed = try web.run { () throws -> Int in
      var passed = 0
      for _ in 0..<40 where (try? TestSocket.udp().send("x", to: "127.0.0.1", 9001)) != nil { passed += 1 }
      return passed
    }
    if policed.datapath.kind == .cgroup {
      #expect(passed > 0 && passed < 40)
      for _ in 0..<passed { #expect(try own.0.receive() == "x") }
    }
    // Rules see no socket of a packet that comes in: where the kernel may choose, nobody gets it.
    #expect(!own.0.isReadable)
    #expect(!foreign.0.isReadable)
    let callers = try web.run {
      (0..<20).compactMap { _ -> TestSocket? in
        guard let caller = try? TestSocket.tcp(), (try? caller.startConnect("127.0.0.1", 9000)) != nil else {
          return nil
        }
        return caller
      }
    }
    // connect() asks one member for all, so it may refuse even those that would have gone to the other.
    var accepted = 0
    while (try? own.1.accept(within: 100)) != nil { accepted += 1 }
    #expect(accepted <= callers.count)
    #expect(!foreign.1.isReadable)
    _ = callers
  }

  @Test("a server with a socket for each CPU of a large host is reached", arguments: Family.allCases)
  func manyMembers(family: Family) async throws {
    let (web, db) = try await webAndStore()
    let members = try db.run {
      try (0..<64).map { _ in
        let (datagrams, stream) = (try TestSocket.udp(family), try TestSocket.tcp(family))
        for socket in [datagrams, stream] { try socket.setOption(1, 15, 1) }
        try datagrams.bind(family.loopback, 9001)
        try stream.bind(family.loopback, 9000)
        try stream.startListening()
        return (datagrams: datagrams, stream: stream)
      }
    }
    let callers = try web.run {
      try (0..<32).map { _ in
        try TestSocket.udp(family).send("x", to: family.loopback, 9001)
        let caller = try TestSocket.tcp(family)
        try caller.connect(family.loopback, 9000)
        return caller
      }
    }
    #expect(members.count { $0.datagrams.isReadable } > 1)
    #expect(members.count { $0.stream.isReadable } > 1)
    _ = callers
  }
}
