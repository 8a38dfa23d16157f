// What raw sockets could ride on: a conversation of another port, segments that begin nothing, forged sources, headers
// that cannot be read.
internal import Coverage
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Raw sockets ride on nothing", .serialized, .requires(.policing), .policed)
struct RawChannelTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private static let there = [Family.ipv4: "10.77.0.2", .ipv6: "fd77::2"]
  private static let here = [Family.ipv4: "10.77.0.1", .ipv6: "fd77::1"]

  private static func packet(_ family: Family, from source: String, to destination: String) throws -> PacketBuilder {
    let ends = (try addressBytes(source), try addressBytes(destination))
    return family == .ipv4 ? .ipv4(from: ends.0, to: ends.1) : .ipv6(from: ends.0, to: ends.1)
  }

  @Test("a segment of any flags is judged, whatever source it claims", arguments: [Family.ipv4, .ipv6])
  func segments(family: Family) async throws {
    let (web, _, pair) = try await policed.webAndStore("tcp/9000")
    let address = Self.there[family] ?? ""
    let flags: [PacketBuilder.TCPFlags] = [[], .ack, .rst, .fin, [.syn, .ack], [.psh, .ack], [.rst, .ack], .syn]
    for source in [Self.here[family] ?? "", address, family == .ipv4 ? "192.0.2.1" : "2001:db8::1"] {
      for flag in flags {
        let segment = try Self.packet(family, from: source, to: address)
          .tcp(from: 1234, to: 9999, flags: flag, payload: Array("secret".utf8)).withoutEthernet.bytes
        #expect(
          try web.refusal(in: pair.left) {
            try TestSocket.packets(family).send(bytes: segment, to: address)
          } == .notPermitted, "\(source) \(flag.rawValue)")
      }
    }
  }

  @Test("IGMP, ESP, AH and experimental protocols are judged", arguments: [2, 4, 41, 50, 51, 89, 103, 115, 253, 255])
  func protocols(number: Int) async throws {
    let (web, _, pair) = try await policed.webAndStore("tcp/9000")
    let bytes = PacketBuilder.ipv4(from: [10, 77, 0, 1], to: [10, 77, 0, 2])
      .other(UInt8(number), [UInt8](repeating: 4, count: 32)).withoutEthernet.bytes
    #expect(
      try web.refusal(in: pair.left) { try TestSocket.packets().send(bytes: bytes, to: "10.77.0.2") } == .notPermitted)
  }

  @Test("the kernel does not answer for a workload to the source that it forged", arguments: [Family.ipv4, .ipv6])
  func reflected(family: Family) async throws {
    try await policed.apply(Policed.incoming("app=web", from: "any", "any"))
    let web = try await policed.workload("web", "app=web")
    let pair = try policed.pair()
    let (there, here) = (Self.there[family] ?? "", Self.here[family] ?? "")
    let witness = try pair.right.run { try TestSocket.frames(receiving: 0x0003) }
    let servers = try web.run(in: pair.left) {
      (try TestSocket.bound(here, 9301), try TestSocket.listening(here, 9300))
    }
    defer { withExtendedLifetime(servers) {} }
    let payload = Array("reflected".utf8) + [0]
    // To its own addresses, where it may talk to itself, as from somebody whom it may not reach.
    let base = try Self.packet(family, from: there, to: here)
    let echo = base.icmp(type: family == .ipv4 ? 8 : 128, rest: (5, 5), payload: payload)
    let closed = base.udp(from: 9, to: 9309, payload: payload)
    let open = base.udp(from: 9, to: 9301, payload: payload)
    let syn = base.tcp(from: 0x7265, to: 9300, sequence: 0x7265_666c)
    // A rule answers a SYN by a reset, to the source that it has: the number in it is what the coverage statement admits.
    for packet in DatapathKind.underTest == .cgroup ? [echo, closed, open, syn] : [echo, closed, open] {
      #expect(
        try web.refusal(in: pair.left) {
          try TestSocket.packets(family).send(bytes: packet.withoutEthernet.bytes, to: here)
        } == .notPermitted)
    }
    // Its kernel still answers itself.
    let own = try Self.packet(family, from: here, to: here).icmp(type: family == .ipv4 ? 8 : 128, payload: payload)
    let raw = try web.run(in: pair.left) {
      let raw = try TestSocket.icmp(family)
      try TestSocket.packets(family).send(bytes: own.withoutEthernet.bytes, to: here)
      return raw
    }
    #expect(try raw.receiveBytes().suffix(10) == payload[...])
    var reflected = 0
    while let frame = try? witness.receiveBytes(within: 200) {
      let needles = [Array("reflected".utf8), [0x72, 0x65, 0x66, 0x6d]]
      if needles.contains(where: { needle in frame.indices.contains { frame[$0...].starts(with: needle) } }) {
        reflected += 1
      }
    }
    #expect(reflected == 0)
  }

  /// A UDP header and two bytes, for a raw socket that leaves the IP header to the kernel.
  private static func datagram(_ source: [UInt8], _ destination: [UInt8], _ from: UInt16, _ to: UInt16) -> [UInt8] {
    let packet = PacketBuilder.ipv4(from: source, to: destination).udp(from: from, to: to, payload: [1, 2])
    return Array(packet.withoutEthernet.bytes.dropFirst(20))
  }

  @Test("what one port of a raw UDP socket was allowed opens no other one")
  func ports() async throws {
    try await policed.apply(
      Policed.incoming("app=web", from: "any", "udp/53") + Policed.outgoing("app=web", to: "any", "udp/53"))
    let web = try await policed.workload("web", "app=web")
    let pair = try policed.pair()
    let raw = try web.run(in: pair.left) { try TestSocket.rawIP(.ipv4, protocol: 17) }
    let (left, right): ([UInt8], [UInt8]) = ([10, 77, 0, 1], [10, 77, 0, 2])
    let datagram = { @Sendable (from: UInt16, to: UInt16) in Self.datagram(right, left, from, to) }
    let answer = { @Sendable (from: UInt16, to: UInt16) in Self.datagram(left, right, from, to) }
    try pair.right.run {
      let sender = try TestSocket.rawIP(.ipv4, protocol: 17)
      try sender.send(bytes: datagram(7000, 53), to: "10.77.0.1")
      try sender.send(bytes: datagram(7000, 54), to: "10.77.0.1")
      try sender.send(bytes: datagram(7001, 53), to: "10.77.0.1")
    }
    if DatapathKind.underTest == .cgroup {
      let ports = [try raw.receiveBytes(), try raw.receiveBytes()].map { Array($0[20..<24]) }
      #expect(ports == [[27, 88, 0, 53], [27, 89, 0, 53]])
      #expect(!raw.isReadable)
      try web.run(in: pair.left) { _ = try raw.send(bytes: answer(53, 7000), to: "10.77.0.2") }
    }
    #expect(
      try web.refusal(in: pair.left) { _ = try raw.send(bytes: answer(54, 7000), to: "10.77.0.2") } == .notPermitted)
    // And the other way round: what the socket asked port 53 from one port answers no other.
    try web.run(in: pair.left) { _ = try raw.send(bytes: answer(8000, 53), to: "10.77.0.2") }
    try pair.right.run {
      let sender = try TestSocket.rawIP(.ipv4, protocol: 17)
      try sender.send(bytes: datagram(53, 8001), to: "10.77.0.1")
      try sender.send(bytes: datagram(53, 8000), to: "10.77.0.1")
    }
    if DatapathKind.underTest == .cgroup { #expect(try raw.receiveBytes()[22..<24] == [31, 64]) }
  }

  @Test("a packet from outside whose headers go beyond what is read reaches no workload")
  func unreadable() async throws {
    try await policed.apply(Policed.incoming("app=web", from: "any", "udp/9001"))
    let web = try await policed.workload("web", "app=web")
    let pair = try policed.pair()
    let (refused, allowed) = try web.run(in: pair.left) {
      (try TestSocket.bound("fd77::1", 9002), try TestSocket.bound("fd77::1", 9001))
    }
    let send = { @Sendable (port: UInt16, headers: Int) throws in
      var packet = PacketBuilder.ipv6(from: try addressBytes("fd77::2"), to: try addressBytes("fd77::1"))
        .udp(from: 4444, to: port, payload: Array("deep".utf8))
      for _ in 0..<headers { packet = packet.extensionHeader(60) }
      // As frames from another host.
      let bytes = packet.withoutEthernet.bytes
      try TestSocket.frames().send(
        frame: [2, 0x77, 0, 0, 0, 1, 2, 0x77, 0, 0, 0, 2, 0x86, 0xdd] + bytes, through: "sp0")
    }
    try pair.right.run {
      try send(9002, 0)
      try send(9002, 8)
      try send(9002, 12)
      try send(9001, 12)
      try send(9001, 8)
    }
    #expect(try allowed.receive() == "deep")
    #expect(!allowed.isReadable)
    #expect(!refused.isReadable)
  }
}
