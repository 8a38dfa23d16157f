// Whose packet it is: sockets that are moved, passed and kept, cgroups that nest, go and come back.
internal import BPF
internal import Coverage
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Identity", .serialized, .requires(.policing), .policed)
struct IdentityTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private func webAndStore() async throws -> (web: PolicedThread, db: PolicedThread, host: PolicedThread) {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000, udp/9001"))
    return (
      try await policed.workload("web", "app=web"), try await policed.workload("db", "app=db"),
      try policed.thread("host")
    )
  }

  @Test("[1] a socket keeps the identity of the cgroup that made it when its owner moves")
  func movedOwner() async throws {
    let (web, db, host) = try await webAndStore()
    // The host may talk to db on both ports, so that only the socket's own identity makes the difference.
    try await policed.apply(
      Policed.allowing("app=web", to: "app=db", "udp/9001")
        + Policed.incoming("app=db", from: "any", "udp/9001, udp/9002"))
    let mark = try policed.mark()
    let server = try db.run { try TestSocket.bound("127.0.0.1", 9001) }
    let other = try db.run { try TestSocket.bound("127.0.0.1", 9002) }
    let (hostGroup, webGroup) = (host.cgroup, web.cgroup)
    let refusal = try web.refusal {
      let socket = try TestSocket.udp()
      try hostGroup.addThread(currentThread())
      defer { try? webGroup.addThread(currentThread()) }
      try socket.send("still web", to: "127.0.0.1", 9001)
      try socket.send("x", to: "127.0.0.1", 9002)
    }
    #expect(refusal == .notPermitted)
    #expect(try server.receive() == "still web")
    #expect(!other.isReadable)
    let open = policed.events.first(after: mark) { $0.kind == .open && $0.direction == .incoming }
    #expect(open?.peerWorkload == web.cgroup.id.rawValue)
  }

  @Test("[1] a listener keeps the identity of the cgroup that made it when its owner moves")
  func movedListener() async throws {
    let (web, db, host) = try await webAndStore()
    let (hostGroup, dbGroup) = (host.cgroup, db.cgroup)
    let listener = try db.run {
      let listener = try TestSocket.listening("127.0.0.1", 9000)
      try hostGroup.addThread(currentThread())
      return listener
    }
    defer { _ = try? db.run { try dbGroup.addThread(currentThread()) } }
    try web.run { try TestSocket.tcp().connect("127.0.0.1", 9000) }
    _ = try db.run { try listener.accept() }
    #expect(try host.refusal { try TestSocket.tcp().connect("127.0.0.1", 9000) } == .refusedConnect)
  }

  @Test(
    "[2] a socket that was passed by SCM_RIGHTS must be allowed for its maker and for its user",
    .only(on: .cgroup, because: TrafficClass.passedConnection.rawValue), arguments: hands)
  func passedSocket(maker: String, user: String, isAllowed: Bool) async throws {
    let (_, db, _) = try await webAndStore()
    _ = try await policed.workload("intruder", "app=intruder")
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9000) }
    let stream = try passed(policed.thread(maker).run { try TestSocket.tcp() })
    let refusal = try policed.thread(user).refusal { try stream.connect("127.0.0.1", 9000) }
    #expect(refusal == (isAllowed ? nil : .refusedConnect))
    #expect(listener.isReadable == isAllowed)
  }

  // Before 6.2 (bpf_rdonly_cast) no program sees who made a UDP socket while its user waits; the coverage statement tells.
  @Test(
    "[2] so must one that sends datagrams", .requires(.kernel(6, 2)),
    .only(on: .cgroup, because: TrafficClass.passedSocket.rawValue), arguments: hands)
  func passedDatagramSocket(maker: String, user: String, isAllowed: Bool) async throws {
    let (_, db, _) = try await webAndStore()
    _ = try await policed.workload("intruder", "app=intruder")
    let server = try db.run { try TestSocket.bound("127.0.0.1", 9001) }
    let datagrams = try passed(policed.thread(maker).run { try TestSocket.udp() })
    let refusal = try policed.thread(user).refusal { _ = try datagrams.send("x", to: "127.0.0.1", 9001) }
    if isAllowed {
      #expect(refusal == nil)
      #expect(try server.receive() == "x")
    } else {
      #expect(!server.isReadable)
    }
  }

  /// Who makes a socket, who uses it, and whether both may.
  private static let hands = [
    ("web", "web", true), ("web", "host", false), ("host", "web", false), ("intruder", "web", false),
    ("web", "intruder", false), ("intruder", "intruder", false),
  ]

  @Test("[6, 8] a new child cgroup is policed as its parent from its first packet, at any depth")
  func children() async throws {
    let (_, db, _) = try await webAndStore()
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9000) }
    let forbidden = try db.run { try TestSocket.listening("127.0.0.1", 9002) }
    for path in ["web/child", "web/child/of/a/child"] {
      let child = try policed.thread(path)
      try child.run { try TestSocket.tcp().connect("127.0.0.1", 9000) }
      _ = try listener.accept()
      #expect(try child.refusal { try TestSocket.tcp().connect("127.0.0.1", 9002) } == .refusedConnect)
    }
    #expect(!forbidden.isReadable)
    // A server in a child is its parent as well.
    let inner = try policed.threadedCgroup("db/inner")
    let own = try PolicedThread(in: inner, home: policed.home)
    defer { own.stop() }
    let server = try own.run { try TestSocket.bound("127.0.0.1", 9001) }
    _ = try policed.thread("web").run { try TestSocket.udp().send("x", to: "127.0.0.1", 9001) }
    #expect(try server.receive() == "x")
  }

  @Test("[6] a labelled child is itself, not its parent: the nearest labelled ancestor wins")
  func nearestWins() async throws {
    let (_, db, _) = try await webAndStore()
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9000) }
    let special = try await policed.workload("web/special", "app=special")
    #expect(try special.refusal { try TestSocket.tcp().connect("127.0.0.1", 9000) } == .refusedConnect)
    try await policed.unlabel(special.cgroup)
    try special.run { try TestSocket.tcp().connect("127.0.0.1", 9000) }
    _ = try listener.accept()
    try await policed.remove("web/special")
  }

  @Test("[5] a cgroup that is made again under the same path is not the one that was labelled")
  func recreated() async throws {
    let (_, db, _) = try await webAndStore()
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9000) }
    let first = try await policed.workload("again", "app=web")
    try first.run { try TestSocket.tcp().connect("127.0.0.1", 9000) }
    _ = try listener.accept()
    let kept = try first.run { try TestSocket.udp() }
    try policed.removeBehindTheEnforcersBack("again")
    let second = try policed.thread("again")
    #expect(second.cgroup.id != first.cgroup.id)
    #expect(try second.refusal { try TestSocket.tcp().connect("127.0.0.1", 9000) } == .refusedConnect)
    #expect(!listener.isReadable)
    // The dead cgroup's socket lives on, with the labels that its row still has.
    let server = try db.run { try TestSocket.bound("127.0.0.1", 9001) }
    _ = try policed.thread("web").run { try kept.send("from the dead", to: "127.0.0.1", 9001) }
    #expect(try server.receive() == "from the dead")
    try await policed.unlabel(first.cgroup)
  }

  @Test("a workload whose labels are taken away is the host again, also to its live UDP conversations")
  func unlabelled() async throws {
    let (_, db, _) = try await webAndStore()
    let server = try db.run { try TestSocket.bound("127.0.0.1", 9001) }
    let gone = try await policed.workload("gone", "app=web")
    let client = try gone.run {
      let client = try TestSocket.udp()
      try client.connect("127.0.0.1", 9001)
      try client.send("web")
      return client
    }
    #expect(try server.receive() == "web")
    let mark = try policed.mark()
    try await policed.unlabel(gone.cgroup)
    _ = try? gone.run { _ = try client.send("host") }
    #expect(policed.events.first(after: mark) { $0.kind == .refused && $0.workload == db.cgroup.id.rawValue } != nil)
    #expect(!server.isReadable)
    try await policed.remove("gone")
  }

  @Test("a change of labels is in force for the next connection, two generations later in the same slot")
  func relabelled() async throws {
    let (_, db, _) = try await webAndStore()
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9000) }
    let changing = try await policed.workload("changing", "app=web")
    try changing.run { try TestSocket.tcp().connect("127.0.0.1", 9000) }
    _ = try listener.accept()
    let before = await policed.enforcer.snapshot.generation
    let publication = try await policed.label(changing.cgroup, "app=retired")
    #expect(publication.generation % 2 == before % 2)
    #expect(publication.generation > before)
    #expect(try changing.refusal { try TestSocket.tcp().connect("127.0.0.1", 9000) } == .refusedConnect)
    try await policed.remove("changing")
  }

  @Test("[7, 43] somebody else's program above or below changes nothing about ours; theirs can only refuse more")
  func otherPrograms() async throws {
    let (web, db, _) = try await webAndStore()
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9000) }
    let refusing = try db.run { try TestSocket.listening("127.0.0.1", 9002) }
    for verdict in [Int32(1), 0] {
      let egress = try BPFProgram.load(
        .cgroupSKB, attach: .cgroupEgress, name: "stranger", instructions: [.move(0, verdict), .exit])
      let connect = try BPFProgram.load(
        .cgroupSocketAddress, attach: .cgroupConnect4, name: "stranger", instructions: [.move(0, 1), .exit])
      for cgroup in [web.cgroup, policed.sandbox.cgroup] {
        let sending = try BPFLink.attach(egress, cgroup: cgroup.descriptor, type: .cgroupEgress)
        let connecting = try BPFLink.attach(connect, cgroup: cgroup.descriptor, type: .cgroupConnect4)
        #expect(try web.refusal { try TestSocket.tcp().connect("127.0.0.1", 9002) } == .refusedConnect)
        #expect(!refusing.isReadable)
        if verdict == 1 {
          try web.run { try TestSocket.tcp().connect("127.0.0.1", 9000) }
          _ = try listener.accept()
        } else {
          #expect(try web.refusal { try TestSocket.udp().send("x", to: "127.0.0.1", 9001) } == .notPermitted)
        }
        try sending.detach()
        try connecting.detach()
      }
    }
    try web.run { try TestSocket.tcp().connect("127.0.0.1", 9000) }
    _ = try listener.accept()
  }
}
