// What raw sockets and packet sockets send: fragments, extension headers, other protocols, forged frames.
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite(
  "Raw packets", .serialized, .requires(.policing), .policed)
struct RawPacketTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private func webAndStore(
    _ ports: String
  ) async throws -> (web: PolicedThread, db: PolicedThread, pair: Policed.NamespacePair) {
    try await policed.webAndStore(ports)
  }

  /// How many unreadable packets of a workload were refused so far.
  private func invalid(_ thread: PolicedThread) throws -> UInt64 {
    try policed.counters().workloads[thread.cgroup.id]?[.outgoing, .invalid, refused: true] ?? 0
  }

  @Test(
    "a raw TCP socket is judged packet by packet, also when it is connected and says ESTABLISHED",
    arguments: [
      "127.0.0.1", "10.77.0.2",
    ])
  func rawTCP(address: String) async throws {
    let (web, _, pair) = try await webAndStore("tcp/9000")
    let namespace = address.hasPrefix("127") ? nil : pair.left
    let segment = PacketBuilder.ipv4(from: [10, 77, 0, 1], to: try addressBytes(address))
      .tcp(from: 1234, to: 9999, flags: .ack).withoutEthernet.bytes.dropFirst(20)
    let unconnected = try web.refusal(in: namespace) {
      try TestSocket.rawIP(protocol: 6).send(bytes: Array(segment), to: address)
    }
    #expect(unconnected == .notPermitted)
    let connected = try web.refusal(in: namespace) {
      let socket = try TestSocket.rawIP(protocol: 6)
      try socket.connect(address, 0)
      try socket.send(rawBytes: Array(segment))
    }
    #expect(connected == .notPermitted)
  }

  @Test("[15] fragments that hide the transport header are refused as invalid: later ones, tiny first ones")
  func fragments() async throws {
    let (web, _, pair) = try await webAndStore("any")
    let mark = try policed.mark()
    let base = PacketBuilder.ipv4(from: [10, 77, 0, 1], to: [10, 77, 0, 2])
    let later = base.other(6, [UInt8](repeating: 0x23, count: 16)).fragment(offset: 64, more: true)
    let tiny = base.other(6, [0x04, 0xd2, 0x23, 0x28, 0, 0, 0, 1]).fragment(offset: 0, more: true)
    for packet in [later, tiny] {
      let refusal = try web.refusal(in: pair.left) {
        try TestSocket.packets().send(bytes: packet.withoutEthernet.bytes, to: "10.77.0.2")
      }
      #expect(refusal == .notPermitted)
    }
    let refused = policed.events.first(after: mark) { $0.kind == .refused }
    #expect(refused?.decidedBy == .invalid)
    #expect(refused?.workload == web.cgroup.id.rawValue)
    let whole = base.tcp(from: 1234, to: 9000, flags: .ack).fragment(offset: 0, more: true)
    try web.run(in: pair.left) {
      _ = try TestSocket.packets().send(bytes: whole.withoutEthernet.bytes, to: "10.77.0.2")
    }
  }

  @Test("[15] a later IPv6 fragment is refused as invalid")
  func laterFragmentIPv6() async throws {
    let (web, _, pair) = try await webAndStore("any")
    let before = try invalid(web)
    let packet = PacketBuilder.ipv6(from: try addressBytes("fd77::1"), to: try addressBytes("fd77::2"))
      .other(17, [UInt8](repeating: 0x23, count: 16)).fragment(offset: 64, more: false)
    #expect(
      try web.refusal(in: pair.left) {
        try TestSocket.packets(.ipv6).send(bytes: packet.withoutEthernet.bytes, to: "fd77::2")
      } == .notPermitted)
    #expect(try invalid(web) == before + 1)
  }

  @Test(
    "[20] a chain of IPv6 extension headers is followed to the port up to 8 headers, and refused beyond",
    arguments: [
      0, 1, 8, 9, 12,
    ])
  func extensionHeaders(count: Int) async throws {
    let (web, db, pair) = try await webAndStore("udp/9001")
    let server = try db.run(in: pair.right) { try TestSocket.bound("fd77::2", 9001) }
    let send: @Sendable (UInt16) throws -> Void = { port in
      var packet = PacketBuilder.ipv6(from: try addressBytes("fd77::1"), to: try addressBytes("fd77::2"))
        .udp(from: 4444, to: port, payload: Array("deep".utf8))
      for _ in 0..<count { packet = packet.extensionHeader(60) }
      try TestSocket.packets(.ipv6).send(bytes: packet.withoutEthernet.bytes, to: "fd77::2")
    }
    let before = try invalid(web)
    #expect(try web.refusal(in: pair.left) { try send(9002) } == .notPermitted)
    if count <= 8 {
      try web.run(in: pair.left) { try send(9001) }
      #expect(try server.receive() == "deep")
    } else {
      #expect(try web.refusal(in: pair.left) { try send(9001) } == .notPermitted)
      #expect(try invalid(web) == before + 2)
      #expect(!server.isReadable)
    }
  }

  @Test(
    "[25] GRE, SCTP and UDP-Lite are refused with the protocol told, and pass where a rule names them",
    arguments: [
      (UInt8(47), "gre"), (132, "sctp/9"), (136, "ip/136"),
    ])
  func otherProtocols(number: UInt8, port: String) async throws {
    var (web, db, pair) = try await webAndStore("tcp/9000")
    let mark = try policed.mark()
    let body: [UInt8] = [0, 8, 0, 9] + [UInt8](repeating: 0, count: 16)
    let send: @Sendable () throws -> Void = {
      try TestSocket.rawIP(protocol: Int32(number)).send(bytes: body, to: "10.77.0.2")
    }
    #expect(try web.refusal(in: pair.left, send) == .notPermitted)
    let refused = policed.events.first(after: mark) { $0.kind == .refused }
    #expect(refused?.protocol.rawValue == number)
    #expect(refused?.decidedBy == .default)
    (web, db, pair) = try await webAndStore(port)
    let receiver = try db.run(in: pair.right) { try TestSocket.rawIP(protocol: Int32(number)) }
    try web.run(in: pair.left, send)
    #expect(try receiver.receiveBytes().suffix(20) == body[...])
  }

  @Test("[25] a UDP-Lite socket is refused like any protocol without a rule")
  func udpLite() async throws {
    let (web, _, pair) = try await webAndStore("udp/9001, tcp/9001")
    let refusal = try web.refusal(in: pair.left) {
      try TestSocket(family: .ipv4, type: 2, protocol: 136).send("x", to: "10.77.0.2", 9001)
    }
    #expect(refusal == .notPermitted)
  }

  // MARK: Frames

  @Test("[14] a SYN written to a packet socket under a workload's address is not believed")
  func forgedSYN() async throws {
    let (web, db, pair) = try await webAndStore("tcp/9000")
    let listener = try db.run(in: pair.right) { try TestSocket.listening("10.77.0.2", 9000) }
    let client = try web.run(in: pair.left) {
      let client = try TestSocket.tcp()
      try client.connect("10.77.0.2", 9000)
      return client
    }
    _ = try listener.accept()
    let live = try client.localPort
    let mark = try policed.mark()
    // Another workload with CAP_NET_RAW in the same namespace: a new tuple, and the one that lives.
    let intruder = try await policed.workload("intruder", "app=intruder")
    try intruder.run(in: pair.left) {
      for port in [live, 30001] {
        let packet = PacketBuilder.ipv4(from: [10, 77, 0, 1], to: [10, 77, 0, 2])
          .tcp(from: port, to: 9000, sequence: 77).withoutEthernet.bytes
        try TestSocket.frames().send(
          frame: [2, 0x77, 0, 0, 0, 2, 2, 0x77, 0, 0, 0, 1, 8, 0] + packet, through: "sp0")
      }
    }
    // Of two refusals of the same in one second one is told: where the live one waits for its end, a SYN is judged too.
    let refused = policed.events.first(after: mark) {
      $0.kind == .refused && [live, 30001].contains($0.remotePort)
    }
    #expect(refused?.workload == db.cgroup.id.rawValue)
    #expect(refused?.peer == .unknown)
    #expect(!listener.isReadable)
  }

  @Test("[14] a UDP frame is not believed, neither on a new tuple nor on a live one")
  func forgedDatagram() async throws {
    let (web, db, pair) = try await webAndStore("udp/9001")
    let server = try db.run(in: pair.right) { try TestSocket.bound("10.77.0.2", 9001) }
    let client = try web.run(in: pair.left) {
      let client = try TestSocket.udp()
      try client.bind("10.77.0.1")
      try client.send("real", to: "10.77.0.2", 9001)
      return client
    }
    #expect(try server.receive() == "real")
    let live = try client.localPort
    let intruder = try await policed.workload("intruder", "app=intruder")
    try intruder.run(in: pair.left) {
      for (port, text) in [(UInt16(30002), "new"), (live, "live")] {
        let packet = PacketBuilder.ipv4(from: [10, 77, 0, 1], to: [10, 77, 0, 2])
          .udp(from: port, to: 9001, payload: Array(text.utf8)).withoutEthernet.bytes
        try TestSocket.frames().send(
          frame: [2, 0x77, 0, 0, 0, 2, 2, 0x77, 0, 0, 0, 1, 8, 0] + packet, through: "sp0")
      }
    }
    try web.run(in: pair.left) { _ = try client.send("behind", to: "10.77.0.2", 9001) }
    #expect(try server.receive() == "behind")
    #expect(!server.isReadable)
  }

  @Test("[27] a SYN that meets a connecting socket is judged as incoming: simultaneous open")
  func simultaneousOpen() async throws {
    let (_, db, pair) = try await webAndStore("tcp/9000")
    try await policed.apply(
      Policed.outgoing("app=db", to: "any", "tcp") + Policed.outgoing("app=intruder", to: "any", "any"))
    let intruder = try await policed.workload("intruder", "app=intruder")
    // An address that nobody answers for, so that the SYN is lost and the socket keeps waiting.
    try policed.sandbox.command(
      ["ip", "neigh", "replace", "10.77.0.9", "lladdr", "02:77:00:00:00:01", "dev", "sp0"], namespace: pair.right)
    let waiting = try db.run(in: pair.right) {
      let waiting = try TestSocket.tcp()
      try waiting.bind("10.77.0.2", 6000)
      try waiting.startConnect("10.77.0.9", 5000)
      return waiting
    }
    let mark = try policed.mark()
    try intruder.run(in: pair.left) {
      let packet = PacketBuilder.ipv4(from: [10, 77, 0, 9], to: [10, 77, 0, 2]).tcp(from: 5000, to: 6000)
      try TestSocket.packets().send(bytes: packet.withoutEthernet.bytes, to: "10.77.0.2")
    }
    let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.direction == .incoming }
    #expect(refused?.workload == db.cgroup.id.rawValue)
    #expect(throws: Errno.timedOut) { try waiting.finishConnect(within: 0) }
  }
}
