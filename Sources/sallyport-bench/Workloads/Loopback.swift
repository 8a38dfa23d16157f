// Sockets on the loopback interface and the units of work that are measured on them, all by one thread.

internal import Glibc
internal import Kernel
internal import SystemPackage

/// Listening sockets, made in one cgroup; the other ends are made by whoever runs a load, in another cgroup.
final class Loopback {
  private let listener: OwnedDescriptor
  private let datagrams: OwnedDescriptor
  private let port: UInt16
  private let datagramPort: UInt16
  /// On the port that policy refuses; nil if another process of this namespace has them.
  private let forbidden: Forbidden?
  /// Counts instructions, where the machine can.
  private let counter = HeldCounter()

  /// A port that policy refuses, with sockets.
  static let forbiddenPort: UInt16 = 9
  /// One where nobody listens, and which no policy names.
  static let deafPort: UInt16 = 8

  /// Makes the server's sockets in the cgroup in which the process is now.
  init(isAlone: Bool) throws(KernelError) {
    listener = try Self.socket(SOCK_STREAM)
    try Self.bind(listener.raw)
    try Self.enlarge(listener.raw)
    try check(listen(listener.raw, 16) < 0 ? -errno : 0, "listen", "loopback")
    datagrams = try Self.socket(SOCK_DGRAM)
    try Self.bind(datagrams.raw)
    port = try Self.localPort(listener.raw)
    datagramPort = try Self.localPort(datagrams.raw)
    forbidden = isAlone ? try Forbidden() : nil
  }

  /// Sockets on the port that policy refuses.
  private final class Forbidden {
    let listener: OwnedDescriptor
    let datagrams: OwnedDescriptor

    init() throws(KernelError) {
      listener = try Loopback.socket(SOCK_STREAM)
      try Loopback.bind(listener.raw, Loopback.forbiddenPort)
      try check(listen(listener.raw, 16) < 0 ? -errno : 0, "listen", "loopback")
      datagrams = try Loopback.socket(SOCK_DGRAM)
      try Loopback.bind(datagrams.raw, Loopback.forbiddenPort)
    }
  }

  /// Whether a connection to an allowed port, and a datagram there and one back, come through.
  func tryAllowed() -> (connection: Bool, datagram: Bool) {
    var (connected, answered) = (true, true)
    do throws(KernelError) { _ = try run(.tcpPingPong, 1) } catch { connected = false }
    do throws(KernelError) { _ = try run(.udpPingPong, 1) } catch { answered = false }
    return (connected, answered)
  }

  /// Whether a connection to the forbidden port, and a datagram to it, come through.
  func tryForbidden() throws(KernelError) -> (connection: Bool, datagram: Bool) {
    guard let forbidden else { throw KernelError("try the forbidden port from", "a second worker", .invalidArgument) }
    let client = try Self.socket(SOCK_STREAM)
    let connected = try Self.comesThrough(client.raw, Self.forbiddenPort)
    if connected { drop(OwnedDescriptor(adopting: try forbidden.listener.accept())) }
    let sender = try Self.socket(SOCK_DGRAM)
    try Self.bind(sender.raw)
    try Self.connect(datagrams.raw, try Self.localPort(sender.raw))
    do throws(KernelError) { try Self.sendTo(sender.raw, Self.forbiddenPort, 1) } catch {
      guard error.errno == .notPermitted else { throw error }
    }
    // What is sent after it has arrived: so has it, or it was dropped.
    try Self.sendTo(sender.raw, datagramPort, 64)
    try Self.receive(datagrams.raw, 64)
    return (connected, Self.takeWaiting(forbidden.datagrams.raw))
  }

  /// Does `count` units of work and says what they took together.
  func run(_ load: Load, _ count: Int) throws(KernelError) -> Elapsed {
    switch load {
    case .connect:
      return try timed(count) { () throws(KernelError) in
        try self.connection().close()
      }
    case .tcpPingPong:
      let pair = try connection()
      return try timed(count) { () throws(KernelError) in
        try Self.exchange(pair.client.raw, pair.server.raw, 1)
        try Self.exchange(pair.server.raw, pair.client.raw, 1)
      }
    case .stream:
      let pair = try connection()
      return try timed(count) { () throws(KernelError) in
        try Self.exchange(pair.client.raw, pair.server.raw, 65_536)
      }
    case .udpPingPong:
      let client = try Self.socket(SOCK_DGRAM)
      try Self.bind(client.raw)
      try Self.connect(datagrams.raw, try Self.localPort(client.raw))
      try Self.connect(client.raw, datagramPort)
      return try timed(count) { () throws(KernelError) in
        try Self.exchange(client.raw, self.datagrams.raw, 64)
        try Self.exchange(self.datagrams.raw, client.raw, 64)
      }
    case .udpSendTo:
      let client = try Self.socket(SOCK_DGRAM)
      try Self.bind(client.raw)
      try Self.connect(datagrams.raw, try Self.localPort(client.raw))
      return try timed(count) { () throws(KernelError) in
        try Self.sendTo(client.raw, self.datagramPort, 64)
        try Self.receive(self.datagrams.raw, 64)
      }
    case .refused:
      return try timed(count) { () throws(KernelError) in
        let client = try Self.socket(SOCK_STREAM)
        try Self.expectRefusal(client.raw)
      }
    case .refusedLocally:
      // Which of the two this is depends on the contestant; a second worker asks for the port of the first.
      let isOpen = try forbidden == nil ? false : tryForbidden().connection
      let port = isOpen ? Self.deafPort : Self.forbiddenPort
      // A socket whose connect() was refused may try again: the call alone is measured.
      let client = try Self.socket(SOCK_STREAM)
      return try timed(count) { () throws(KernelError) in
        guard try !Self.comesThrough(client.raw, port) else {
          throw KernelError("expect refusal of", "127.0.0.1:\(port)", .canceled)
        }
      }
    }
  }

