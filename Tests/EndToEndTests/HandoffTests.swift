// Who sends a datagram from another namespace: bound to its packets, never to an address and a time.
internal import Coverage
internal import Enforcement
internal import Kernel
internal import Policy
internal import Synchronization
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Hand-off of datagrams", .serialized, .requires(.policing), .policed)
struct HandoffTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  /// web may reach db's udp/9001; the intruder may send wherever it likes, and nobody lets it in.
  private struct Stage {
    let web: PolicedThread
    let db: PolicedThread
    let intruder: PolicedThread
    /// web's address is `left`, db's `right`.
    let pair: Policed.NamespacePair
    /// A third namespace with web's addresses and a wire of its own to db's.
    let third: NetworkNamespace
  }

  private static let addresses = [("10.77.0.1", "10.77.0.2"), ("fd77::1", "fd77::2")]

  private func stage(_ more: String = "", declared: Bool = false) async throws -> Stage {
    try await policed.apply(
      Policed.allowing("app=web", to: "app=db", "udp/9001") + Policed.outgoing("app=intruder", to: "any", "any") + more)
    let web = try await policed.workload("web", "app=web", at: declared ? ["10.77.0.1", "fd77::1"] : [])
    return Stage(
      web: web, db: try await policed.workload("db", "app=db", at: ["10.77.0.2", "fd77::2"]),
      intruder: try await policed.workload("intruder", "app=intruder"), pair: try policed.pair(),
      third: try policed.third())
  }

  /// A datagram as web sends it, written to a packet socket.
  private static func frame(_ source: String, _ port: UInt16, _ destination: String, _ to: UInt16, _ text: String)
    throws
    -> [UInt8]
  {
    let (from, towards) = (try addressBytes(source), try addressBytes(destination))
    let packet = from.count == 4 ? PacketBuilder.ipv4(from: from, to: towards) : .ipv6(from: from, to: towards)
    return packet.udp(from: port, to: to, payload: Array(text.utf8)).withoutEthernet.bytes
  }

  private static func header(to last: UInt8, _ packet: [UInt8]) -> [UInt8] {
    [2, 0x77, 0, 0, 0, last, 2, 0x77, 0, 0, 0, 9] + (packet[0] >> 4 == 4 ? [8, 0] : [0x86, 0xdd]) + packet
  }

  @Test("a frame with a former sender's addresses opens no conversation as that sender", arguments: addresses)
  func staleRow(source: String, destination: String) async throws {
    let stage = try await stage()
    let client = try stage.web.run(in: stage.pair.left) { () throws -> TestSocket in
      let client = try TestSocket.udp(Family(of: source))
      try client.bind(source)
      return client
    }
    let port = try client.localPort
    do {
      let server = try stage.db.run(in: stage.pair.right) { try TestSocket.bound(destination, 9001) }
      try stage.web.run(in: stage.pair.left) { _ = try client.send("genuine", to: destination, 9001) }
      #expect(try server.receive() == "genuine")
    }
    // The receiver is another socket now: nothing of the conversation is left but the sender's row.
    let server = try stage.db.run(in: stage.pair.right) { try TestSocket.bound(destination, 9001) }
    let mark = try policed.mark()
    let packet = try Self.frame(source, port, destination, 9001, "forged")
    try stage.intruder.run(in: stage.third) {
      try TestSocket.frames().send(frame: Self.header(to: 3, packet), through: "sp0")
    }
    let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.remotePort == port }
    #expect(refused?.peerWorkload == 0)
    #expect(refused?.assurance != .handoff)
    #expect(!server.isReadable)
    try stage.web.run(in: stage.pair.left) { _ = try client.send("again", to: destination, 9001) }
    #expect(try server.receive() == "again")
  }

  @Test("a live conversation carries its own sender's packets alone", arguments: addresses)
  func riders(source: String, destination: String) async throws {
    let stage = try await stage()
    let server = try stage.db.run(in: stage.pair.right) { try TestSocket.bound(destination, 9001) }
    let client = try stage.web.run(in: stage.pair.left) { () throws -> TestSocket in
      let client = try TestSocket.udp(Family(of: source))
      try client.setOption(1, 15, 1)
      try client.bind(source)
      try client.send("first", to: destination, 9001)
      return client
    }
    #expect(try server.receive() == "first")
    let (port, mark) = (try client.localPort, try policed.mark())
    let packet = try Self.frame(source, port, destination, 9001, "ridden")
    try stage.intruder.run(in: stage.third) {
      try TestSocket.frames().send(frame: Self.header(to: 3, packet), through: "sp0")
      try TestSocket.packets(Family(of: source)).send(bytes: packet, to: destination)
    }
    try stage.intruder.run(in: stage.pair.left) {
      try TestSocket.frames().send(frame: Self.header(to: 2, packet), through: "sp0")
      let beside = try TestSocket.udp(Family(of: source))
      try beside.setOption(1, 15, 1)
      try beside.bind(source, port)
      try beside.send("ridden", to: destination, 9001)
    }
    // What comes behind them on the same wire arrives first, because nothing of them did.
    try stage.web.run(in: stage.pair.left) { _ = try client.send("second", to: destination, 9001) }
    #expect(try server.receive() == "second")
    let told = try policed.told(after: mark).filter { $0.kind == .refused && $0.remotePort == port }
    #expect(told.contains { $0.peerWorkload == stage.intruder.cgroup.id.rawValue && $0.assurance == .handoff })
    #expect(told.contains { $0.peerWorkload == 0 })
    #expect(!server.isReadable)
  }

  @Test("packets of another workload with the sender's addresses do not keep the sender out", arguments: addresses)
  func ownerIsNotKeptOut(source: String, destination: String) async throws {
    let stage = try await stage()
    let server = try stage.db.run(in: stage.pair.right) { try TestSocket.bound(destination, 9001) }
    for round in 0..<16 {
      let port = UInt16(22000 + round)
      let packet = try Self.frame(source, port, destination, 9001, "not mine")
      try stage.intruder.run(in: stage.third) {
        let raw = try TestSocket.packets(Family(of: source))
        for _ in 0..<4 { try raw.send(bytes: packet, to: destination) }
      }
      try stage.web.run(in: stage.pair.left) {
        let client = try TestSocket.udp(Family(of: source))
        try client.bind(source, port)
        try client.send("mine", to: destination, 9001)
      }
      #expect(try server.receive() == "mine")
    }
    #expect(!server.isReadable)
  }

  @Test("where an address belongs to a workload, another cannot hold its ports by packets that never arrive")
  func lostOnPurpose() async throws {
    let stage = try await stage(declared: true)
    let server = try stage.db.run(in: stage.pair.right) { try TestSocket.bound("10.77.0.2", 9001) }
    try policed.sandbox.command(
      ["ip", "neigh", "replace", "10.77.0.2", "lladdr", "02:77:00:00:00:99", "dev", "sp0"], namespace: stage.third)
    let packet = try Self.frame("10.77.0.1", 23000, "10.77.0.2", 9001, "lost")
    try stage.intruder.run(in: stage.third) { _ = try TestSocket.packets().send(bytes: packet, to: "10.77.0.2") }
    let client = try stage.web.run(in: stage.pair.left) { () throws -> TestSocket in
      let client = try TestSocket.udp()
      try client.bind("10.77.0.1", 23000)
      try client.send("mine", to: "10.77.0.2", 9001)
      return client
    }
    #expect(try server.receive() == "mine")
    // While the owner sends, another is told at once that the tuple is not its own.
    let mark = try policed.mark()
    let refusal = try stage.intruder.refusal(in: stage.third) {
      try TestSocket.packets().send(bytes: packet, to: "10.77.0.2")
    }
    #expect(refusal == .notPermitted)
    let refused = policed.events.first(after: mark) { $0.kind == .refused && $0.localPort == 23000 }
    #expect(refused?.decidedBy == .sender)
    #expect(refused?.workload == stage.intruder.cgroup.id.rawValue)
    try policed.sandbox.command(
      ["ip", "neigh", "replace", "10.77.0.2", "lladdr", "02:77:00:00:00:03", "dev", "sp0"], namespace: stage.third)
    _ = client
  }

  @Test("replies are carried from who was asked, by its address or by its first reply", arguments: addresses)
  func forgedReplies(source: String, destination: String) async throws {
    for declared in [true, false] {
      let lan = Policed.network("lan", "10.77.0.0/24, fd77::/64")
      let rules = lan + Policed.outgoing("app=web", to: "network:lan", "udp/9001")
      let stage = try await stage(rules)
      _ = try await policed.workload("db", "app=db", at: declared ? ["10.77.0.2", "fd77::2"] : [])
      let server = try stage.db.run(in: stage.pair.right) { () throws -> TestSocket in
        let server = try TestSocket.udp(Family(of: destination))
        try server.setOption(1, 15, 1)
        try server.bind(destination, 9001)
        return server
      }
      let client = try stage.web.run(in: stage.pair.left) { () throws -> TestSocket in
        let client = try TestSocket.udp(Family(of: source))
        try client.bind(source)
        try client.send("question", to: destination, 9001)
        return client
      }
      let (_, sender) = try server.receiveFrom()
      try stage.db.run(in: stage.pair.right) { _ = try server.reply("answer", to: sender) }
      #expect(try client.receive() == "answer")
      let (port, mark) = (try client.localPort, try policed.mark())
      let packet = try Self.frame(destination, 9001, source, port, "forged")
      try stage.intruder.run(in: stage.pair.right) {
        try TestSocket.frames().send(frame: Self.header(to: 1, packet), through: "sp0")
      }
      try stage.db.run(in: stage.pair.right) { _ = try server.reply("more", to: sender) }
      #expect(try client.receive() == (declared ? "more" : "forged"))
      if !declared { #expect(try client.receive() == "more") }
      #expect(!client.isReadable)
      let told = try policed.told(after: mark).filter { $0.kind == .refused && $0.localPort == port }
      #expect(told.isEmpty == !declared)
    }
  }

  // MARK: What must not be lost

  @Test("segments of one send (UDP_SEGMENT) all arrive, joined or not", arguments: addresses)
  func segments(source: String, destination: String) async throws {
    let stage = try await stage()
    for joined: Int32 in [0, 1] {
      let server = try stage.db.run(in: stage.pair.right) { () throws -> TestSocket in
        let server = try TestSocket.bound(destination, 9001)
        try server.setOption(17, 104, joined)
        return server
      }
      try stage.web.run(in: stage.pair.left) {
        let client = try TestSocket.udp(Family(of: source))
        try client.setOption(17, 103, 100)
        for _ in 0..<20 {
          try client.send(String(repeating: "s", count: 1000), to: destination, 9001)
          var bytes = 0
          while bytes < 1000 { bytes += try server.receiveBytes().count }
          #expect(bytes == 1000)
        }
      }
      #expect(!server.isReadable)
    }
  }

  @Test(
    "a raw socket that gets copies takes nothing away from the socket that they are for",
    .only(on: .cgroup, because: TrafficClass.rawICMP.rawValue), arguments: addresses)
  func copies(source: String, destination: String) async throws {
    let stage = try await stage()
    let server = try stage.db.run(in: stage.pair.right) { try TestSocket.bound(destination, 9001) }
    let raw = try stage.db.run(in: stage.pair.right) { try TestSocket.rawIP(Family(of: destination), protocol: 17) }
    try stage.web.run(in: stage.pair.left) {
      let client = try TestSocket.udp(Family(of: source))
      for number in 0..<20 {
        try client.send("\(number)", to: destination, 9001)
        #expect(try server.receive() == "\(number)")
        #expect(try raw.receiveBytes().suffix("\(number)".utf8.count) == Array("\(number)".utf8)[...])
      }
    }
  }

  @Test("no packet is refused under load: two workloads, and two sockets of one on the same tuple")
  func load() async throws {
    let stage = try await stage(Policed.allowing("app=other", to: "app=db", "udp/9001"))
    let other = try await policed.workload("other", "app=other")
    let server = try stage.db.run(in: stage.pair.right) { try TestSocket.bound("10.77.0.2", 9001) }
    let before = try policed.counters()
    let flood: @Sendable (UInt16) throws -> Void = { port in
      let sockets = try (0..<2).map { _ in
        let socket = try TestSocket.udp()
        try socket.setOption(1, 15, 1)
        try socket.bind("10.77.0.1", port)
        return socket
      }
      for _ in 0..<20000 { for socket in sockets { try socket.send("x", to: "10.77.0.2", 9001) } }
    }
    async let one: Void = stage.web.run(in: stage.pair.left) { try flood(24000) }
    async let two: Void = other.run(in: stage.pair.left) { try flood(24001) }
    try await one
    try await two
    let after = try policed.counters()
    for (id, counts) in after.workloads {
      for direction in [Direction.outgoing, .incoming] {
        for reason in FlowEvent.DecidedBy.allCases {
          let former = before.workloads[id]?[direction, reason, refused: true] ?? 0
          #expect(counts[direction, reason, refused: true] == former, "\(direction) \(reason)")
        }
      }
    }
    _ = server
  }
}

