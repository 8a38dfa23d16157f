// A workload of the probe's own: a process in a labelled cgroup, and the sockets that it makes.
internal import Glibc
internal import Kernel
internal import Synchronization
internal import SystemPackage

/// A process in one cgroup; it makes sockets in the namespaces that it is told.
final class Speaker: Sendable {
  /// Where it lives.
  let cgroup: CgroupDirectory
  /// Where it runs; nil if that could not be said.
  let cpu: Int32?
  private let process: ErrandProcess
  private let place = Mutex<NetworkNamespace.Identity?>(nil)

  /// Starts it; all speakers run on one CPU, so that what they send on one path arrives in the order it was sent.
  init(in cgroup: CgroupDirectory, cpu: Int32?) throws {
    self.cgroup = cgroup
    process = try ErrandProcess.start(in: cgroup)
    // Where it may not be pinned, only the order is at stake, and settling takes care of most of that.
    self.cpu = try? process.stay(onCPU: cpu)
  }

  /// Moves it to another cgroup: its sockets stay whose they were.
  func move(to other: CgroupDirectory) throws { try process.move(to: other) }

  /// The process, held.
  func handle() throws -> ProcessHandle { try ProcessHandle.open(process.id) }

  /// Ends it.
  func stop() { process.stop() }

  /// Makes a socket.
  ///
  /// - Throws: `Absent` if the kernel has no such sockets.
  func socket(_ family: Family, _ type: SocketType, _ number: Int32 = 0, in namespace: NetworkNamespace) throws -> Voice
  {
    try socket(number: family.rawValue, type, number, family, in: namespace)
  }

  private func socket(
    number domain: Int32, _ type: SocketType, _ number: Int32, _ family: Family, in namespace: NetworkNamespace
  ) throws -> Voice {
    try enter(namespace)
    do throws(Errno) {
      let made = try process.socket(family: domain, type: type.rawValue, protocol: number)
      return Voice(process, made.handle, ProbeSocket(adopting: made.raw, family: family))
    } catch {
      guard Self.meansAbsent(error) else { throw error }
      throw Absent(reason: "socket(): \(KernelError.describe(error))")
    }
  }

  /// A packet socket: what is written to it are frames.
  ///
  /// - Throws: `Absent` if the kernel has none.
  func packetSocket(in namespace: NetworkNamespace) throws -> Voice {
    try socket(number: AF_PACKET, .raw, 0, .ipv4, in: namespace)
  }

  /// A datagram socket of the Unix family.
  func unixSocket(in namespace: NetworkNamespace) throws -> Voice {
    try socket(number: AF_UNIX, .datagram, 0, .ipv4, in: namespace)
  }

  /// A listening TCP socket (or one of a protocol that is used in the same way).
  func listener(_ address: String, _ port: UInt16, _ number: Int32 = 0, in namespace: NetworkNamespace) throws -> Voice
  {
    let voice = try socket(Family(of: address), .stream, number, in: namespace)
    try voice.socket.bind(address, port)
    try voice.socket.startListening()
    return voice
  }

  /// A bound UDP socket (or one of a protocol that is used in the same way).
  func receiver(_ address: String, _ port: UInt16, _ number: Int32 = 0, in namespace: NetworkNamespace) throws -> Voice
  {
    let voice = try socket(Family(of: address), .datagram, number, in: namespace)
    try voice.socket.bind(address, port)
    return voice
  }

  /// Takes over a socket that another made: the same socket, used by this process.
  func take(_ voice: Voice) throws -> Voice {
    Voice(process, try process.take(voice.socket.descriptor), voice.socket)
  }

  private func enter(_ namespace: NetworkNamespace) throws(Errno) {
    let isThere = place.withLock { $0 == namespace.identity }
    if isThere { return }
    try process.enter(namespace)
    place.withLock { $0 = namespace.identity }
  }

  private static func meansAbsent(_ errno: Errno) -> Bool {
    [EPROTONOSUPPORT, ESOCKTNOSUPPORT, EAFNOSUPPORT, ENOPROTOOPT].contains(errno.rawValue)
  }
}

/// The types of socket(2).
enum SocketType: Int32 {
  case stream = 1
  case datagram = 2
  case raw = 3
}

/// A socket, and the process that speaks through it.
final class Voice: Sendable {
  /// The same socket in this process: whoever receives, binds or waits is asked nothing.
  let socket: ProbeSocket
  private let process: ErrandProcess
  private let handle: ErrandProcess.Handle

  init(_ process: ErrandProcess, _ handle: ErrandProcess.Handle, _ socket: ProbeSocket) {
    self.process = process
    self.handle = handle
    self.socket = socket
  }

  deinit { try? process.close(handle) }

  /// Begins to connect; the error that connect() gave, nil if it is done or under way.
  func connect(_ address: String, _ port: UInt16) throws -> Errno? {
    let name = try socketAddress(socket.family, address, port)
    return Self.refusal { () throws(Errno) in try process.connect(handle, name) }
  }

  /// Sends to an address; the error that the kernel gave.
  func send(_ bytes: [UInt8], to address: String, _ port: UInt16 = 0, flags: Int32 = 0) throws -> Errno? {
    let name = try socketAddress(socket.family, address, port)
    return Self.refusal { () throws(Errno) in try process.send(handle, bytes, to: name, flags: flags) }
  }

  /// Sends on a connected socket, or to a name that is given as it is.
  func send(_ bytes: [UInt8], name: [UInt8] = []) -> Errno? {
    Self.refusal { () throws(Errno) in try process.send(handle, bytes, to: name) }
  }

  private static func refusal(_ body: () throws(Errno) -> Void) -> Errno? {
    do throws(Errno) { try body() } catch { return error == .nowInProgress ? nil : error }
    return nil
  }
}
