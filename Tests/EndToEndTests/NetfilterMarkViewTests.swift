// The mark view of the netfilter datapath: marks by cgroup, listeners by sock_diag, replies by connection tracking.
import Kernel
import Policy
import SystemPackage
import TestSupport
import Testing

@testable import Enforcement

@Suite(
  "Mark view of netfilter", .serialized,
  .requires(
    .root, .bpf, .cgroups, .pins, .networkNamespaces, .program("iptables", package: "iptables")), .policedInMarkView)
struct NetfilterMarkViewTests {
  let policed: Policed
  let markState: MarkState
  init() throws {
    policed = try Policed.shared
    markState = try #require((policed.datapath as? NetfilterDatapath)?.markState)
  }

  private func webAndStore() async throws -> (web: PolicedThread, db: PolicedThread, host: PolicedThread) {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000, udp/9001"))
    return (
      try await policed.workload("web", "app=web"), try await policed.workload("db", "app=db"),
      try policed.thread("host")
    )
  }

  @Test("TCP that both ends allow carries bytes, what either end refuses is reset at once", arguments: Family.allCases)
  func streams(family: Family) async throws {
    let (web, db, host) = try await webAndStore()
    let listeners = try db.run {
      (try TestSocket.listening(family.loopback, 9000), try TestSocket.listening(family.loopback, 9002))
    }
    try markState.tellListeners()
    let client = try web.run {
      let client = try TestSocket.tcp(family)
      try client.connect(family.loopback, 9000)
      return client
    }
    let server = try db.run { try listeners.0.accept() }
    try client.send("question")
    #expect(try server.receive() == "question")
    try server.send("answer")
    #expect(try client.receive() == "answer")
    #expect(try web.refusal { try TestSocket.tcp(family).connect(family.loopback, 9002) } == .connectionRefused)
    #expect(try host.refusal { try TestSocket.tcp(family).connect(family.loopback, 9000) } == .connectionRefused)
    #expect(!listeners.0.isReadable && !listeners.1.isReadable)
  }

  @Test("UDP that both ends allow is answered, what either end refuses is EPERM", arguments: Family.allCases)
  func datagrams(family: Family) async throws {
    let (web, db, host) = try await webAndStore()
    let server = try db.run { try TestSocket.bound(family.loopback, 9001) }
    let other = try db.run { try TestSocket.bound(family.loopback, 9002) }
    try markState.tellListeners()
    let client = try web.run {
      let client = try TestSocket.udp(family)
      try client.send("ask", to: family.loopback, 9001)
      return client
    }
    let (text, sender) = try server.receiveFrom()
    #expect(text == "ask")
    try db.run { _ = try server.reply("answer", to: sender) }
    #expect(try client.receive() == "answer")
    #expect(try web.refusal { try TestSocket.udp(family).send("x", to: family.loopback, 9002) } == .notPermitted)
    #expect(try host.refusal { try TestSocket.udp(family).send("x", to: family.loopback, 9001) } == .notPermitted)
    #expect(!server.isReadable && !other.isReadable)
  }

