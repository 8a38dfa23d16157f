// TCP while it opens: cookies, data in the SYN, and a policy that changes between SYN and ACK.
internal import BPF
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Handshakes", .serialized, .requires(.policing), .policed)
struct HandshakeTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private static let allow = Policed.allowing("app=web", to: "app=db", "tcp/9000")
  private static let refuse = Policed.allowing("app=web", to: "app=db", "udp/1")

  private func webAndStore() async throws -> (web: PolicedThread, db: PolicedThread, pair: Policed.NamespacePair) {
    (
      try await policed.workload("web", "app=web"),
      try await policed.workload("db", "app=db", at: ["10.77.0.2", "fd77::2"]), try policed.pair()
    )
  }

  @Test("[16] with SYN cookies an allowed caller gets in, is known, and a refused one does not get in")
  func cookies() async throws {
    try await policed.apply(Self.allow + Policed.outgoing("app=intruder", to: "any", "any"))
    let (web, db, pair) = try await webAndStore()
    let intruder = try await policed.workload("intruder", "app=intruder")
    try pair.right.set(sysctl: "ipv4/tcp_syncookies", "2")
    defer { try? pair.right.set(sysctl: "ipv4/tcp_syncookies", "1") }
    for address in ["10.77.0.2", "fd77::2"] {
      let listener = try db.run(in: pair.right) { try TestSocket.listening(address, 9000) }
      let mark = try policed.mark()
      let client = try web.run(in: pair.left) {
        let client = try TestSocket.tcp(Family(of: address))
        try client.connect(address, 9000)
        try client.send("x")
        return client
      }
      let server = try listener.accept()
      #expect(try server.receive() == "x")
      let open = policed.events.first(after: mark) { $0.kind == .open && $0.direction == .incoming }
      #expect(open?.peerWorkload == web.cgroup.id.rawValue)
      let waiting = try intruder.run(in: pair.left) {
        let waiting = try TestSocket.tcp(Family(of: address))
        try waiting.startConnect(address, 9000)
        return waiting
      }
      let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.direction == .incoming }
      #expect(refused?.peerWorkload == intruder.cgroup.id.rawValue)
      #expect(!listener.isReadable)
      _ = (client, waiting)
    }
  }

  @Test("[27] a handshake that was half open when policy changed is judged again before accept()")
  func halfOpen() async throws {
    try await policed.apply(Self.allow)
    let (web, db, pair) = try await webAndStore()
    let listener = try db.run(in: pair.right) { try TestSocket.listening("10.77.0.2", 9000) }
    // Somebody else's program holds back all that comes in to web: the SYN-ACK, and so the last ACK.
    let program = try BPFProgram.load(
      .cgroupSKB, attach: .cgroupIngress, name: "hold", instructions: [.move(0, 0), .exit])
    let hold = try BPFLink.attach(program, cgroup: web.cgroup.descriptor, type: .cgroupIngress)
    let client = try web.run(in: pair.left) {
      let client = try TestSocket.tcp()
      try client.startConnect("10.77.0.2", 9000)
      return client
    }
    let mark = try policed.mark()
    try await policed.apply(Self.refuse)
    try hold.detach()
    // A rule answers the SYN that is sent again with a reset, before the last ACK can come.
    let isFirst = DatapathKind.underTest == .cgroup
    let refused = policed.events.first(after: mark) {
      $0.kind == .refused && $0.direction == (isFirst ? .incoming : .outgoing)
    }
    let ends = [refused?.workload, refused?.peerWorkload]
    let wanted = [db, web].map(\.cgroup.id.rawValue)
    #expect(ends.contains(wanted[0]) || !isFirst)
    #expect(ends.contains(wanted[1]))
    #expect(!listener.isReadable)
    _ = client
  }

  @Test("[23] MSG_FASTOPEN is judged like connect()", arguments: ["127.0.0.1", "10.77.0.2"])
  func fastOpenMessage(address: String) async throws {
    try await policed.apply(Self.allow)
    let (web, db, pair) = try await webAndStore()
    let isLoopback = address.hasPrefix("127")
    let listener = try db.run(in: isLoopback ? nil : pair.right) { try TestSocket.listening(address, 9000) }
    let client = try web.run(in: isLoopback ? nil : pair.left) {
      let client = try TestSocket.tcp()
      do { try client.send("x", to: address, 9000, flags: KernelNumbers.fastOpen) } catch Errno.nowInProgress {}
      try client.finishConnect()
      return client
    }
    _ = try listener.accept()
    // Somebody listens: to a port that nobody has the kernel's own refusal comes.
    let forbidden = try db.run(in: isLoopback ? nil : pair.right) { try TestSocket.listening(address, 9001) }
    let refusal = try web.refusal(in: isLoopback ? nil : pair.left) {
      let client = try TestSocket.tcp()
      do { try client.send("x", to: address, 9001, flags: KernelNumbers.fastOpen) } catch Errno.nowInProgress {}
      try client.finishConnect()
    }
    #expect(refusal == .refusedConnect)
    #expect(!forbidden.isReadable)
    _ = client
  }

  @Test("[23] TCP_FASTOPEN_CONNECT sends its SYN later, and that SYN is judged by the policy of then")
  func fastOpenConnect() async throws {
    try await policed.apply(Self.allow)
    let (web, db, pair) = try await webAndStore()
    let listener = try db.run(in: pair.right) {
      let listener = try TestSocket.listening("10.77.0.2", 9000)
      try listener.setOption(6, 23, 16)
      return listener
    }
    let connected: @Sendable () throws -> TestSocket = {
      let client = try TestSocket.tcp()
      try client.setOption(6, 30, 1)
      // No cookie needed, so the connect() is deferred at once.
      try client.setOption(6, 34, 1)
      try client.connect("10.77.0.2", 9000)
      return client
    }
    let (first, second) = try web.run(in: pair.left) { (try connected(), try connected()) }
    #expect(!listener.isReadable)
    try web.run(in: pair.left) { _ = try first.send("early") }
    let server = try listener.accept()
    #expect(try server.receive() == "early")
    let mark = try policed.mark()
    try await policed.apply(Self.refuse)
    _ = try? web.run(in: pair.left) { _ = try second.send("late") }
    let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.workload == web.cgroup.id.rawValue }
    #expect(refused?.direction == .outgoing)
    #expect(!listener.isReadable)
  }

  @Test("MPTCP is judged like TCP, where the kernel has it", .requires(.multipathTCP))
  func multipath() async throws {
    try await policed.apply(Self.allow)
    let (web, db, pair) = try await webAndStore()
    let listener = try db.run(in: pair.right) { try TestSocket.listening("10.77.0.2", 9000) }
    try web.run(in: pair.left) {
      try TestSocket(family: .ipv4, type: 1, protocol: KernelNumbers.multipathTCP).connect("10.77.0.2", 9000)
    }
    _ = try listener.accept()
    let refusal = try web.refusal(in: pair.left) {
      try TestSocket(family: .ipv4, type: 1, protocol: KernelNumbers.multipathTCP).connect("10.77.0.2", 9001)
    }
    #expect(refusal == .refusedConnect)
  }
}
