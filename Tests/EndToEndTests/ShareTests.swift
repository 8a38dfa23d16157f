// What one workload, or those who call it, can take of what is finite: its own share, and nothing of anybody else's.
internal import BPF
internal import CDatapath
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("A share for everyone", .serialized, .requires(.policing), .policed)
struct ShareTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  /// Calls `body` as if others left room for `free` conversations: a small flood is then as good as a large one.
  private func with<T>(free: Int, _ body: () async throws -> T) async throws -> T {
    let pool = try BPFMap<UInt32, sp_pool>.pinned("\(policed.datapath.pins)/maps/sp_pool")
    let programs = try pool.value(for: UInt32(SP_POOL_PROGRAMS))?.held ?? 0
    let before = try pool.value(for: UInt32(SP_POOL_AGENT)) ?? sp_pool()
    var crowded = before
    crowded.removed = programs &- UInt64(Int(SP_CONVS) - free)
    try pool.set(crowded, for: UInt32(SP_POOL_AGENT))
    try pool.set(sp_pool(), for: UInt32(SP_POOL_TOP))
    let result: Result<T, any Error>
    do { result = .success(try await body()) } catch { result = .failure(error) }
    try pool.set(before, for: UInt32(SP_POOL_AGENT))
    return try result.get()
  }

  private func held(_ thread: PolicedThread, _ direction: Direction) throws -> Int {
    let shares = try policed.counters().conversations
    return shares.first { $0.workload == thread.cgroup.id && $0.direction == direction }?.held ?? 0
  }

  private func evicted(_ thread: PolicedThread, _ direction: Direction) throws -> UInt64 {
    try policed.counters().workloads[thread.cgroup.id]?.evicted(direction) ?? 0
  }

  private static func flood(_ socket: TestSocket, _ range: Range<Int>) throws {
    for number in range { try socket.send("x", to: "127.9.\(number >> 8).\(number & 255)", 9001) }
  }

  @Test("a flood of conversations by one workload ends its own oldest; others begin and go on")
  func ownFlood() async throws {
    let greedy = try await policed.workload("greedy1", "app=greedy1")
    let (guest, db) = (try await policed.workload("guest", "app=guest"), try await policed.workload("db", "app=db"))
    try await policed.apply(
      Policed.outgoing("app=greedy1", to: "any", "udp/9001") + Policed.allowing("app=guest", to: "app=db", "udp/9002"))
    let server = try db.run { try TestSocket.bound("127.0.0.1", 9002) }
    let client = try guest.run {
      let client = try TestSocket.udp()
      try client.send("before", to: "127.0.0.1", 9002)
      return client
    }
    let caller = try server.receiveFrom().sender
    let full = try policed.counters().statistics.conversationsFull
    try await with(free: 2000) {
      try greedy.run { try Self.flood(try TestSocket.udp(), 0..<4000) }
      // Of 2,000 that were free half: as many as are free now.
      let taken = try held(greedy, .outgoing)
      #expect(taken > 900 && taken < 1100)
      try db.run { _ = try server.reply("answer", to: caller) }
      #expect(try client.receive() == "answer")
      for round in 0..<20 {
        let fresh = try guest.run {
          let fresh = try TestSocket.udp()
          try fresh.send("\(round)", to: "127.0.0.1", 9002)
          return fresh
        }
        let (text, sender) = try server.receiveFrom()
        #expect(text == "\(round)")
        try db.run { _ = try server.reply("to \(round)", to: sender) }
        #expect(try fresh.receive() == "to \(round)")
      }
    }
    #expect(try evicted(greedy, .outgoing) >= 2900)
    #expect(try evicted(guest, .outgoing) == 0)
    #expect(try evicted(db, .incoming) == 0)
    #expect(try policed.counters().statistics.conversationsFull == full)
  }

  @Test("three that take all they can leave a quarter of what was free, whoever came first")
  func severalFloods() async throws {
    let greedy = [
      try await policed.workload("many1", "app=many1"), try await policed.workload("many2", "app=many2"),
      try await policed.workload("many3", "app=many3"),
    ]
    try await policed.apply(
      (1...3).map { Policed.outgoing("app=many\($0)", to: "any", "udp/9001") }.joined())
    try await with(free: 2000) {
      for round in 0..<4 {
        for thread in greedy {
          try thread.run { try Self.flood(try TestSocket.udp(), round * 2000..<round * 2000 + 2000) }
        }
      }
      let taken = try greedy.map { try held($0, .outgoing) }
      #expect(taken.allSatisfy { $0 > 350 && $0 < 750 }, "\(taken)")
      #expect(taken.reduce(0, +) < 1700, "\(taken)")
    }
  }

  @Test("a flood at a server's port ends conversations that others began, and none of its own; the latest is answered")
  func floodFromOutside() async throws {
    let (web, db) = (try await policed.workload("web", "app=web"), try await policed.workload("db2", "app=db2"))
    try await policed.apply(
      Policed.allowing("app=web", to: "app=db2", "udp/9001") + Policed.allowing("app=db2", to: "app=web", "udp/9003"))
    let other = try web.run { try TestSocket.bound("127.0.0.1", 9003) }
    let own = try db.run {
      let own = try TestSocket.udp()
      try own.send("question", to: "127.0.0.1", 9003)
      return own
    }
    let asker = try other.receiveFrom().sender
    let server = try db.run { try TestSocket.bound("127.0.0.1", 9001) }
    try await with(free: 1000) {
      try web.run { for _ in 0..<2000 { try TestSocket.udp().send("x", to: "127.0.0.1", 9001) } }
      while (try? server.receive(within: 0)) != nil {}
      let last = try web.run {
        let last = try TestSocket.udp()
        try last.send("last", to: "127.0.0.1", 9001)
        return last
      }
      try web.run { _ = try other.reply("answer", to: asker) }
      #expect(try own.receive() == "answer")
      let (text, name) = try server.receiveFrom()
      #expect(text == "last")
      try db.run { _ = try server.reply("answer to the last", to: name) }
      #expect(try last.receive() == "answer to the last")
    }
    #expect(try evicted(db, .incoming) > 0)
    #expect(try evicted(db, .outgoing) == 0)
  }

  @Test("a socket's flood leaves conversations of the same workload's other sockets alone")
  func lanes() async throws {
    let (web, db) = (try await policed.workload("web2", "app=web2"), try await policed.workload("db", "app=db"))
    try await policed.apply(
      Policed.outgoing("app=web2", to: "any", "udp/9001") + Policed.allowing("app=web2", to: "app=db", "udp/9004"))
    let server = try db.run { try TestSocket.bound("127.0.0.1", 9004) }
    let clients = try web.run { try (0..<8).map { _ in try TestSocket.bound("127.0.0.1", 0) } }
    try web.run { for client in clients { try client.send("x", to: "127.0.0.1", 9004) } }
    let callers = try clients.map { _ in try server.receiveFrom().sender }
    let ports = try clients.map { try $0.localPort }
    let talks = try BPFMap<sp_conv_key, sp_conv>.pinned("\(policed.datapath.pins)/maps/sp_convs")
    func lanes(_ port: UInt16) throws -> [UInt16: UInt8] {
      var found: [UInt16: UInt8] = [:]
      for (key, talk) in try talks.entries()
      where talk.owner == web.cgroup.id.rawValue && talk.direction == .SP_OUTGOING
        && key.remote_port == port.bigEndian
      {
        found[UInt16(bigEndian: talk.local_port)] = talk.lane
      }
      return found
    }
    try await with(free: 600) {
      let flood = try web.run {
        let flood = try TestSocket.bound("127.0.0.1", 0)
        try Self.flood(flood, 0..<1500)
        return flood
      }
      let crowded = try #require(try lanes(9001)[try flood.localPort])
      let others = try lanes(9004)
      // Two sockets may share a lane: those in another one than the flood's must all be there.
      #expect(others.count { $0.value != crowded } >= 1)
      for (client, port) in zip(clients, ports) where others[port].map({ $0 != crowded }) ?? false {
        let caller = try #require(callers.first { Array($0[2..<4]) == [UInt8(port >> 8), UInt8(port & 255)] })
        try db.run { _ = try server.reply("still", to: caller) }
        #expect(try client.receive() == "still")
      }
      #expect(others.count >= 4)
    }
    #expect(try evicted(web, .outgoing) > 1000)
  }

  @Test("a flood of records by one workload loses its own, counted as its own; those of others are told")
  func records() async throws {
    let (loud, quiet) = (
      try await policed.workload("loud", "app=loud"), try await policed.workload("quiet", "app=quiet")
    )
    try await policed.apply(Policed.outgoing("app=loud", to: "app=quiet", "tcp/1"))
    let mark = try policed.mark()
    policed.pauseEvents()
    try loud.run {
      let socket = try TestSocket.udp()
      for number in 0..<26000 {
        _ = try? socket.send("x", to: "127.0.0.1", UInt16(20000 + number))
      }
    }
    try quiet.run {
      let socket = try TestSocket.udp()
      for number in 0..<500 { _ = try? socket.send("x", to: "127.0.0.1", UInt16(20000 + number)) }
    }
    let counters = try policed.counters()
    try policed.resumeEvents()
    #expect(counters.workloads[loud.cgroup.id]?.recordsLost ?? 0 > 5000)
    #expect(counters.workloads[quiet.cgroup.id]?.recordsLost == 0)
    let told = try policed.told(after: mark).filter { $0.kind == .refused && $0.protocol == .udp }
    #expect(told.count { $0.workload == quiet.cgroup.id.rawValue } == 500)
    #expect(told.count { $0.workload == loud.cgroup.id.rawValue } > 5000)
  }

  @Test("connections of others are made while one workload floods with connects that are refused")
  func connects() async throws {
    let (web, db) = (try await policed.workload("web", "app=web"), try await policed.workload("db", "app=db"))
    let rude = try await policed.workload("rude", "app=rude")
    try await policed.apply(
      Policed.allowing("app=web", to: "app=db", "tcp/9005") + Policed.outgoing("app=rude", to: "app=db", "tcp/9006"))
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9005) }
    let closed = try db.run { try TestSocket.listening("127.0.0.1", 9006) }
    let load = try Background { progress in
      var tried = 0
      while progress.next() {
        try rude.run {
          for _ in 0..<100 {
            _ = try? TestSocket.tcp().connect("127.0.0.1", 9005, within: 1)
            _ = try? TestSocket.tcp().startConnect("127.0.0.1", 9006)
          }
        }
        tried += 200
      }
      return tried
    }
    for _ in 0..<100 {
      let client = try web.run {
        let client = try TestSocket.tcp()
        try client.connect("127.0.0.1", 9005)
        return client
      }
      let accepted = try listener.accept()
      try db.run { _ = try accepted.send("hello") }
      #expect(try client.receive() == "hello")
    }
    #expect(try load.finish() > 0)
    #expect(!closed.isReadable)
  }
}