extension Policed {
  /// A namespace with the addresses of `pair().left` and a wire of its own to `pair().right`, which would take what comes
  /// over it.
  fileprivate func third() throws -> NetworkNamespace {
    if let known = Self.thirds.withLock({ $0[ObjectIdentifier(self)] }) { return known }
    let (right, third) = (try pair().right, try makeNamespace())
    let run: ([String], NetworkNamespace) throws -> Void = { try self.sandbox.command($0, namespace: $1) }
    try run(["ip", "link", "add", "sp0", "type", "veth", "peer", "name", "sp1", "netns", right.path.string], third)
    try run(["ip", "link", "set", "sp1", "address", "02:77:00:00:00:03", "up"], right)
    for name in ["all", "sp1"] { try run(["sysctl", "-qw", "net.ipv4.conf.\(name).rp_filter=0"], right) }
    for address in ["10.77.0.1/24", "fd77::1/64"] {
      try run(["ip", "addr", "add", address, "dev", "sp0"] + (address.contains(":") ? ["nodad"] : []), third)
    }
    try run(["ip", "link", "set", "sp0", "up"], third)
    for address in ["10.77.0.2", "fd77::2"] {
      try run(["ip", "neigh", "replace", address, "lladdr", "02:77:00:00:00:03", "dev", "sp0"], third)
    }
    Self.thirds.withLock { $0[ObjectIdentifier(self)] = third }
    return third
  }

  fileprivate static let thirds = Mutex<[ObjectIdentifier: NetworkNamespace]>([:])
}
