// Real sockets that ask again and again, as fast as they can, whether a verdict is still what it was.
internal import Glibc
internal import Kernel
internal import Synchronization
internal import SystemPackage
internal import TestSupport

/// What a prober saw.
struct Probing: Sendable {
  /// How many verdicts there were.
  var verdicts = 0
  /// The wrong ones: when, on the monotonic clock in milliseconds, and what.
  var wrong: [String] = []
}

/// A process in a workload's cgroup that opens connections and conversations to a server until it is told to end.
final class TightProber: Sendable {
  private let load: Background<Probing>
  private let seen: Seen

  /// Starts at once; `isAllowed` is what every verdict must be.
  init(in cgroup: CgroupDirectory, _ namespace: NetworkNamespace, isAllowed: Bool) throws {
    let process = try ErrandProcess.start(in: cgroup)
    try process.enter(namespace)
    let seen = Seen()
    self.seen = seen
    load = try Background { progress in
      repeat {
        for kind in [Int32(SOCK_STREAM.rawValue), Int32(SOCK_DGRAM.rawValue)] {
          var problem: String?
          do { try Self.probe(process, kind) } catch { problem = "\(error)" }
          seen.probing.withLock { probing in
            probing.verdicts += 1
            guard (problem == nil) != isAllowed else { return }
            let name = kind == Int32(SOCK_STREAM.rawValue) ? "tcp" : "udp"
            probing.wrong.append("\(Clock.monotonicNanoseconds() / 1_000_000) \(name) \(problem ?? "passed")")
          }
        }
      } while progress.next()
      return seen.probing.withLock { $0 }
    }
  }

  private final class Seen: Sendable { let probing = Mutex(Probing()) }

  /// What it saw so far.
  var soFar: Probing { seen.probing.withLock { $0 } }

  /// Ends it.
  func finish() throws -> Probing { try load.finish() }

  /// One connection, or one conversation of a fresh socket, with an answer.
  private static func probe(_ process: ErrandProcess, _ kind: Int32) throws {
    let isStream = kind == Int32(SOCK_STREAM.rawValue)
    let made = try process.socket(family: AF_INET, type: kind, protocol: 0)
    let socket = TestSocket(adopting: made.raw)
    defer { try? process.close(made.handle) }
    let name = ProberServer.address(isStream ? ProberServer.stream : ProberServer.datagram)
    if isStream {
      do throws(Errno) { try process.connect(made.handle, name) } catch {
        guard error == .nowInProgress else { throw error }
      }
      try socket.finishConnect(within: 5000)
      try socket.send("x")
      guard try socket.receive(within: 5000) == "x" else { throw Errno.connectionReset }
    } else {
      try process.send(made.handle, [120], to: name)
      // A refusal at the receiver's end is silence; an answer may be late where everything else wants the processor too.
      guard try socket.receive(within: 3000) == "x" else { throw Errno.connectionReset }
    }
  }
}

/// The server that probers ask: it answers everybody whom policy lets through.
final class ProberServer: Sendable {
  static let stream: UInt16 = 6379
  static let datagram: UInt16 = 5353
  private let loads: [Background<Void>]
  private let process: ErrandProcess

  /// 127.0.0.1 and a port, as a sockaddr.
  static func address(_ port: UInt16) -> [UInt8] {
    [UInt8(AF_INET), 0, UInt8(port >> 8), UInt8(port & 255), 127, 0, 0, 1] + [UInt8](repeating: 0, count: 8)
  }

  init(in cgroup: CgroupDirectory, _ namespace: NetworkNamespace) throws {
    let process = try ErrandProcess.start(in: cgroup)
    try process.enter(namespace)
    self.process = process
    func bound(_ kind: Int32, _ port: UInt16) throws -> (handle: ErrandProcess.Handle, socket: TestSocket) {
      let made = try process.socket(family: AF_INET, type: kind, protocol: 0)
      let socket = TestSocket(adopting: made.raw)
      try socket.setOption(SOL_SOCKET, SO_REUSEADDR, 1)
      try socket.bind("127.0.0.1", port)
      return (made.handle, socket)
    }
    let listener = try bound(Int32(SOCK_STREAM.rawValue), Self.stream).socket
    try listener.startListening(backlog: 512)
    let receiver = try bound(Int32(SOCK_DGRAM.rawValue), Self.datagram)
    loads = [
      try Background { progress in
        while progress.next() {
          guard let client = try? listener.accept(within: 100) else { continue }
          if let text = try? client.receive(within: 1000) { _ = try? client.send(text) }
        }
      },
      try Background { progress in
        while progress.next() {
          guard let (text, sender) = try? receiver.socket.receiveFrom(within: 100) else { continue }
          // By the server itself: who sends counts too.
          try? process.send(receiver.handle, Array(text.utf8), to: sender)
        }
      },
    ]
  }

  func stop() throws { for load in loads { try load.finish() } }
}
