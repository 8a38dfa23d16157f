// Addresses and ports that change hands: what one workload was allowed is nobody else's.
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Ports that change hands", .serialized, .requires(.policing), .policed)
struct TakeoverTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private struct Cast {
    let web: PolicedThread
    let db: PolicedThread
    let intruder: PolicedThread
    let left: NetworkNamespace
    let right: NetworkNamespace
    let address: String
    let source: String
  }

  /// web may reach db; the intruder may send to anybody and hear from anybody, but db does not listen to it.
  private func cast(across: Bool) async throws -> Cast {
    try await policed.apply(
      Policed.allowing("app=web", to: "app=db", "udp/9001") + Policed.outgoing("app=intruder", to: "any", "any")
        + Policed.incoming("app=intruder", from: "any", "any"))
    let pair = try policed.pair()
    return Cast(
      web: try await policed.workload("web", "app=web"),
      db: try await policed.workload("db", "app=db", at: ["10.77.0.2"]),
      intruder: try await policed.workload("intruder", "app=intruder"),
      left: across ? pair.left : policed.home, right: across ? pair.right : policed.home,
      address: across ? "10.77.0.2" : "127.0.0.1", source: across ? "10.77.0.1" : "127.0.0.1")
  }

  @Test("[41] a sender's port that another workload takes over does not inherit its conversation")
  func senderTakenOver() async throws {
    let cast = try await cast(across: false)
    let server = try cast.db.run { try TestSocket.bound("127.0.0.1", 9001) }
    let say: @Sendable (String) throws -> Void = { text in
      let socket = try TestSocket.bound("127.0.0.1", 4100)
      try socket.send(text, to: "127.0.0.1", 9001)
    }
    try cast.web.run { try say("web") }
    #expect(try server.receive() == "web")
    let mark = try policed.mark()
    #expect(try cast.intruder.refusal { try say("intruder") } == .notPermitted)
    #expect(!server.isReadable)
    let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.localPort == 9001 }
    #expect(refused?.workload == cast.db.cgroup.id.rawValue)
    #expect(refused?.flags.contains(.peerSide) == true)
  }

  @Test("[41] what was meant for a receiver does not reach the workload that took over its port")
  func receiverTakenOver() async throws {
    let cast = try await cast(across: false)
    let client = try cast.web.run { try TestSocket.udp() }
    try cast.web.run { [db = cast.db] in
      let server = try db.run { try TestSocket.bound("127.0.0.1", 9001) }
      try client.send("to db", to: "127.0.0.1", 9001)
      _ = try server.receive()
    }
    let server = try cast.intruder.run { try TestSocket.bound("127.0.0.1", 9001) }
    let mark = try policed.mark()
    // The sender's end holds the conversation still; the new receiver's asks the sender's policy.
    _ = try cast.web.refusal { try client.send("to db?", to: "127.0.0.1", 9001) }
    let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.remotePort == 9001 }
    #expect(refused?.workload == cast.web.cgroup.id.rawValue)
    #expect(!server.isReadable)
  }

  @Test("[27] a port whose last connection is still in TIME_WAIT can be used again", arguments: Family.allCases)
  func timeWait(family: Family) async throws {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000"))
    let web = try await policed.workload("web", "app=web")
    let db = try await policed.workload("db", "app=db")
    let listener = try db.run { try TestSocket.listening(family.loopback, 9000) }
    for _ in 0..<3 {
      let client = try web.run {
        let client = try TestSocket.tcp(family)
        try client.bind(family.loopback, 5200)
        try client.connect(family.loopback, 9000, within: 4000)
        return client
      }
      // The server closes first: TIME_WAIT is its.
      _ = try listener.accept()
      #expect(try client.receive() == "")
    }
  }

  @Test("[24] an address that workloads of two identities claim is nobody's")
  func addressOfTwo() async throws {
    let cast = try await cast(across: true)
    #expect(try cast.web.refusal(in: cast.left) { try TestSocket.udp().send("x", to: "10.77.0.2", 9001) } == nil)
    _ = try await policed.workload("intruder", "app=intruder", at: ["10.77.0.2"])
    #expect(
      try cast.web.refusal(in: cast.left) { try TestSocket.udp().send("x", to: "10.77.0.2", 9001) } == .notPermitted)
    _ = try await policed.workload("intruder", "app=intruder")
    #expect(try cast.web.refusal(in: cast.left) { try TestSocket.udp().send("x", to: "10.77.0.2", 9001) } == nil)
  }

  @Test("[4] sockets that were there before the labels get them at once, and live connections are judged again")
  func olderThanTheLabels() async throws {
    try await policed.apply(Policed.allowing("app=web", to: "app=late", "tcp/9100"))
    let web = try await policed.workload("web", "app=web")
    let late = try policed.thread("late")
    let host = try policed.thread("host")
    let listener = try late.run { try TestSocket.listening("127.0.0.1", 9100) }
    let client = try host.run {
      let client = try TestSocket.tcp()
      try client.connect("127.0.0.1", 9100)
      return client
    }
    let server = try listener.accept()
    _ = try policed.mark()
    try await policed.label(late.cgroup, "app=late")
    #expect(try host.refusal { try TestSocket.tcp().connect("127.0.0.1", 9100) } == .refusedConnect)
    try web.run { try TestSocket.tcp().connect("127.0.0.1", 9100) }
    _ = try listener.accept()
    #expect(try await policed.revoke().revoked.count >= 1)
    #expect(throws: Errno.self) { try server.receive() }
    #expect(throws: Errno.self) { try client.receive() }
    try await policed.remove("late")
  }

  @Test("[26] megabytes of an allowed stream cross in segments larger than the link's")
  func bulk() async throws {
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000"))
    let cast = try await cast(across: true)
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000"))
    let listener = try cast.db.run(in: cast.right) { try TestSocket.listening("10.77.0.2", 9000) }
    let client = try cast.web.run(in: cast.left) {
      let client = try TestSocket.tcp()
      try client.connect("10.77.0.2", 9000)
      return client
    }
    let server = try listener.accept()
    let chunk = [UInt8](repeating: 0x5a, count: 1 << 16)
    var (sent, received) = (0, 0)
    while received < 4 << 20 {
      if sent < 4 << 20, let count = try? client.send(rawBytes: chunk) { sent += count }
      received += try server.receiveBytes().count
    }
    #expect(received == sent)
  }
}
