// What floods by one workload do to another that asks, connects and streams: in CI a short look, by scripts/floods a table.
internal import Enforcement
internal import Glibc
internal import Kernel
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Floods beside a quiet workload", .serialized, .requires(.policing), .policed)
struct ShareFloodTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  /// Seconds that each flood lasts: 1 in CI.
  private static var seconds: Int { unsafe getenv("SALLYPORT_FLOODS").flatMap { unsafe Int(String(cString: $0)) } ?? 1 }

  enum Flood: String, CaseIterable, Sendable {
    case none, udp, connects, records

    /// A hundred rounds of it, the numbers of which go on from `start`.
    func run(_ start: Int, _ socket: TestSocket) {
      for number in start..<start + 100 {
        let port = UInt16(1024 + number % 64000)
        switch self {
        case .none: _ = usleep(100)
        case .udp:
          let address = "127.\(1 + (number >> 16) & 127).\((number >> 8) & 255).\(number & 255)"
          _ = try? socket.send("x", to: address, 9001)
        case .connects: _ = try? TestSocket.tcp().startConnect("127.0.0.1", port)
        case .records: _ = try? socket.send("x", to: "127.0.0.1", port)
        }
      }
    }
  }

  private struct Tries {
    var lost = 0
    var nanoseconds: [UInt64] = []

    mutating func run(_ body: () throws -> Void) {
      let began = Clock.monotonicNanoseconds()
      do { try body() } catch { lost += 1 }
      nanoseconds.append(Clock.monotonicNanoseconds() - began)
    }

    var text: String {
      let sorted = nanoseconds.sorted()
      func shown(_ part: Double) -> String { "\(sorted[Int(Double(sorted.count - 1) * part)] / 1000)" }
      return "\(lost) of \(sorted.count) lost, \(shown(0.5)) us, p99 \(shown(0.99)) us"
    }
  }

  @Test("whatever one workload floods with, another loses no answer, connection or stream", arguments: Flood.allCases)
  func floods(flood: Flood) async throws {
    let (web, db) = (try await policed.workload("web", "app=web"), try await policed.workload("db", "app=db"))
    let rude = try await policed.workload("rude", "app=rude")
    try await policed.apply(
      Policed.allowing("app=web", to: "app=db", "udp/9002") + Policed.allowing("app=web", to: "app=db", "tcp/9005")
        + Policed.outgoing("app=rude", to: "any", "udp/9001"))
    let (answers, listener) = try db.run {
      (try TestSocket.bound("127.0.0.1", 9002), try TestSocket.listening("127.0.0.1", 9005))
    }
    let stream = try web.run {
      let stream = try TestSocket.tcp()
      try stream.connect("127.0.0.1", 9005)
      return stream
    }
    let served = try listener.accept()
    let load = try Background { progress in
      let socket = try rude.run { try TestSocket.udp() }
      var start = 0
      while progress.next() {
        let first = start
        try rude.run { flood.run(first, socket) }
        start += 100
      }
      return start
    }
    var (asked, connected, streamed) = (Tries(), Tries(), Tries())
    let end = Clock.monotonicNanoseconds() + UInt64(Self.seconds) * 1_000_000_000
    while Clock.monotonicNanoseconds() < end {
      asked.run {
        let client = try web.run {
          let client = try TestSocket.udp()
          try client.send("q", to: "127.0.0.1", 9002)
          return client
        }
        let sender = try answers.receiveFrom().sender
        try db.run { _ = try answers.reply("a", to: sender) }
        guard try client.receive() == "a" else { throw Errno.ioError }
      }
      connected.run {
        try web.run { try TestSocket.tcp().connect("127.0.0.1", 9005) }
        _ = try listener.accept()
      }
      streamed.run {
        try web.run { _ = try stream.send("s") }
        guard try served.receive() == "s" else { throw Errno.ioError }
      }
    }
    let rounds = try load.finish()
    #expect(asked.lost == 0 && connected.lost == 0 && streamed.lost == 0)
    #expect(asked.nanoseconds.count > 0 && rounds > 0)
    let name = flood.rawValue + String(repeating: " ", count: 9 - flood.rawValue.count)
    print("flood \(name) \(rounds): asked \(asked.text); connected \(connected.text); streamed \(streamed.text)")
  }
}
