// ICMP and ICMPv6: echo one way, its replies, the errors that always pass, and ping sockets.
internal import Coverage
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("ICMP", .serialized, .requires(.policing), .policed)
struct ICMPTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private func webAndStore(
    _ ports: String
  ) async throws -> (web: PolicedThread, db: PolicedThread, pair: Policed.NamespacePair) {
    try await policed.webAndStore(ports)
  }

  /// The next echo request or reply that a raw socket gets; neighbour discovery is passed over.
  private static func echo(_ family: Family, _ socket: TestSocket) throws -> [UInt8] {
    while true {
      let packet = try socket.receiveBytes()
      // IPv4 comes with its header.
      let message = family == .ipv4 ? Array(packet.dropFirst(20)) : packet
      if family == .ipv4 || message.first == 128 || message.first == 129 { return message }
    }
  }

  @Test("an echo that policy allows is answered; one that it does not is EPERM", arguments: ["10.77.0.2", "fd77::2"])
  func echo(address: String) async throws {
    let family = Family(of: address)
    let (web, _, pair) = try await webAndStore("icmp/8, icmp6/128")
    let (request, reply): (UInt8, UInt8) = family == .ipv4 ? (8, 0) : (128, 129)
    let socket = try web.run(in: pair.left) {
      let socket = try TestSocket.icmp(family)
      try socket.send(bytes: icmpMessage(request, id: 70), to: address)
      return socket
    }
    #expect(try Self.echo(family, socket).first == reply)
    _ = try await webAndStore("tcp/1")
    #expect(
      try web.refusal(in: pair.left) {
        try TestSocket.icmp(family).send(bytes: icmpMessage(request, id: 71), to: address)
      } == .notPermitted)
  }

  @Test(
    "[incident 1] an echo id that is in use passes no request the other way, only the reply",
    .only(on: .cgroup, because: TrafficClass.rawICMP.rawValue),
    arguments: [
      ("10.77.0.2", "10.77.0.1"), ("fd77::2", "fd77::1"),
    ])
  func echoReused(address: String, own: String) async throws {
    let family = Family(of: address)
    let (web, _, pair) = try await webAndStore("icmp/8, icmp6/128")
    let (request, reply): (UInt8, UInt8) = family == .ipv4 ? (8, 0) : (128, 129)
    let socket = try web.run(in: pair.left) {
      let socket = try TestSocket.icmp(family)
      try socket.send(bytes: icmpMessage(request, id: 77), to: address)
      return socket
    }
    _ = try Self.echo(family, socket)
    let mark = try policed.mark()
    try pair.right.run {
      let attacker = try TestSocket.icmp(family)
      try attacker.send(bytes: icmpMessage(request, id: 77), to: own)
      try attacker.send(bytes: icmpMessage(reply, id: 78), to: own)
      try attacker.send(bytes: icmpMessage(reply, id: 77, sequence: 2), to: own)
    }
    // All three arrived in order: what is read first is the reply that was asked for.
    let first = try Self.echo(family, socket)
    #expect(first.first == reply)
    #expect(first[5] == 77 && first[7] == 2)
    let refused = try policed.told(after: mark).filter { $0.kind == .refused && $0.direction == .incoming }
    #expect(refused.contains { $0.localPort == 77 })
    #expect(refused.contains { $0.localPort == 78 })
  }

  @Test(
    "[18] an error needs a rule, unless it quotes what the workload sent",
    .only(on: .cgroup, because: TrafficClass.rawICMP.rawValue))
  func icmpErrors() async throws {
    let (web, _, pair) = try await webAndStore("icmp/8")
    let socket = try web.run(in: pair.left) {
      let socket = try TestSocket.icmp()
      try socket.send(bytes: icmpMessage(8, id: 79), to: "10.77.0.2")
      return socket
    }
    _ = try Self.echo(.ipv4, socket)
    let quote = PacketBuilder.ipv4(from: [10, 77, 0, 1], to: [10, 77, 0, 2]).icmp(type: 8, rest: (79, 1))
      .withoutEthernet.bytes
    try pair.right.run {
      let sender = try TestSocket.icmp()
      for (type, code): (UInt8, UInt8) in [(3, 1), (11, 0), (3, 4), (5, 1)] {
        try sender.send(bytes: icmpMessage(type, code: code), to: "10.77.0.1")
        try sender.send(bytes: icmpMessage(type, code: code, payload: quote), to: "10.77.0.1")
      }
    }
    var types: [[UInt8]] = []
    for _ in 0..<3 { types.append(Array(try socket.receiveBytes().dropFirst(20).prefix(2))) }
    #expect(types == [[3, 1], [11, 0], [3, 4]])
    #expect(!socket.isReadable)
  }

  @Test("[18] destination unreachable reaches the connected UDP socket that caused it")
  func unreachable() async throws {
    let (web, _, pair) = try await webAndStore("udp/9999")
    let client = try web.run(in: pair.left) {
      let client = try TestSocket.udp()
      try client.connect("10.77.0.2", 9999)
      try client.send("x")
      return client
    }
    #expect(throws: Errno.connectionRefused) { try client.receive() }
  }

  @Test("a ping socket is judged as the ICMP that it sends", arguments: ["10.77.0.2", "fd77::2"])
  func pingSocket(address: String) async throws {
    let family = Family(of: address)
    var (web, _, pair) = try await webAndStore("icmp/8, icmp6/128")
    try pair.left.set(sysctl: "ipv4/ping_group_range", "0 0")
    let (type, number): (UInt8, Int32) = family == .ipv4 ? (8, 1) : (128, 58)
    let send: @Sendable () throws -> TestSocket = {
      let socket = try TestSocket(family: family, type: 2, protocol: number)
      try socket.send(bytes: icmpMessage(type), to: address)
      return socket
    }
    let socket = try web.run(in: pair.left, send)
    #expect(try socket.receiveBytes().first == (family == .ipv4 ? 0 : 129))
    (web, _, pair) = try await webAndStore("tcp/1")
    // An IPv6 ping socket does not pass the error on (ping_v6_sendmsg): the counter tells.
    let thread = web
    let refused = {
      try policed.counters().workloads[thread.cgroup.id]?[.outgoing, .default, refused: true] ?? 0
    }
    let before = try refused()
    let refusal = try web.refusal(in: pair.left) { _ = try send() }
    #expect(refusal == (family == .ipv4 ? .notPermitted : nil))
    #expect(try refused() == before + 1)
  }
}
