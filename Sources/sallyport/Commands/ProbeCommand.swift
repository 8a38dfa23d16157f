// `sallyport probe`: what the kernel answers to one connection attempt, or to every program of this binary.
internal import ArgumentParser
internal import Kernel
internal import Policy

struct ProbeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "probe",
    abstract: "Try one TCP connection and print the kernel's answer, or load every program of this binary.",
    discussion: """
      Run it where the question is: `sallyport exec --label app=web -- sallyport probe 10.0.0.5 443`. Ends with 0 if \
      the connection was made and with 1 if it was not: EPERM is a refusal by policy at this end, ETIMEDOUT mostly \
      one at the other end.

      With --programs: loads each program of this binary, with fewer and fewer optional features until the kernel \
      takes them, says why not or at what cost to the verifier, and leaves nothing in the kernel. Ends with 0 if an \
      agent could use every object in some way.
      """)

  @Argument(help: "The address, IPv4 or IPv6, or ADDRESS:PORT.") var address: String?
  @Argument(help: "The TCP port.") var port: UInt16?
  @Option(help: "How long to wait, in milliseconds.") var timeout: Int32 = 2000
  @Option(help: "How often to try; the fastest answer is printed.") var tries = 1
  @Flag(help: "Try the embedded BPF programs on this kernel instead.") var programs = false
  @Flag(help: "With --programs: also try what is left when the programs have loaded.") var all = false
  @OptionGroup var options: OutputOptions

  func validate() throws {
    guard (1...10_000).contains(tries) else { throw ValidationError("--tries must be between 1 and 10000") }
    guard timeout > 0 else { throw ValidationError("--timeout must be above 0") }
    switch (programs, address, port) {
    case (true, nil, _), (false, _?, _?): break
    case (false, let both?, nil) where (try? WhyReader.address(both))??.1 != nil: break
    case (true, _, _): throw ValidationError("--programs goes without an address")
    case (false, _, _): throw ValidationError("name an address and a port, or --programs")
    }
    guard programs || (options.output == .table && !all) else {
      throw ValidationError("--output and --all are for --programs")
    }
  }

  func run() throws {
    guard let address else { return try probePrograms() }
    guard let (destination, own) = try WhyReader.address(address), let port = port ?? own else {
      throw Failure(
        "\(address.debugDescription) is not an IP address", remedy: "write 10.0.0.1 or 2001:db8::1", status: .usage)
    }
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
