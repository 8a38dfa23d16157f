// What reaches a raw socket without a rule: errors about flows of its own workload, and discovery from the link.
internal import Coverage
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("ICMP errors and what they quote", .serialized, .requires(.policing), .policed)
struct ICMPQuoteTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private static let there = [Family.ipv4: "10.77.0.2", .ipv6: "fd77::2"]
  private static let here = [Family.ipv4: "10.77.0.1", .ipv6: "fd77::1"]

  private static func packet(_ family: Family, from source: String? = nil, to destination: String? = nil) throws
    -> PacketBuilder
  {
    let ends = (
      try addressBytes(source ?? here[family] ?? ""), try addressBytes(destination ?? there[family] ?? "")
    )
    return family == .ipv4 ? .ipv4(from: ends.0, to: ends.1) : .ipv6(from: ends.0, to: ends.1)
  }

  /// Time exceeded, in the words of a family.
  private static func exceeded(_ family: Family, _ quote: [UInt8]) -> [UInt8] {
    icmpMessage(family == .ipv4 ? 11 : 3, payload: quote + (quote.count % 2 == 0 ? [] : [0]))
  }

  /// Sends errors to the left end, from somebody who is not policed, and says which of them the raw socket gets.
  private func delivered(
    _ errors: [(name: String, message: [UInt8])], to receiver: TestSocket, _ pair: Policed.NamespacePair,
    _ family: Family
  ) throws -> [String] {
    let address = Self.here[family] ?? ""
    try pair.right.run {
      let sender = try TestSocket.icmp(family)
      for (_, message) in errors { try sender.send(bytes: message, to: address) }
    }
    var names: [String] = []
    while let got = try? receiver.receiveBytes(within: 300) {
      let message = family == .ipv4 ? Array(got.dropFirst(20)) : got
      // The checksum of ICMPv6 is filled in by the kernel.
      guard let found = errors.first(where: { $0.message.dropFirst(4) == message.dropFirst(4) }) else { continue }
      names.append(found.name)
    }
    return names
  }

  @Test(
    "an error passes if it quotes a live flow of the workload, and otherwise needs a rule",
    .only(on: .cgroup, because: TrafficClass.rawICMP.rawValue), arguments: [Family.ipv4, .ipv6])
  func quotes(family: Family) async throws {
    let (web, db, pair) = try await policed.webAndStore("icmp/8, icmp6/128, udp/9001, tcp/9000")
    let (there, here) = (Self.there[family] ?? "", Self.here[family] ?? "")
    let request: UInt8 = family == .ipv4 ? 8 : 128
    let servers = try db.run(in: pair.right) {
      (try TestSocket.bound(there, 9001), try TestSocket.listening(there, 9000))
    }
    let (raw, udp, tcp, silent) = try web.run(in: pair.left) {
      let raw = try TestSocket.icmp(family)
      try raw.send(bytes: icmpMessage(request, id: 90), to: there)
      let udp = try TestSocket.bound(here, 0)
      try udp.send("x", to: there, 9001)
      let tcp = try TestSocket.tcp(family)
      try tcp.connect(there, 9000)
      return (raw, udp, tcp, try TestSocket.bound(here, 0))
    }
    defer { withExtendedLifetime((servers, silent)) {} }
    // Another workload of the namespace, whose datagrams are allowed too.
    try await policed.apply(
      Policed.allowing("app=web", to: "app=db", "icmp/8, icmp6/128, udp/9001, tcp/9000")
        + Policed.outgoing("app=other", to: "any", "udp"))
    let other = try await policed.workload("other", "app=other")
    let others = try other.run(in: pair.left) {
      let socket = try TestSocket.bound(here, 0)
      try socket.send("x", to: there, 9002)
      return socket
    }
    let echo = { (id: UInt16) in
      try Self.packet(family).icmp(type: request, rest: (id, 1), payload: [1, 2, 3, 4]).withoutEthernet.bytes
    }
    let datagram = { (from: UInt16, to: UInt16) in
      try Self.packet(family).udp(from: from, to: to, payload: [1, 2]).withoutEthernet.bytes
    }
    let (udpPort, tcpPort) = (try udp.localPort, try tcp.localPort)
    let good = try datagram(udpPort, 9001)
    let head = family == .ipv4 ? 20 : 40
    let errors: [(String, [UInt8])] = [
      ("no quote", Self.exceeded(family, [])),
      ("payload alone", Self.exceeded(family, [UInt8](repeating: 0x41, count: 64))),
      ("an echo that nobody sent", Self.exceeded(family, try echo(91))),
      ("own echo", Self.exceeded(family, try echo(90))),
      ("a datagram to another port", Self.exceeded(family, try datagram(udpPort, 9002))),
      ("a datagram from a port that sent nothing", Self.exceeded(family, try datagram(silent.localPort, 9001))),
      ("a datagram from a port that is not there", Self.exceeded(family, try datagram(1, 9001))),
      ("another workload's datagram", Self.exceeded(family, try datagram(others.localPort, 9002))),
      ("a header alone", Self.exceeded(family, Array(good.prefix(head)))),
      ("too few bytes of the transport", Self.exceeded(family, Array(good.prefix(head + 2)))),
      (
        "a later fragment",
        Self.exceeded(
          family,
          try Self.packet(family).other(17, good.suffix(10)).fragment(offset: 64, more: true).withoutEthernet.bytes)
      ),
      (
        "somebody else's packet",
        Self.exceeded(
          family,
          try Self.packet(family, from: there, to: here).udp(from: 9001, to: udpPort, payload: [1]).withoutEthernet
            .bytes)
      ),
      (
        "an error that quotes",
        Self.exceeded(
          family,
          try Self.packet(family).icmp(type: family == .ipv4 ? 11 : 3, payload: echo(90)).withoutEthernet.bytes)
      ),
      (
        "a segment of no connection",
        Self.exceeded(family, try Self.packet(family).tcp(from: 2, to: 9000).withoutEthernet.bytes)
      ),
      (
        "a segment beyond the window",
        Self.exceeded(
          family, try Self.packet(family).tcp(from: tcpPort, to: 9000, sequence: 7).withoutEthernet.bytes)
      ),
      ("own datagram", Self.exceeded(family, good)),
      ("a redirect that quotes", icmpMessage(family == .ipv4 ? 5 : 137, payload: good)),
      ("source quench that quotes", icmpMessage(family == .ipv4 ? 4 : 200, payload: good)),
    ]
    let names = try delivered(errors, to: raw, pair, family)
    #expect(Set(names) == ["own echo", "own datagram"])
  }

  @Test(
    "an error that a rule names passes, whatever it quotes",
    .only(on: .cgroup, because: TrafficClass.rawICMP.rawValue), arguments: [Family.ipv4, .ipv6])
  func ruled(family: Family) async throws {
    let (web, _, pair) = try await policed.webAndStore("tcp/1")
    try await policed.apply(Policed.incoming("app=web", from: "any", "icmp/11, icmp6/3"))
    let raw = try web.run(in: pair.left) { try TestSocket.icmp(family) }
    let errors = [("payload alone", Self.exceeded(family, [UInt8](repeating: 0x41, count: 64)))]
    #expect(try delivered(errors, to: raw, pair, family) == ["payload alone"])
  }

  @Test(
    "a raw socket that only receives gets errors and replies of what another one of its workload sent",
    .only(on: .cgroup, because: TrafficClass.rawICMP.rawValue), arguments: [Family.ipv4, .ipv6])
  func senderAndReceiver(family: Family) async throws {
    let (web, _, pair) = try await policed.webAndStore("icmp/8, icmp6/128, udp/9003")
    let (there, here) = (Self.there[family] ?? "", Self.here[family] ?? "")
    let (request, reply): (UInt8, UInt8) = family == .ipv4 ? (8, 0) : (128, 129)
    let raw = try web.run(in: pair.left) {
      let raw = try TestSocket.icmp(family)
      let request = try Self.packet(family).icmp(type: request, rest: (95, 1)).withoutEthernet.bytes
      try TestSocket.packets(family).send(bytes: request, to: there)
      return raw
    }
    // Nobody but the receiving socket is left: the sender was closed with its conversation still young.
    var types: [UInt8] = []
    while let got = try? raw.receiveBytes(within: 300) { types.append(family == .ipv4 ? got[20] : got[0]) }
    #expect(types.contains(reply))
    let errors = [
      (
        "its echo",
        Self.exceeded(family, try Self.packet(family).icmp(type: request, rest: (95, 1)).withoutEthernet.bytes)
      ),
      (
        "no echo",
        Self.exceeded(family, try Self.packet(family).icmp(type: request, rest: (96, 1)).withoutEthernet.bytes)
      ),
    ]
    #expect(try delivered(errors, to: raw, pair, family) == ["its echo"])
    // A reply to what nobody asked is refused as before.
    try pair.right.run { _ = try TestSocket.icmp(family).send(bytes: icmpMessage(reply, id: 97), to: here) }
    #expect(throws: Errno.timedOut) {
      while true {
        let got = try raw.receiveBytes(within: 300)
        if (family == .ipv4 ? got[20] : got[0]) == reply { return }
      }
    }
  }

  @Test(
    "discovery reaches a raw socket if only a neighbour can have sent it",
    .only(on: .cgroup, because: TrafficClass.rawICMP.rawValue))
  func discovery() async throws {
    let (web, _, pair) = try await policed.webAndStore("tcp/1")
    let raw = try web.run(in: pair.left) { try TestSocket.icmp(.ipv6) }
    let to = try addressBytes("fd77::1")
    var expected: Set<[UInt8]> = []
    var sent: [[UInt8]] = []
    for type: UInt8 in [130, 131, 132, 133, 134, 135, 136, 137, 143] {
      for (index, source) in ["fd77::2", "fe80::77:2"].enumerated() {
        for hops: UInt8 in [1, 64, 254, 255] {
          for code: UInt8 in [0, 1] {
            let rest: [UInt8] = [type, UInt8(index), hops, code] + [UInt8](repeating: 0xd5, count: 16)
            let packet = PacketBuilder.ipv6(from: try addressBytes(source), to: to)
              .icmp(type: type, code: code, payload: rest).hopLimit(hops).withoutEthernet.bytes
            sent.append(packet)
            let passes =
              switch type {
              case 133, 135, 136: hops == 255
              case 134, 137: hops == 255 && index == 1
              default: hops == 1 && index == 1
              }
            if passes, code == 0 { expected.insert(Array(rest.prefix(4))) }
          }
        }
      }
    }
    let packets = sent
    try pair.right.run {
      let sender = try TestSocket.packets(.ipv6)
      for packet in packets { try sender.send(bytes: packet, to: "fd77::1") }
    }
    var got: Set<[UInt8]> = []
    while let message = try? raw.receiveBytes(within: 300) {
      guard message.count == 28, message[12] == 0xd5 else { continue }
      got.insert(Array(message[8..<12]))
    }
    #expect(got == expected)
    let passed = try policed.counters().workloads[web.cgroup.id]?[.incoming, .excluded, refused: false] ?? 0
    #expect(passed >= UInt64(expected.count))
  }
}
