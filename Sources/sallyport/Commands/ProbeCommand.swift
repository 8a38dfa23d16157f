// `sallyport probe`: one connection attempt, with the kernel's own answer and how long it took.
internal import ArgumentParser
internal import Kernel
internal import Policy

struct ProbeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "probe", abstract: "Try one TCP connection and say what the kernel answered, in microseconds.",
    discussion: """
      Run it where the question is: `sallyport exec --label app=web -- sallyport probe 10.0.0.5 443`. Ends with 0 if \
      the connection was made and with 1 if it was not: EPERM is a refusal by policy at this end, ETIMEDOUT mostly \
      one at the other end.
      """)

  @Argument(help: "The address, IPv4 or IPv6.") var address: String
  @Argument(help: "The TCP port.") var port: UInt16
  @Option(help: "How long to wait, in milliseconds.") var timeout: Int32 = 2000
  @Option(help: "How often to try; the fastest answer is printed.") var tries = 1

  func validate() throws {
    guard (1...10_000).contains(tries) else { throw ValidationError("--tries must be between 1 and 10000") }
    guard timeout > 0 else { throw ValidationError("--timeout must be above 0") }
  }

  func run() throws {
    let destination = try IPAddress(parsing: address)
    func attempt() throws -> ConnectionProbe.Outcome {
      try ConnectionProbe.connect(
        to: destination.bytes, isIPv4: destination.isIPv4, port: port, timeoutMilliseconds: timeout)
    }
    var outcome = try attempt()
    for _ in 1..<tries {
      let next = try attempt()
      outcome = outcome.errno != next.errno || next.microseconds < outcome.microseconds ? next : outcome
    }
    Terminal.print("\(address) \(port) \(outcome.name) \(outcome.microseconds) us")
    if !outcome.isConnected { throw ExitCode(ExitStatus.refused.rawValue) }
  }
}
