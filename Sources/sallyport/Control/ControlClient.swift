// Asking the running agent for something.
internal import Kernel
internal import SystemPackage

/// The client's end of the control socket.
struct ControlClient {
  /// The longest line that either side accepts: a policy of 128 MiB, and what JSON makes of its line ends and quotes.
  static let lineLimit = 192 << 20

  /// The agent's state directory.
  let state: FilePath

  /// Sends one request and waits for its answer.
  ///
  /// - Throws: a `Failure` that says whether there is no agent, no permission, or a refusal.
  func ask(_ request: ControlRequest) throws -> ControlResponse {
    let path = state.appending("control.sock")
    let response: ControlResponse
    do {
      let socket = try LocalSocket.connect(to: path)
      try socket.send(try Document.line(request) + [UInt8(ascii: "\n")])
      guard let line = try socket.receiveLine(limit: Self.lineLimit) else {
        throw Failure("the agent at \(state) closed the connection", remedy: "see the agent's log")
      }
      response = try Document.read(ControlResponse.self, from: line)
    } catch let error as KernelError {
      throw Self.failure(error, state)
    }
    if let error = response.error { throw Failure(error, remedy: response.remedy ?? "") }
    return response
  }

  private static func failure(_ error: KernelError, _ state: FilePath) -> Failure {
    switch error.errno {
    case .noSuchFileOrDirectory, .connectionRefused:
      Failure(
        "no agent is running with the state directory \(state)",
        remedy: "start one with `sallyport run`, or name its state directory with --state", status: .notEnforcing)
    case .permissionDenied, .notPermitted:
      Failure.denied(error)
    default: Failure("\(error)")
    }
  }
}
