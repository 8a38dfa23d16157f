// Asking the running agent for something.
internal import Enforcement
internal import Kernel
internal import SystemPackage

/// The client's end of the control socket.
struct ControlClient {
  /// The longest line that either side accepts: a policy of 128 MiB, and what JSON makes of its line ends and quotes.
  static let lineLimit = 192 << 20

  /// The agent's state directory.
  let state: FilePath

  /// Sends one request and waits for its answer, up to so many seconds: an agent may be stopped.
  ///
  /// - Throws: a `Failure` that says whether there is no agent, no permission, or a refusal.
  func ask(_ request: ControlRequest, within limit: Int? = nil) throws -> ControlResponse {
    let seconds = limit ?? (request.verb == .status ? 5 : 120)
    let path = state.appending("control.sock")
    let response: ControlResponse
    do {
      let socket = try LocalSocket.connect(to: path, within: seconds)
      try socket.send(try Document.line(request) + [UInt8(ascii: "\n")])
      guard let line = try socket.receiveLine(limit: Self.lineLimit) else {
        throw Failure("the agent at \(state) closed the connection", remedy: "see the agent's log")
      }
      response = try Document.read(ControlResponse.self, from: line)
    } catch let error as KernelError {
      throw Self.failure(error, state, seconds)
    }
    if let error = response.error { throw Failure(error, remedy: response.remedy ?? "") }
    return response
  }

  private static func failure(_ error: KernelError, _ state: FilePath, _ seconds: Int) -> Failure {
    switch error.errno {
    case .noSuchFileOrDirectory, .connectionRefused:
      Failure(
        "no agent is running with the state directory \(state)",
        remedy: "start one with `sallyport run`, or name its state directory with --state", status: .notEnforcing)
    case .permissionDenied, .notPermitted:
      Failure.denied(error)
    case .wouldBlock, .resourceTemporarilyUnavailable, .timedOut:
      Failure(
        "ask the agent at \(state): no answer within \(seconds) s",
        remedy: StateDirectory(state.string).holder.map {
          "look whether process \($0) is stopped: `ps -o stat= -p \($0)`"
        }
          ?? "try again", status: .notEnforcing)
    default: Failure("\(error)")
    }
  }
}
