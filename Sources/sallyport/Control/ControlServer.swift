// The agent's end of the control socket: one thread accepts and reads, the agent answers.
internal import Glibc
internal import Kernel
internal import Logging
internal import Synchronization
internal import SystemPackage

/// A request that waits for its answer.
final class ControlCall: Sendable {
  let request: ControlRequest
  private let socket: LocalSocket

  fileprivate init(request: ControlRequest, socket: consuming LocalSocket) {
    self.request = request
    self.socket = socket
  }

  /// Answers; who asked may have gone, which is its own affair.
  func answer(_ response: ControlResponse) {
    guard let line = try? Document.line(response) else { return }
    try? socket.send(line + [UInt8(ascii: "\n")])
  }
}

/// Listens at `STATE/control.sock`.
///
/// Every client has a thread of its own, up to a bound: none waits for another that is slow. Only root and the agent's own user are heard: the socket's mode says so, and SO_PEERCRED is checked as well, since
/// a descriptor may have been handed on.
struct ControlServer {
  /// How long a client may be silent.
  private static let patience = 2
  /// How long all of a request may take: a policy of 64 MiB takes less.
  private static let longest = 30
  /// How many clients are heard at once; more are turned away.
  private static let most = 64

  /// Starts to listen on a thread that ends with the process; calls arrive in the stream.
  static func start(at path: FilePath, logger: Logger) throws -> AsyncStream<ControlCall> {
    let (stream, continuation) = AsyncStream.makeStream(of: ControlCall.self)
    let listener = Listener(try LocalSocket.listen(at: path))
    let owner = geteuid()
    _ = try DedicatedThread.start("sp-control") {
      while true {
        do {
          let socket = try listener.socket.accept()
          let peer = try socket.peer()
          guard peer.uid == 0 || peer.uid == owner else {
            logger.warning("control socket: refused pid \(peer.pid) of uid \(peer.uid)")
            continue
          }
          try socket.setTimeout(seconds: patience)
          guard listener.enter() else {
            logger.warning("control socket: turned away pid \(peer.pid): \(most) others are being heard")
            continue
          }
          let client = Client(socket)
          _ = try DedicatedThread.start("sp-client") {
            defer { listener.leave() }
            do {
              if let call = try client.request() { continuation.yield(call) }
            } catch {
              logger.warning("control socket: \(error)")
            }
          }
        } catch {
          logger.warning("control socket: \(error)")
        }
      }
    }
    return stream
  }

  private final class Listener: Sendable {
    let socket: LocalSocket
    private let clients = Atomic<Int>(0)

    init(_ socket: consuming LocalSocket) { self.socket = socket }

    /// Whether one more client may be heard.
    func enter() -> Bool {
      guard clients.add(1, ordering: .relaxed).newValue > most else { return true }
      leave()
      return false
    }

    func leave() { clients.subtract(1, ordering: .relaxed) }
  }

  /// One that has connected and not asked yet.
  private final class Client: Sendable {
    private let socket: Mutex<LocalSocket?>

    init(_ socket: consuming LocalSocket) { self.socket = Mutex(socket) }

    /// Reads what it asks; nil if it goes without.
    func request() throws -> ControlCall? {
      guard let socket = socket.withLock({ $0.take() }),
        let line = try socket.receiveLine(limit: ControlClient.lineLimit, within: longest)
      else { return nil }
      return ControlCall(request: try Document.read(ControlRequest.self, from: line), socket: socket)
    }
  }
}