  @Test("a listener that was not told of is found by the first SYN, so that the second one passes")
  func unknownListener() async throws {
    let (web, db, host) = try await webAndStore()
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9000) }
    let caller = try web.run {
      let caller = try TestSocket.tcp()
      try caller.startConnect("127.0.0.1", 9000)
      return caller
    }
    try caller.finishConnect()
    _ = try listener.accept()
    #expect(try host.refusal { try TestSocket.tcp().connect("127.0.0.1", 9000) } == .connectionRefused)
  }

  @Test("the host is refused by a listener that was not told of, also over UDP")
  func hostAndUnknownListener() async throws {
    let (_, db, host) = try await webAndStore()
    let (listener, receiver) = try db.run {
      (try TestSocket.listening("127.0.0.1", 9000), try TestSocket.bound("127.0.0.1", 9001))
    }
    let caller = try host.run {
      try TestSocket.udp().send("x", to: "127.0.0.1", 9001)
      let caller = try TestSocket.tcp()
      try caller.startConnect("127.0.0.1", 9000)
      return caller
    }
    // Lost until the agent has told who listens, then reset.
    #expect(throws: Errno.connectionRefused) { try caller.finishConnect() }
    #expect(!listener.isReadable && !receiver.isReadable)
  }

  @Test("a connection whose listener is gone lives on while policy allows it", .requires(.socketDestruction))
  func withoutListener() async throws {
    let (web, db, _) = try await webAndStore()
    let (client, server) = try connection(from: web, to: db)
    #expect(try await policed.revoke().destroyed == 0)
    try client.send("alive")
    #expect(try server.receive() == "alive")
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/1"))
    let cut = try await policed.revoke()
    // The reset of the first end may end the second.
    #expect(cut.destroyed + cut.gone == 2)
  }

  /// An established connection; nobody listens any more.
  private func connection(from web: PolicedThread, to db: PolicedThread) throws -> (TestSocket, TestSocket) {
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9000) }
    try markState.tellListeners()
    let client = try web.run {
      let client = try TestSocket.tcp()
      try client.connect("127.0.0.1", 9000)
      return client
    }
    return (client, try listener.accept())
  }

  @Test("[6] a labelled cgroup below a workload is itself; one without labels is its parent")
  func nested() async throws {
    try await policed.apply(
      Policed.allowing("app=inner", to: "app=db", "tcp/9000") + Policed.allowing("app=outer", to: "app=db", "tcp/9003"))
    let outer = try await policed.workload("outer", "app=outer")
    let inner = try await policed.workload("outer/inner", "app=inner")
    let plain = try policed.thread("outer/plain")
    let db = try await policed.workload("db", "app=db")
    let listeners = try db.run {
      (try TestSocket.listening("127.0.0.1", 9000), try TestSocket.listening("127.0.0.1", 9003))
    }
    try markState.tellListeners()
    for (thread, port, refusal) in [
      (inner, 9000, nil), (inner, 9003, .connectionRefused), (outer, 9000, .connectionRefused), (outer, 9003, nil),
      (plain, 9000, .connectionRefused), (plain, 9003, nil),
    ] as [(PolicedThread, UInt16, Errno?)] {
      let found = try thread.refusal { try TestSocket.tcp().connect("127.0.0.1", port) }
      #expect(found == refusal, "\(thread.cgroup.path) to \(port)")
    }
    _ = listeners
    // Without its labels it is its parent, at once.
    try await policed.unlabel(inner.cgroup)
    #expect(try inner.refusal { try TestSocket.tcp().connect("127.0.0.1", 9003) } == nil)
    #expect(try inner.refusal { try TestSocket.tcp().connect("127.0.0.1", 9000) } == .connectionRefused)
  }

  @Test("[8] with `children: reject-until-labelled` a cgroup without labels is refused, on its way out and in")
  func unlabelledChild() async throws {
    try await policed.apply(Policed.allowing("app=strict", to: "app=db", "tcp/9000"))
    let parent = try policed.thread("strict")
    let child = try policed.thread("strict/child")
    try await policed.label(parent.cgroup, "app=strict", rejectingChildren: true)
    let db = try await policed.workload("db", "app=db")
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9000) }
    try markState.tellListeners()
    #expect(try parent.refusal { try TestSocket.tcp().connect("127.0.0.1", 9000) } == nil)
    #expect(try child.refusal { try TestSocket.tcp().connect("127.0.0.1", 9000) } == .connectionRefused)
    _ = listener
  }

  @Test("between namespaces either end allows and refuses", arguments: Family.allCases)
  func crossing(family: Family) async throws {
    let (web, db, pair) = try await policed.webAndStore("tcp/9000, udp/9001")
    let address = family == .ipv4 ? "10.77.0.2" : "fd77::2"
    let listener = try db.run(in: pair.right) { try TestSocket.listening(address, 9000) }
    let receiver = try db.run(in: pair.right) { try TestSocket.bound(address, 9001) }
    try markState.tellListeners()
    let client = try web.run(in: pair.left) {
      let client = try TestSocket.tcp(family)
      try client.connect(address, 9000)
      try TestSocket.udp(family).send("x", to: address, 9001)
      return client
    }
    let server = try listener.accept()
    try client.send("over")
    #expect(try server.receive() == "over")
    #expect(try receiver.receive() == "x")
    let refusal = try web.refusal(in: pair.left) { try TestSocket.tcp(family).connect(address, 9002) }
    #expect(refusal == .connectionRefused)
    let stranger = try policed.thread("host").run(in: pair.left) {
      let stranger = try TestSocket.tcp(family)
      try stranger.startConnect(address, 9000)
      return stranger
    }
    #expect(throws: (any Error).self) { try stranger.finishConnect(within: 300) }
    #expect(!listener.isReadable)
  }

  @Test("[37] tightening ends a live UDP conversation", arguments: Family.allCases)
  func revokedDatagrams(family: Family) async throws {
    let (web, db, _) = try await webAndStore()
    let server = try db.run { try TestSocket.bound(family.loopback, 9001) }
    try markState.tellListeners()
    let client = try web.run {
      let client = try TestSocket.udp(family)
      try client.send("1", to: family.loopback, 9001)
      return client
    }
    let (_, sender) = try server.receiveFrom()
    try db.run { _ = try server.reply("1", to: sender) }
    #expect(try client.receive() == "1")
    // Nothing is lost by a policy that allows it still.
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "udp/9001, tcp/1"))
    _ = try await policed.revoke()
    try web.run { _ = try client.send("2", to: family.loopback, 9001) }
    #expect(try server.receive() == "2")
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/1"))
    _ = try await policed.revoke()
    #expect(try web.refusal { try client.send("3", to: family.loopback, 9001) } == .notPermitted)
    // Refused where it leaves or, if the agent has not told yet who receives there, where it arrives.
    _ = try db.refusal { _ = try server.reply("3", to: sender) }
    #expect(!client.isReadable && !server.isReadable)
  }

  @Test(
    "[37] tightening ends a live TCP connection", .requires(.socketDestruction), arguments: Family.allCases)
  func revokedStreams(family: Family) async throws {
    let (web, db, _) = try await webAndStore()
    let listener = try db.run { try TestSocket.listening(family.loopback, 9000) }
    try markState.tellListeners()
    let client = try web.run {
      let client = try TestSocket.tcp(family)
      try client.connect(family.loopback, 9000)
      return client
    }
    let server = try listener.accept()
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000, tcp/1"))
    #expect(try await policed.revoke().destroyed == 0)
    try client.send("2")
    #expect(try server.receive() == "2")
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/1"))
    #expect(try await policed.revoke().destroyed > 0)
    #expect(throws: Errno.self) { try client.send("x") }
  }

  @Test("a kernel that cannot destroy sockets is told of, and the connection is on record as lost")
  func withoutDestruction() async throws {
    let canDestroy = MachineRequirement.socketDestruction.missing() == nil
    let (web, db, _) = try await webAndStore()
    let (client, server) = try connection(from: web, to: db)
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/1"))
    let cut = try await policed.revoke()
    #expect(!cut.revoked.isEmpty)
    #expect(cut.failures.isEmpty == canDestroy)
    #expect(canDestroy || cut.failures.allSatisfy { $0.contains("CONFIG_INET_DIAG_DESTROY") })
    _ = (client, server)
  }

  @Test("detach leaves neither rules nor pins")
  func detach() async throws {
    try await Policed.with(.netfilter, view: .mark) { policed in
      try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000"))
      _ = try await policed.workload("web", "app=web")
      // Which of the two it is depends on what the kernel has.
      let programs = try ["iptables-nft-save", "iptables-legacy-save"].map { try #require(Sandbox.find($0)) }
      let home = policed.home
      func saved() throws -> String {
        try programs.map { try CapturedProcess.run($0, [], environment: [], namespace: home, input: "").output }
          .joined()
      }
      let before = try saved()
      #expect(before.contains("SP-") && before.contains("-m cgroup"))
      try await policed.enforcer.detach()
      let after = try saved()
      #expect(!after.contains("SP-") && !after.contains("sallyport"))
      #expect(!isThere(policed.datapath.pins))
    }
  }
}
