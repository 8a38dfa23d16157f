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

  func run() throws {
    let destination = try IPAddress(parsing: address)
    let outcome = try ConnectionProbe.connect(
      to: destination.bytes, isIPv4: destination.isIPv4, port: port, timeoutMilliseconds: timeout)
    Terminal.print("\(address) \(port) \(outcome.name) \(outcome.microseconds) us")
    if !outcome.isConnected { throw ExitCode(ExitStatus.refused.rawValue) }
  }
}
