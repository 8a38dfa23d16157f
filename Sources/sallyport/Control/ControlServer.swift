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
/// Only root and the agent's own user are heard: the socket's mode says so, and SO_PEERCRED is checked as well, since
/// a descriptor may have been handed on.
struct ControlServer {
  /// How long a client may take to send its request: one slow client must not hold up the others for longer.
  private static let patience = 2

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
          guard let line = try socket.receiveLine(limit: ControlClient.lineLimit) else { continue }
          let request = try Document.read(ControlRequest.self, from: line)
          continuation.yield(ControlCall(request: request, socket: socket))
        } catch {
          logger.warning("control socket: \(error)")
        }
      }
    }
    return stream
  }

  private final class Listener: Sendable {
    let socket: LocalSocket
    init(_ socket: consuming LocalSocket) { self.socket = socket }
  }
}
