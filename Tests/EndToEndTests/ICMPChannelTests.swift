// No kind of ICMP passes because of its type alone: what a user writes is judged, what the kernel says passes.
internal import Coverage
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

/// One kind of message.
struct ICMPKind: Sendable, CustomTestStringConvertible {
  let family: Family
  let type: UInt8
  let code: UInt8

  init(_ family: Family, _ type: UInt8, _ code: UInt8 = 0) {
    (self.family, self.type, self.code) = (family, type, code)
  }

  var testDescription: String { "\(family) \(type)/\(code)" }

  /// Errors, redirects, router and neighbour discovery, MLD: what a network needs, and what anybody can write.
  static let notices: [ICMPKind] =
    [(3, 1), (3, 3), (3, 4), (4, 0), (5, 0), (9, 0), (10, 0), (11, 0), (11, 1), (12, 0)].map { ICMPKind(.ipv4, $0, $1) }
    + (Array(1...4) + Array(130...137) + [143]).map { ICMPKind(.ipv6, $0) }
}

@Suite("ICMP is no channel", .serialized, .requires(.policing), .policed)
struct ICMPChannelTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  static func there(_ family: Family) -> String { family == .ipv4 ? "10.77.0.2" : "fd77::2" }
  static func here(_ family: Family) -> String { family == .ipv4 ? "10.77.0.1" : "fd77::1" }

  /// The header of what a message quotes when it quotes something: a datagram of the sender's own.
  private static func quote(_ family: Family) throws -> [UInt8] {
    let ends = (try addressBytes(here(family)), try addressBytes(there(family)))
    let builder = family == .ipv4 ? PacketBuilder.ipv4(from: ends.0, to: ends.1) : .ipv6(from: ends.0, to: ends.1)
    return builder.udp(from: 4000, to: 4001, payload: Array("secrets.".utf8)).withoutEthernet.bytes
  }

  @Test("every kind that a raw socket writes is refused without a rule", arguments: ICMPKind.notices)
  func written(kind: ICMPKind) async throws {
    let (web, _, pair) = try await policed.webAndStore("tcp/1")
    let mark = try policed.mark()
    let address = Self.there(kind.family)
    let message = icmpMessage(kind.type, code: kind.code, payload: try Self.quote(kind.family))
    #expect(
      try web.refusal(in: pair.left) {
        let socket = try TestSocket.icmp(kind.family)
        if kind.family == .ipv6 { try socket.setOption(41, 16, 255) }
        _ = try socket.send(bytes: message, to: address)
      } == .notPermitted)
    // Of two refusals of one type in a second one is recorded.
    guard kind.code == 0 || (kind.type, kind.code) == (3, 1) else { return }
    let refused = policed.events.first(after: mark) { $0.kind == .refused }
    #expect(refused?.workload == web.cgroup.id.rawValue)
    #expect(refused?.decidedBy == .default)
    #expect(refused?.remotePort == UInt16(kind.type))
  }

  @Test("nor with an IP header of its own, whatever source and hop limit that has", arguments: ICMPKind.notices)
  func writtenWithHeader(kind: ICMPKind) async throws {
    let (web, _, pair) = try await policed.webAndStore("tcp/1")
    let address = Self.there(kind.family)
    let sources = kind.family == .ipv4 ? ["10.77.0.1", "192.0.2.1"] : ["fd77::1", "fe80::1", "2001:db8::1"]
    for source in sources {
      for hops in [UInt8(1), 64, 255] {
        let ends = (try addressBytes(source), try addressBytes(address))
        let base = kind.family == .ipv4 ? PacketBuilder.ipv4(from: ends.0, to: ends.1) : .ipv6(from: ends.0, to: ends.1)
        let packet = base.icmp(type: kind.type, code: kind.code, payload: try Self.quote(kind.family)).hopLimit(hops)
        for bytes in [packet.withoutEthernet.bytes, packet.fragment(offset: 0, more: true).withoutEthernet.bytes] {
          #expect(
            try web.refusal(in: pair.left) {
              try TestSocket.packets(kind.family).send(bytes: bytes, to: address)
            } == .notPermitted, "\(source) \(hops)")
        }
      }
    }
  }

  @Test("nor over loopback, where another workload of the namespace listens", arguments: ICMPKind.notices)
  func writtenOverLoopback(kind: ICMPKind) async throws {
    let (web, _, pair) = try await policed.webAndStore("tcp/1")
    let message = icmpMessage(kind.type, code: kind.code, payload: try Self.quote(kind.family))
    for address in [Self.here(kind.family), kind.family == .ipv4 ? "127.0.0.1" : "::1"] {
      #expect(
        try web.refusal(in: pair.left) {
          try TestSocket.icmp(kind.family).send(bytes: message, to: address)
        } == .notPermitted)
    }
  }

  @Test("a rule that names the type lets it", arguments: ICMPKind.notices)
  func named(kind: ICMPKind) async throws {
    let port = kind.family == .ipv4 ? "icmp/\(kind.type)" : "icmp6/\(kind.type)"
    let (web, db, pair) = try await policed.webAndStore(port)
    let receiver = try db.run(in: pair.right) { try TestSocket.icmp(kind.family) }
    let address = Self.there(kind.family)
    let payload = [UInt8](repeating: 0x5a, count: 48)
    let message = icmpMessage(kind.type, code: kind.code, payload: payload)
    try web.run(in: pair.left) { _ = try TestSocket.icmp(kind.family).send(bytes: message, to: address) }
    // The namespace's own discovery comes to the receiver too.
    var got = try receiver.receiveBytes()
    while kind.family == .ipv6, got.first != kind.type || got.count != 56 { got = try receiver.receiveBytes() }
    #expect(got.suffix(48) == payload[...])
  }

  @Test("an echo over loopback to another workload's raw socket needs its own side's rule too", arguments: [4, 6])
  func echoOverLoopback(version: Int) async throws {
    let family: Family = version == 4 ? .ipv4 : .ipv6
    let address = family == .ipv4 ? "127.0.0.1" : "::1"
    try await policed.apply(
      Policed.incoming("app=db", from: "any", "icmp/8, icmp6/128")
        + Policed.outgoing("app=friend", to: "app=db", "icmp, icmp6")
    )
    let (db, web) = (try await policed.workload("db", "app=db"), try await policed.workload("web", "app=web"))
    let friend = try await policed.workload("friend", "app=friend")
    let receiver = try db.run { try TestSocket.icmp(family) }
    let request: UInt8 = family == .ipv4 ? 8 : 128
    try web.run { _ = try TestSocket.icmp(family).send(bytes: icmpMessage(request, id: 81), to: address) }
    try friend.run { _ = try TestSocket.icmp(family).send(bytes: icmpMessage(request, id: 82), to: address) }
    var got = try receiver.receiveBytes()
    if family == .ipv4 { got = Array(got.dropFirst(20)) }
    // What comes first is of the friend: the other's is lost on the cgroup datapath.
    if DatapathKind.underTest == .cgroup { #expect(got[0] == request && got[5] == 82) }
  }

  // MARK: The kernel's own

  @Test("a namespace that a confined workload made can resolve neighbours, detect duplicates and join groups")
  func kernelsOwn() async throws {
    try await policed.apply(Policed.defaults())
    let web = try await policed.workload("web", "app=web")
    // The kernel's sockets of that namespace have the maker's cgroup.
    let made = try web.run { try NetworkNamespace.anonymous() }
    try policed.datapath.police([made])
    let other = try policed.makeNamespace()
    try made.bringLoopbackUp()
    try policed.sandbox.connect(made, ["10.78.0.1/24", "fd78::1/64"], other, ["10.78.0.2/24", "fd78::2/64"])
    // With duplicate address detection: an address that does not leave it stays tentative.
    try policed.sandbox.command(["ip", "addr", "add", "fd78::9/64", "dev", "sp0"], namespace: made)
    let witness = try other.run { try TestSocket.frames(receiving: 0x86dd) }
    // The other end's kernel asks for the hardware address, and the namespace's kernel answers.
    try policed.sandbox.command(["ping", "-6", "-c", "1", "-W", "5", "fd78::1"], namespace: other)
    let group = try other.run { () throws -> TestSocket in
      let socket = try TestSocket.udp(.ipv6)
      try socket.connect("fd78::1", 9)
      try socket.send("x")
      return socket
    }
    // Nobody listens there: the kernel's error says so.
    #expect(throws: Errno.connectionRefused) { try group.receive() }
    let kinds = try Self.kinds(seenBy: witness, from: 1)
    #expect(kinds.isSuperset(of: [135, 136, 143]), "\(kinds)")
  }

  /// Types of ICMPv6 in frames from the hardware address that ends so.
  private static func kinds(seenBy witness: TestSocket, from last: UInt8) throws -> Set<UInt8> {
    var kinds: Set<UInt8> = []
    while let frame = try? witness.receiveBytes(within: 1500) {
      guard frame.count > 62 else { continue }
      // MLD has a hop-by-hop header of 8 bytes.
      let at = frame[20] == 0 ? 62 : 54
      if frame[20] == 58 || frame[20] == 0, frame.count > at { kinds.insert(frame[at]) }
      if kinds.isSuperset(of: [135, 136, 143]) { break }
    }
    return kinds
  }
}
