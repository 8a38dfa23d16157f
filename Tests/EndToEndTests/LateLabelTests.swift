// Labels that come after the sockets: who talks already is somebody else from then on, to both ends.
internal import Enforcement
internal import Glibc
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Late labels", .serialized, .requires(.policing), .policed)
struct LateLabelTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  /// `child` below `parent`; the server lets in app=parent alone, and nobody's own side refuses anything.
  private func family() async throws -> (child: PolicedThread, server: PolicedThread) {
    try await policed.apply(
      Policed.defaults(outgoing: "allow") + Policed.incoming("app=server", from: "app=parent", "tcp/9000, udp/9001"))
    _ = try await policed.workload("parent", "app=parent")
    return (
      try policed.thread("parent/child"),
      try await policed.workload("server", "app=server", at: ["10.77.0.2", "fd77::2"])
    )
  }

  /// Talks, labels the child, and looks at what is left of it.
  private func lateLabels(
    _ address: String, from near: NetworkNamespace, to far: NetworkNamespace
  ) async throws {
    let (child, server) = try await family()
    let listener = try server.run(in: far) { try TestSocket.listening(address, 9000) }
    let receiver = try server.run(in: far) { try TestSocket.bound(address, 9001) }
    let (stream, datagrams) = try child.run(in: near) {
      let (stream, datagrams) = (try TestSocket.tcp(Family(of: address)), try TestSocket.udp(Family(of: address)))
      try stream.connect(address, 9000)
      try datagrams.connect(address, 9001)
      try datagrams.send("inherited")
      return (stream, datagrams)
    }
    let accepted = try listener.accept()
    #expect(try receiver.receive() == "inherited")
    try stream.send("inherited")
    #expect(try accepted.receive() == "inherited")
    let mark = try policed.mark()
    try await policed.label(child.cgroup, "app=child")
    // Datagrams: by the server's own hook, which finds out who sends them now.
    _ = try? child.run { _ = try datagrams.send("late") }
    let refused = policed.events.first(after: mark) {
      $0.kind == .refused && $0.peerWorkload == child.cgroup.id.rawValue && $0.localPort == 9001
    }
    #expect(refused?.workload == server.cgroup.id.rawValue)
    #expect(!receiver.isReadable)
    // Streams: by the pass that follows every change.
    let revocation = try await policed.revoke()
    #expect(revocation.revoked.contains { $0.direction == .incoming && $0.peerWorkload == child.cgroup.id })
    #expect(throws: Errno.self) {
      _ = try accepted.receive()
      try accepted.throwPendingError()
    }
    try await policed.unlabel(child.cgroup)
    // Its parent again: what it begins now gets through.
    try child.run(in: near) { try TestSocket.tcp(Family(of: address)).connect(address, 9000) }
    _ = try listener.accept()
  }

  @Test("[4, 8] in one namespace: a child that gets labels of its own loses what only its parent may have")
  func here() async throws { try await lateLabels("127.0.0.1", from: policed.home, to: policed.home) }

  @Test("[4, 8] across namespaces likewise", arguments: ["10.77.0.2", "fd77::2"])
  func there(address: String) async throws {
    let pair = try policed.pair()
    try await lateLabels(address, from: pair.left, to: pair.right)
  }

  @Test("[4] a conversation across namespaces goes on when its sender's new labels are allowed as well")
  func allowed() async throws {
    let (child, server) = try await family()
    let pair = try policed.pair()
    let receiver = try server.run(in: pair.right) { try TestSocket.bound("10.77.0.2", 9001) }
    let client = try child.run(in: pair.left) {
      let client = try TestSocket.udp()
      try client.connect("10.77.0.2", 9001)
      try client.send("one")
      return client
    }
    #expect(try receiver.receive() == "one")
    try await policed.apply(
      Policed.defaults(outgoing: "allow") + Policed.incoming("app=server", from: "app in (parent,child)", "udp/9001"))
    try await policed.label(child.cgroup, "app=child")
    for text in ["two", "three"] {
      try child.run { _ = try client.send(text) }
      let (received, sender) = try receiver.receiveFrom()
      #expect(received == text)
      try server.run { _ = try receiver.reply("answer", to: sender) }
      #expect(try client.receive() == "answer")
    }
    try await policed.unlabel(child.cgroup)
  }
}
