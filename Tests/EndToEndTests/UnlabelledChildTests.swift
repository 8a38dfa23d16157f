// `children: reject-until-labelled`: what is below such a workload and has no labels of its own speaks to nobody.
internal import Coverage
internal import Enforcement
internal import Evidence
internal import Glibc
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Unlabelled children", .serialized, .requires(.policing), .policed)
struct UnlabelledChildTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  /// A workload that rejects unlabelled children, a child of it, and another workload; everybody may talk to everybody.
  private func family(
    observe: Bool = false
  ) async throws -> (parent: PolicedThread, child: PolicedThread, other: PolicedThread) {
    try await policed.apply(Policed.defaults(incoming: "allow", outgoing: "allow"))
    let parent = try await policed.workload("strict", "app=strict")
    try await policed.label(parent.cgroup, "app=strict", observe: observe, rejectingChildren: true)
    return (parent, try policed.thread("strict/child"), try await policed.workload("other", "app=other"))
  }

  @Test("[8] an unlabelled child reaches nobody, by TCP or UDP, and everybody's policy would let it")
  func outgoing() async throws {
    let (parent, child, other) = try await family()
    let mark = try policed.mark()
    for server in [other, parent, try policed.thread("host")] {
      let listener = try server.run { try TestSocket.listening("127.0.0.1", 9000) }
      let datagrams = try server.run { try TestSocket.bound("127.0.0.1", 9001) }
      #expect(try child.refusal { try TestSocket.tcp().connect("127.0.0.1", 9000) } == .refusedConnect)
      #expect(try child.refusal { try TestSocket.udp().send("x", to: "127.0.0.1", 9001) } == .notPermitted)
      let connected = try child.run {
        let socket = try TestSocket.udp()
        try socket.connect("127.0.0.1", 9001)
        return socket
      }
      #expect(try child.refusal { try connected.send("x") } == .notPermitted)
      #expect(!listener.isReadable && !datagrams.isReadable)
      // Its parent is not affected.
      try parent.run { try TestSocket.tcp().connect("127.0.0.1", 9000) }
      _ = try listener.accept()
    }
    // Also a port that nobody serves: what listens there later must not be reached by a SYN that is under way.
    #expect(try child.refusal { try TestSocket.tcp().connect("127.0.0.1", 9009) } == .refusedConnect)
    let told = try policed.told(after: mark).filter { $0.kind == .refused }
    #expect(!told.isEmpty)
    #expect(told.allSatisfy { $0.decidedBy == .unlabelled && $0.workload == parent.cgroup.id.rawValue })
    #expect(told.allSatisfy { $0.subject == .unknown })
  }

  @Test("[8] an unlabelled child is reached by nobody, also not by its parent or itself")
  func incoming() async throws {
    let (parent, child, other) = try await family()
    let mark = try policed.mark()
    let listener = try child.run { try TestSocket.listening("127.0.0.1", 9000) }
    let datagrams = try child.run { try TestSocket.bound("127.0.0.1", 9001) }
    for client in [other, parent, child, try policed.thread("host")] {
      #expect(try client.refusal { try TestSocket.tcp().connect("127.0.0.1", 9000) } == .refusedConnect)
      _ = try? client.run { try TestSocket.udp().send("x", to: "127.0.0.1", 9001) }
      #expect(!listener.isReadable && !datagrams.isReadable)
    }
    let told = try policed.told(after: mark).filter { $0.kind == .refused }
    #expect(told.contains { $0.decidedBy == .unlabelled && $0.direction == .incoming })
  }

  @Test("[8] across namespaces too; neighbour discovery passes, so IPv6 works as soon as the child has labels")
  func acrossNamespaces() async throws {
    let (_, child, _) = try await family()
    let db = try await policed.workload("db", "app=db", at: ["10.77.0.2", "fd77::2"])
    let pair = try policed.pair()
    let listener = try db.run(in: pair.right) { try TestSocket.listening("fd77::2", 9000) }
    let left = pair.left
    #expect(try child.refusal(in: left) { try TestSocket.tcp(.ipv6).connect("fd77::2", 9000) } == .refusedConnect)
    let own = try child.run(in: left) { try TestSocket.bound("10.77.0.1", 9003) }
    try db.run(in: pair.right) { _ = try TestSocket.udp().send("x", to: "10.77.0.1", 9003) }
    // A ping is answered by the namespace's kernel, so by the time it is back the datagram has been judged.
    try policed.sandbox.command(["ping", "-c", "1", "-W", "5", "10.77.0.2"], namespace: left)
    #expect(!own.isReadable)
    try await policed.label(child.cgroup, "app=child")
    try child.run(in: left) { try TestSocket.tcp(.ipv6).connect("fd77::2", 9000) }
    _ = try listener.accept()
    try db.run(in: pair.right) { _ = try TestSocket.udp().send("y", to: "10.77.0.1", 9003) }
    #expect(try own.receive() == "y")
    try await policed.unlabel(child.cgroup)
  }

  @Test("[4, 8] labels end the refusal at once, and a rule that is tightened cuts what its children had open")
  func changes() async throws {
    let (parent, child, other) = try await family()
    try await policed.label(parent.cgroup, "app=strict", rejectingChildren: false)
    let listener = try other.run { try TestSocket.listening("127.0.0.1", 9000) }
    let open = try child.run {
      let socket = try TestSocket.tcp()
      try socket.connect("127.0.0.1", 9000)
      return socket
    }
    _ = try listener.accept()
    let datagrams = try other.run { try TestSocket.bound("127.0.0.1", 9001) }
    let talking = try child.run {
      let socket = try TestSocket.udp()
      try socket.connect("127.0.0.1", 9001)
      try socket.send("before")
      return socket
    }
    #expect(try datagrams.receive() == "before")
    _ = try policed.mark()
    try await policed.label(parent.cgroup, "app=strict", rejectingChildren: true)
    #expect(try child.refusal { try talking.send("after") } == .notPermitted)
    let revocation = try await policed.revoke()
    #expect(revocation.revoked.contains { $0.verdict.decidedBy == .unlabelled && $0.socket.local.port != 9000 })
    #expect(throws: Errno.self) {
      try open.send("x")
      _ = try open.receive()
      try open.throwPendingError()
    }
    #expect(!datagrams.isReadable)
    try await policed.label(child.cgroup, "app=child")
    try child.run { try TestSocket.tcp().connect("127.0.0.1", 9000) }
    _ = try listener.accept()
    try await policed.unlabel(child.cgroup)
  }

  @Test("an observed workload's unlabelled children are let through, and the record says what would have been refused")
  func observed() async throws {
    let (parent, child, other) = try await family(observe: true)
    let mark = try policed.mark()
    let listener = try other.run { try TestSocket.listening("127.0.0.1", 9000) }
    try child.run { try TestSocket.tcp().connect("127.0.0.1", 9000) }
    _ = try listener.accept()
    let own = try child.run { try TestSocket.listening("127.0.0.1", 9002) }
    for client in [parent, other] {
      try client.run { try TestSocket.tcp().connect("127.0.0.1", 9002) }
      _ = try own.accept()
    }
    let attempt = try policed.told(after: mark).first { $0.kind == .attempt && $0.remotePort == 9000 }
    #expect(attempt?.decidedBy == .unlabelled && attempt?.action == .allow && attempt?.observedAction == .reject)
    #expect(try policed.told(after: mark).allSatisfy { $0.kind != .refused })
  }

  @Test("grandchildren and the labelled in between: the nearest labelled ancestor says whether it rejects")
  func nesting() async throws {
    let (_, child, other) = try await family()
    let listener = try other.run { try TestSocket.listening("127.0.0.1", 9000) }
    let grandchild = try policed.thread("strict/child/inner")
    #expect(try grandchild.refusal { try TestSocket.tcp().connect("127.0.0.1", 9000) } == .refusedConnect)
    try await policed.label(child.cgroup, "app=child")
    try grandchild.run { try TestSocket.tcp().connect("127.0.0.1", 9000) }
    _ = try listener.accept()
    try await policed.unlabel(child.cgroup)
    #expect(try grandchild.refusal { try TestSocket.tcp().connect("127.0.0.1", 9000) } == .refusedConnect)
  }

  @Test("counters have a place of their own for it, under the workload above")
  func counted() async throws {
    let (parent, child, _) = try await family()
    let before = try policed.counters().workloads[parent.cgroup.id]?[.outgoing, .unlabelled, refused: true] ?? 0
    _ = try child.refusal { try TestSocket.tcp().connect("127.0.0.1", 9000) }
    let after = try policed.counters()
    #expect(after.workloads[parent.cgroup.id]?[.outgoing, .unlabelled, refused: true] == before + 1)
    let rows = Counters(after, snapshot: await policed.enforcer.snapshot).rows
    #expect(rows.contains { $0.workload == parent.cgroup.path.string && $0.reason == "unlabelled" })
  }

  @Test(
    "a passed socket: neither a child's socket in its parent's hands nor the other way round gets through",
    .only(on: .cgroup, because: TrafficClass.passedConnection.rawValue))
  func passed() async throws {
    let (parent, child, other) = try await family()
    let listener = try other.run { try TestSocket.listening("127.0.0.1", 9000) }
    let (childs, parents) = (try child.run { try TestSocket.tcp() }, try parent.run { try TestSocket.tcp() })
    #expect(try parent.refusal { try childs.connect("127.0.0.1", 9000) } == .refusedConnect)
    #expect(try child.refusal { try parents.connect("127.0.0.1", 9000) } == .refusedConnect)
    #expect(!listener.isReadable)
  }
}
