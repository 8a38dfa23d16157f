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
  /// On the port that policy refuses.
  private let forbiddenListener: OwnedDescriptor
  private let forbiddenDatagrams: OwnedDescriptor

  /// A port that policy refuses, with sockets.
  static let forbiddenPort: UInt16 = 9
  /// One where nobody listens, and which no policy names.
  static let deafPort: UInt16 = 8

  /// Makes the server's sockets in the cgroup in which the process is now.
  init() throws(KernelError) {
    listener = try Self.socket(SOCK_STREAM)
    try Self.bind(listener.raw)
    try Self.enlarge(listener.raw)
    try check(listen(listener.raw, 16) < 0 ? -errno : 0, "listen", "loopback")
    datagrams = try Self.socket(SOCK_DGRAM)
    try Self.bind(datagrams.raw)
    port = try Self.localPort(listener.raw)
    datagramPort = try Self.localPort(datagrams.raw)
    forbiddenListener = try Self.socket(SOCK_STREAM)
    try Self.bind(forbiddenListener.raw, Self.forbiddenPort)
    try check(listen(forbiddenListener.raw, 16) < 0 ? -errno : 0, "listen", "loopback")
    forbiddenDatagrams = try Self.socket(SOCK_DGRAM)
    try Self.bind(forbiddenDatagrams.raw, Self.forbiddenPort)
  }

  /// Whether a connection to the forbidden port, and a datagram to it, come through.
  func tryForbidden() throws(KernelError) -> (connection: Bool, datagram: Bool) {
    let client = try Self.socket(SOCK_STREAM)
    let connected = try Self.comesThrough(client.raw, Self.forbiddenPort)
    if connected { drop(OwnedDescriptor(adopting: try forbiddenListener.accept())) }
    let sender = try Self.socket(SOCK_DGRAM)
    try Self.bind(sender.raw)
    try Self.connect(datagrams.raw, try Self.localPort(sender.raw))
    do throws(KernelError) { try Self.sendTo(sender.raw, Self.forbiddenPort, 1) } catch {
      guard error.errno == .notPermitted else { throw error }
    }
    // What is sent after it has arrived: so has it, or it was dropped.
    try Self.sendTo(sender.raw, datagramPort, 64)
    try Self.receive(datagrams.raw, 64)
    return (connected, Self.takeWaiting(forbiddenDatagrams.raw))
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
      let port = try tryForbidden().connection ? Self.deafPort : Self.forbiddenPort
      return try timed(count) { () throws(KernelError) in
        let client = try Self.socket(SOCK_STREAM)
        guard try !Self.comesThrough(client.raw, port) else {
          throw KernelError("expect refusal of", "127.0.0.1:\(port)", .canceled)
        }
      }
    }
  }

  /// Ten units unmeasured, so that conversations and caches are warm, then the rest.
  private func timed(_ count: Int, _ unit: () throws(KernelError) -> Void) throws(KernelError) -> Elapsed {
    for _ in 0..<10 { try unit() }
    let cpu = threadNanoseconds()
    let wall = Clock.monotonicNanoseconds()
    for _ in 0..<count { try unit() }
    return Elapsed(wall: Clock.monotonicNanoseconds() - wall, cpu: threadNanoseconds() - cpu)
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

private func drop(_ descriptor: consuming OwnedDescriptor) {}

/// What a batch took, in nanoseconds.
struct Elapsed: Sendable {
  let wall: UInt64
  /// Of the thread: the kernel's work for loopback traffic is done by the sender.
  let cpu: UInt64
}

private func threadNanoseconds() -> UInt64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
