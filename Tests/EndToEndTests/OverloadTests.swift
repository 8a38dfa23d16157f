// What happens when something is full or flooded: judged still, never believed wrongly, and counted.
internal import BPF
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Full and flooded", .serialized, .requires(.policing), .policed)
struct OverloadTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private func webAndStore() async throws -> (web: PolicedThread, db: PolicedThread) {
    (try await policed.workload("web", "app=web"), try await policed.workload("db", "app=db"))
  }

  // MARK: Full

  @Test("[40] a policy that does not fit is refused with map, count and limit; the one before stays in force")
  func mapTooSmall() async throws {
    try await Policed.with(maxEntries: 64) { small in
      try await small.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000"))
      let (web, db) = (try await small.workload("web", "app=web"), try await small.workload("db", "app=db"))
      let before = await small.enforcer.snapshot.generation
      // Every second port: no two are one class.
      let many = (0..<200).map { Policed.allowing("app=web", to: "app=db", "tcp/\(10000 + 2 * $0)") }.joined()
      let error = await #expect(throws: DatapathError.self) { try await small.apply(many) }
      #expect(error?.description.contains("sp_policy") == true)
      #expect(error?.description.contains("64") == true)
      #expect(error?.remedy != nil)
      #expect(await small.enforcer.snapshot.generation == before)
      let listener = try db.run { try TestSocket.listening("127.0.0.1", 9000) }
      try web.run { try TestSocket.tcp().connect("127.0.0.1", 9000) }
      _ = try listener.accept()
      let other = try db.run { try TestSocket.listening("127.0.0.1", 10000) }
      #expect(try web.refusal { try TestSocket.tcp().connect("127.0.0.1", 10000) } == .refusedConnect)
      #expect(!other.isReadable)
    }
  }

  /// A key or value of a map as bytes.
  private struct Bytes56: BitwiseCopyable { var words: InlineArray<7, UInt64> = .init(repeating: 0) }
  private struct Bytes32: BitwiseCopyable { var words: InlineArray<4, UInt64> = .init(repeating: 0) }
  private struct Bytes128: BitwiseCopyable { var words: InlineArray<16, UInt64> = .init(repeating: 0) }
  private struct Bytes80: BitwiseCopyable { var words: InlineArray<10, UInt64> = .init(repeating: 0) }

  @Test("[40] when no conversation can be kept every packet is judged as new, and it is counted")
  func conversationsFull() async throws {
    let (web, db) = try await webAndStore()
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "udp/9001"))
    let talks = try BPFMap<Bytes32, Bytes128>.pinned("\(policed.datapath.pins)/maps/sp_convs")
    let filling = (0..<Int(talks.info.maxEntries)).map { number in
      var key = Bytes32()
      key.words[0] = .max - UInt64(number)
      return key
    }
    try talks.setAll(filling.map { ($0, Bytes128()) })
    defer { try? talks.removeAll(filling) }
    let server = try db.run { try TestSocket.bound("127.0.0.1", 9001) }
    let client = try web.run {
      let client = try TestSocket.udp()
      for _ in 0..<3 { try client.send("x", to: "127.0.0.1", 9001) }
      return client
    }
    for _ in 0..<3 { #expect(try server.receive() == "x") }
    #expect(try web.refusal { try client.send("x", to: "127.0.0.1", 9002) } == .notPermitted)
    #expect(try policed.counters().statistics.conversationsFull > 0)
  }

  @Test("[41] churn in the table of senders may make a caller unknown, never somebody else")
  func sendersChurn() async throws {
    let pair = try policed.pair()
    let (web, db) = (
      try await policed.workload("web", "app=web"), try await policed.workload("db", "app=db", at: ["10.77.0.2"])
    )
    let intruder = try await policed.workload("intruder", "app=intruder")
    try await policed.apply(
      Policed.allowing("app=web", to: "app=db", "tcp/9000") + Policed.outgoing("app=intruder", to: "any", "any"))
    let listener = try db.run(in: pair.right) { try TestSocket.listening("10.77.0.2", 9000) }
    let mark = try policed.mark()
    let senders = try BPFMap<Bytes56, Bytes80>.pinned("\(policed.datapath.pins)/maps/sp_handoffs")
    let path = "\(policed.datapath.pins)/maps/sp_handoffs"
    let churn = try Background { progress in
      let senders = try BPFMap<Bytes56, Bytes80>.pinned(path)
      var written = 0
      while progress.next() || written <= senders.info.maxEntries {
        try senders.setAll(
          (0..<4096).map { number in
            var key = Bytes56()
            key.words[0] = UInt64(written + number)
            return (key, Bytes80())
          })
        written += 4096
      }
      return written
    }
    let callers = try [web, intruder].map { thread in
      try thread.run(in: pair.left) {
        try (0..<100).map { _ in
          let caller = try TestSocket.tcp()
          try caller.startConnect("10.77.0.2", 9000)
          return caller
        }
      }
    }
    var accepted = 0
    while (try? listener.accept(within: 300)) != nil { accepted += 1 }
    #expect(try churn.finish() > Int(senders.info.maxEntries))
    #expect(accepted <= 100)
    let told = try policed.told(after: mark).filter { $0.direction == .incoming && $0.protocol == .tcp }
    #expect(told.filter { $0.kind == .open }.allSatisfy { $0.peerWorkload == web.cgroup.id.rawValue })
    for event in told where event.kind == .refused {
      #expect([0, intruder.cgroup.id.rawValue].contains(event.peerWorkload))
    }
    _ = callers
    _ = try await policed.workload("db", "app=db")
  }

  // MARK: Flood

  @Test(
    "[49] a refused flood costs a record a second per tuple and CPU, and the rest is counted",
    arguments: [
      IPProtocol.udp, .tcp,
    ])
  func flood(kind: IPProtocol) async throws {
    let (web, db) = try await webAndStore()
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/9000"))
    let listener = try db.run { try TestSocket.listening("127.0.0.1", 9999) }
    let mark = try policed.mark()
    let before = try policed.counters()
    let began = Clock.monotonicNanoseconds()
    try web.run {
      for _ in 0..<5000 {
        if kind == .udp {
          _ = try? TestSocket.udp().send("x", to: "127.0.0.1", 9999)
        } else {
          _ = try? TestSocket.tcp().connect("127.0.0.1", 9999)
        }
      }
    }
    let seconds = Int((Clock.monotonicNanoseconds() - began) / 1_000_000_000) + 1
    let told = try policed.told(after: mark).filter { $0.kind == .refused && $0.remotePort == 9999 }
    #expect(told.count >= 1)
    #expect(told.count <= (seconds + 1) * 8)
    let after = try policed.counters()
    #expect(after.statistics.recordsSuppressed - before.statistics.recordsSuppressed == UInt64(5000 - told.count))
    let refused: (DatapathCounters) -> UInt64 = {
      $0.workloads[web.cgroup.id]?[.outgoing, .default, refused: true] ?? 0
    }
    #expect(refused(after) - refused(before) == 5000)
    #expect(!listener.isReadable)
  }

  @Test(
    "[49] records that do not fit the ring are lost and counted, every one of them",
    .only(on: .cgroup, because: "it tells of no bind(), with which this test fills the ring"))
  func lostRecords() async throws {
    let (web, _) = try await webAndStore()
    try await policed.apply(Policed.allowing("app=web", to: "app=db", "tcp/1"))
    _ = try policed.mark()
    policed.pauseEvents()
    let before = try policed.counters().statistics
    try web.run {
      for _ in 0..<26000 { try TestSocket.udp().connect("127.0.0.1", 9998) }
    }
    let after = try policed.counters().statistics
    try policed.resumeEvents()
    #expect(after.recordsLost > before.recordsLost)
    #expect(after.records - before.records + after.recordsLost - before.recordsLost == 26000)
  }
}
