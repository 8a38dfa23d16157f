// Sockets that were opened before their holder came to be what it is: kept and listed, cut, or made to speak for it.
internal import Enforcement
internal import Glibc
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Stale sockets", .serialized, .requires(.policing), .policed)
struct StaleSocketTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  /// Two workloads and a server; `early` may reach port 9000 and 9001, `late` 9001 and 9002, of TCP and UDP.
  private func workloads() async throws -> (early: PolicedThread, late: PolicedThread, server: PolicedThread) {
    try await policed.apply(
      Policed.outgoing("app=early", to: "app=server", "tcp/9000-9001, udp/9000-9001")
        + Policed.outgoing("app=late", to: "app=server", "tcp/9001-9002, udp/9001-9002")
        + Policed.incoming("app=server", from: "any", "tcp/9000-9002, udp/9000-9002")
        + Policed.incoming("app=early", from: "app=server", "tcp/9010")
        + Policed.outgoing("app=server", to: "any", "tcp/9010"))
    return (
      try await policed.workload("early", "app=early"), try await policed.workload("late", "app=late"),
      try await policed.workload("server", "app=server")
    )
  }

  /// Runs `body` with a process in a cgroup that holds some sockets; it inherited them over fork and exec.
  private func holding<T>(
    _ sockets: [TestSocket], in cgroup: CgroupDirectory, _ body: (borrowing ProcessHandle) async throws -> T
  ) async throws -> T {
    let process = try policed.sandbox.start(
      ["sleep", "600"], cgroup: cgroup, namespace: policed.home, input: sockets.first?.raw,
      output: sockets.count > 1 ? sockets[1].raw : nil)
    let result: Result<T, any Error>
    do { result = .success(try await body(process.handle)) } catch { result = .failure(error) }
    try? process.handle.send(signal: SIGKILL)
    _ = try? process.wait()
    return try result.get()
  }

  private func staleSockets() async throws -> StaleSockets {
    let known = try await policed.subjects()
    return StaleSockets(retags: try policed.datapath.retags()) { known[$0] }
  }

  /// A connection and a UDP conversation of `client` to the server's ports.
  private func open(
    _ client: PolicedThread, _ server: PolicedThread, _ port: UInt16
  ) throws -> (stream: TestSocket, datagrams: TestSocket, accepted: TestSocket, receiver: TestSocket) {
    let listener = try server.run { try TestSocket.listening("127.0.0.1", port) }
    let receiver = try server.run { try TestSocket.bound("127.0.0.1", port) }
    let (stream, datagrams) = try client.run {
      let (stream, datagrams) = (try TestSocket.tcp(), try TestSocket.udp())
      try stream.connect("127.0.0.1", port)
      try datagrams.connect("127.0.0.1", port)
      try datagrams.send("early")
      return (stream, datagrams)
    }
    #expect(try receiver.receive() == "early")
    return (stream, datagrams, try listener.accept(), receiver)
  }

  private func subject(_ thread: PolicedThread) async throws -> PolicedSubject {
    try #require(try await policed.subjects()[thread.cgroup.id])
  }

  @Test("[1, 2] a process's sockets of another workload are listed, also when it was born with them")
  func listed() async throws {
    let (early, late, server) = try await workloads()
    let (stream, datagrams, _, _) = try open(early, server, 9000)
    let (now, was) = (try await subject(late), try await subject(early))
    try await holding([stream, datagrams], in: late.cgroup) { process in
      let found = try await staleSockets().list(of: process, being: now)
      #expect(found.map(\.descriptor) == [0, 1])
      #expect(found.allSatisfy { $0.speaksFor == was && $0.socket?.cgroup == early.cgroup.id })
      #expect(found.map { $0.socket?.protocol } == [6, 17] && found.allSatisfy { $0.socket?.remote.port == 9000 })
      // Of one that stays where its sockets are, none is stale.
      #expect(try await staleSockets().list(of: process, being: was).isEmpty)
    }
    // Kept: they go on as what they were.
    try datagrams.send("still early")
  }

  @Test("[1] a process that is moved: its sockets become stale with the move")
  func moved() async throws {
    let (early, late, server) = try await workloads()
    let (stream, datagrams, _, _) = try open(early, server, 9000)
    let (now, was) = (try await subject(late), try await subject(early))
    try await holding([stream, datagrams], in: early.cgroup) { process in
      #expect(try await staleSockets().list(of: process, being: was).isEmpty)
      try process.move(to: late.cgroup)
      #expect(try await staleSockets().list(of: process, being: now).count == 2)
    }
  }

  @Test("[1] cut: connections end for both sides, and nothing else of the workload does")
  func cut() async throws {
    let (early, late, server) = try await workloads()
    let (stream, datagrams, accepted, _) = try open(early, server, 9000)
    let (other, _, _, _) = try open(early, server, 9001)
    let now = try await subject(late)
    try await holding([stream, datagrams], in: late.cgroup) { process in
      let stale = try await staleSockets()
      let result = stale.cut(try stale.list(of: process, being: now))
      #expect(result.destroyed == 2 && result.failures.isEmpty)
      // What is left of a socket that was cut is listed nowhere.
      #expect(try stale.list(of: process, being: now).allSatisfy { $0.socket == nil })
    }
    #expect(throws: Errno.self) { try stream.throwPendingError() }
    #expect(throws: Errno.self) {
      _ = try accepted.receive()
      try accepted.throwPendingError()
    }
    try other.send("alive")
  }

  @Test("[1] retag: a socket speaks for its new workload from the next packet, and what that may not have is cut")
  func retagged() async throws {
    let (early, late, server) = try await workloads()
    let lost = try open(early, server, 9000)
    let kept = try open(early, server, 9001)
    let fresh = try early.run { try TestSocket.udp() }
    let receiver = try server.run { try TestSocket.bound("127.0.0.1", 9002) }
    #expect(try early.refusal { try fresh.send("x", to: "127.0.0.1", 9002) } == .notPermitted)
    let now = try await subject(late)
    for sockets in [[lost.stream, lost.datagrams], [kept.stream, kept.datagrams], [fresh]] {
      try await holding(sockets, in: late.cgroup) { process in
        let stale = try await staleSockets()
        let result = try await stale.retag(
          try stale.list(of: process, being: now), of: process, being: now, by: policed.enforcer)
        #expect(result.retagged == sockets.count && result.failures.isEmpty)
        let left = try stale.list(of: process, being: now)
        #expect(left.isEmpty, "\(left)")
      }
    }
    // Datagrams at once, by the kernel itself, and records name the new workload.
    let mark = try policed.mark()
    #expect(try late.refusal { try lost.datagrams.send("x") } == .notPermitted)
    try kept.datagrams.send("late")
    #expect(try kept.receiver.receive() == "late")
    try late.run { _ = try fresh.send("late", to: "127.0.0.1", 9002) }
    #expect(try receiver.receive() == "late")
    let told = try policed.told(after: mark)
    #expect(told.contains { $0.kind == .refused && $0.workload == late.cgroup.id.rawValue && $0.remotePort == 9000 })
    #expect(told.contains { $0.kind == .open && $0.peerWorkload == late.cgroup.id.rawValue && $0.localPort == 9002 })
    // Connections by a pass.
    let revocation = try await policed.revoke()
    #expect(revocation.revoked.contains { $0.subject.workload == late.cgroup.id && $0.socket.remote.port == 9000 })
    #expect(throws: Errno.self) { try lost.stream.throwPendingError() }
    try kept.stream.send("alive")
    #expect(try kept.accepted.receive() == "alive")
  }

  @Test("[1] a server's policy sees the new workload of a retagged peer, in conversations that it had with the old one")
  func peers() async throws {
    let (early, late, server) = try await workloads()
    try await policed.apply(
      Policed.outgoing("tier=any", to: "app=server", "any") + Policed.defaults(outgoing: "allow")
        + Policed.incoming("app=server", from: "app=early", "tcp/9000, udp/9000"))
    let (stream, datagrams, accepted, receiver) = try open(early, server, 9000)
    let now = try await subject(late)
    _ = try policed.mark()
    try await holding([stream, datagrams], in: late.cgroup) { process in
      let stale = try await staleSockets()
      let found = try stale.list(of: process, being: now)
      let result = try await stale.retag(found, of: process, being: now, by: policed.enforcer)
      #expect(result.retagged == 2, "\(result), \(found)")
    }
    let mark = try policed.mark()
    try late.run { _ = try datagrams.send("x") }
    let refused = policed.events.first(after: mark) {
      $0.kind == .refused && $0.direction == .incoming && $0.peerWorkload == late.cgroup.id.rawValue
    }
    #expect(refused?.workload == server.cgroup.id.rawValue)
    #expect(!receiver.isReadable)
    let revocation = try await policed.revoke()
    #expect(revocation.revoked.contains { $0.direction == .incoming && $0.peerWorkload == late.cgroup.id })
    #expect(throws: Errno.self) {
      _ = try accepted.receive()
      try accepted.throwPendingError()
    }
  }

  @Test("[1, 3] a retagged listener: what it accepts later speaks for the new workload, what waits in it is cut")
  func listener() async throws {
    let (early, late, server) = try await workloads()
    let listener = try early.run { try TestSocket.listening("127.0.0.1", 9010) }
    let client = try server.run {
      let client = try TestSocket.tcp()
      try client.connect("127.0.0.1", 9010)
      return client
    }
    let now = try await subject(late)
    try await holding([listener], in: late.cgroup) { process in
      let stale = try await staleSockets()
      let found = try stale.list(of: process, being: now)
      #expect(found.map(\.descriptor) == [0, nil])
      let result = try await stale.retag(found, of: process, being: now, by: policed.enforcer)
      #expect(result.retagged == 1 && result.cut == 1)
    }
    #expect(throws: Errno.self) { try client.throwPendingError() }
    // Late has no incoming rule for that port yet.
    #expect(try server.refusal { try TestSocket.tcp().connect("127.0.0.1", 9010) } == .refusedConnect)
    try await policed.apply(
      Policed.outgoing("app=server", to: "any", "tcp/9010")
        + Policed.incoming("app=late", from: "app=server", "tcp/9010"))
    let next = try server.run {
      let next = try TestSocket.tcp()
      try next.connect("127.0.0.1", 9010)
      return next
    }
    let accepted = try listener.accept()
    try await policed.apply(Policed.outgoing("app=server", to: "any", "tcp/9010"))
    _ = try policed.mark()
    let revocation = try await policed.revoke()
    #expect(revocation.revoked.contains { $0.subject.workload == late.cgroup.id && $0.direction == .incoming })
    #expect(throws: Errno.self) { try accepted.throwPendingError() }
    _ = next
  }

  @Test("[5] when the workload of a retagged socket is gone, the socket is its maker's again")
  func fallsBack() async throws {
    let (early, _, server) = try await workloads()
    let gone = try await policed.workload("gone", "app=late")
    let socket = try early.run { try TestSocket.bound("127.0.0.1", 0) }
    let receiver = try server.run { try TestSocket.bound("127.0.0.1", 9000) }
    let now = try await subject(gone)
    try await holding([socket], in: gone.cgroup) { process in
      let stale = try await staleSockets()
      let found = try stale.list(of: process, being: now)
      #expect(try await stale.retag(found, of: process, being: now, by: policed.enforcer).retagged == 1)
    }
    #expect(try gone.refusal { _ = try socket.send("x", to: "127.0.0.1", 9000) } == .notPermitted)
    try await policed.remove("gone")
    try early.run { _ = try socket.send("early again", to: "127.0.0.1", 9000) }
    #expect(try receiver.receive() == "early again")
  }

  @Test("[11] a socket of another namespace than its holder's is found where it works")
  func otherNamespace() async throws {
    let (early, late, _) = try await workloads()
    let pair = try policed.pair()
    let far = try early.run(in: pair.left) { try TestSocket.bound("10.77.0.1", 9500) }
    let near = try early.run { try TestSocket.bound("127.0.0.1", 9501) }
    let now = try await subject(late)
    try await holding([far, near], in: late.cgroup) { process in
      let stale = try await staleSockets()
      let found = try stale.list(of: process, being: now)
      #expect(Set(found.map { $0.socket?.local.port }) == [9500, 9501])
      #expect(stale.cut(found).destroyed == 2)
    }
  }

  @Test("raw sockets and unbound ones are listed as nobody's, cannot be cut, and can be retagged")
  func unlisted() async throws {
    let (early, late, server) = try await workloads()
    let (raw, unbound) = (try early.run { try TestSocket.rawIP(protocol: 1) }, try early.run { try TestSocket.tcp() })
    let listener = try server.run { try TestSocket.listening("127.0.0.1", 9002) }
    let now = try await subject(late)
    // Its maker may not, so its user cannot.
    #expect(try late.refusal { try unbound.connect("127.0.0.1", 9002) } == .refusedConnect)
    try await holding([raw, unbound], in: late.cgroup) { process in
      let stale = try await staleSockets()
      let found = try stale.list(of: process, being: now)
      #expect(found.count == 2 && found.allSatisfy { $0.socket == nil && $0.speaksFor == nil })
      #expect(stale.cut(found).failures.count == 2)
      #expect(try await stale.retag(found, of: process, being: now, by: policed.enforcer).retagged == 2)
      #expect(try stale.list(of: process, being: now).isEmpty)
    }
    try late.run { try unbound.connect("127.0.0.1", 9002) }
    _ = try listener.accept()
  }
}