  // MARK: Connections that stay

  /// Connections that are kept until they are released.
  private var held: [HeldConnection] = []

  /// Makes so many more.
  func hold(_ count: Int) throws(KernelError) {
    for _ in 0..<count { held.append(HeldConnection(try connection())) }
  }

  /// How many of them nobody has ended.
  var alive: Int { held.count { $0.isAlive } }

  /// Closes them.
  func release() { held = [] }

  /// Ten units unmeasured, so that conversations and caches are warm, then the rest.
  private func timed(_ count: Int, _ unit: () throws(KernelError) -> Void) throws(KernelError) -> Elapsed {
    for _ in 0..<10 { try unit() }
    return try measured { () throws(KernelError) in for _ in 0..<count { try unit() } }
  }

  private func measured(_ work: () throws(KernelError) -> Void) throws(KernelError) -> Elapsed {
    let instructions = counter?.count
    let cpu = threadNanoseconds()
    let wall = Clock.monotonicNanoseconds()
    try work()
    let elapsed = (wall: Clock.monotonicNanoseconds() - wall, cpu: threadNanoseconds() - cpu)
    var counted: UInt64?
    if let before = instructions, let after = counter?.count { counted = after - before }
    return Elapsed(wall: elapsed.wall, cpu: elapsed.cpu, instructions: counted)
  }

  /// Sends and receives `count` datagrams, so many a second: in bursts of a millisecond, asleep in between.
  func pace(_ rate: Int, _ count: Int) throws(KernelError) -> Elapsed {
    let client = try Self.socket(SOCK_DGRAM)
    try Self.bind(client.raw)
    try Self.connect(datagrams.raw, try Self.localPort(client.raw))
    func send(_ count: Int) throws(KernelError) {
      for _ in 0..<count {
        try Self.sendTo(client.raw, datagramPort, 64)
        try Self.receive(datagrams.raw, 64)
      }
    }
    try send(10)
    return try measured { () throws(KernelError) in
      let began = Clock.monotonicNanoseconds()
      var sent = 0
      while sent < count {
        let due = Int(Double(Clock.monotonicNanoseconds() - began) * Double(rate) / 1e9) + 1
        if due > sent {
          let burst = min(due, count) - sent
          try send(burst)
          sent += burst
        } else {
          usleep(1000)
        }
      }
    }
  }

  /// A connected pair; both ends close with the values.
  private func connection() throws(KernelError) -> Connection {
    let client = try Self.socket(SOCK_STREAM)
    var one: Int32 = 1
    _ = unsafe setsockopt(client.raw, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    try Self.enlarge(client.raw)
    try Self.connect(client.raw, port)
    let accepted = accept(listener.raw, nil, nil)
    try check(accepted < 0 ? -errno : accepted, "accept", "loopback")
    _ = unsafe setsockopt(accepted, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    try Self.limitWaiting(accepted)
    return Connection(client: client, server: OwnedDescriptor(adopting: accepted))
  }
}

/// Both ends of a connection.
private struct Connection: ~Copyable {
  let client: OwnedDescriptor
  let server: OwnedDescriptor

  /// The server closes first: its end waits out the connection, and the client's port is free again at once.
  consuming func close() {
    drop(server)
    drop(client)
  }
}

/// A connection among many.
private final class HeldConnection {
  private let connection: Connection

  init(_ connection: consuming Connection) { self.connection = connection }

  /// Nothing was sent on it: whatever can be read is its end.
  var isAlive: Bool {
    var byte: UInt8 = 0
    return unsafe recv(connection.client.raw, &byte, 1, Int32(MSG_DONTWAIT)) < 0 && errno == EAGAIN
  }
}

/// A counter that may not be there.
private final class HeldCounter {
  private let counter: InstructionCounter

  init?() {
    guard let counter = InstructionCounter.ofThisThread() else { return nil }
    self.counter = counter
  }

  var count: UInt64? { counter.count }
}

private func drop(_ descriptor: consuming OwnedDescriptor) {}

/// What a batch took, in nanoseconds.
struct Elapsed: Sendable {
  let wall: UInt64
  /// Of the thread: the kernel's work for loopback traffic is done by the sender.
  let cpu: UInt64
  /// Kernel and user; nil where the machine does not count them.
  let instructions: UInt64?
}

private func threadNanoseconds() -> UInt64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
