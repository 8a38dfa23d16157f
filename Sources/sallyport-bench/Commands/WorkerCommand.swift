// The other process of a run: in the measured cgroups and namespace, one thread on one CPU, doing what it is told.

internal import ArgumentParser
internal import BPF
internal import Glibc
internal import Kernel
internal import SystemPackage

/// Reads one order per line and answers with one line: numbers, or `error …`.
struct WorkerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "worker", abstract: "Serves a run that started it.", shouldDisplay: false)

  func run() throws {
    var loopback: Loopback?
    // Thousands of connections may be asked for.
    var limit = rlimit()
    unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = limit.rlim_max
    unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    while let line = readLine() {
      let words = line.split(separator: " ").map(String.init)
      do {
        answer(try serve(words, &loopback))
      } catch {
        answer("error \(error)")
      }
    }
  }

  private func serve(_ words: [String], _ loopback: inout Loopback?) throws -> String {
    switch (words.first, words.count) {
    case ("listen", 1), ("listen", 2):
      loopback = try Loopback(isAlone: words.count == 1)
      return "ok"
    case ("check", 1):
      guard let loopback else { break }
      let (allowed, forbidden) = (loopback.tryAllowed(), try loopback.tryForbidden())
      return "\(allowed.connection) \(allowed.datagram) \(forbidden.connection) \(forbidden.datagram)"
    case ("hold", 2):
      guard let count = Int(words[1]), let loopback else { break }
      try loopback.hold(count)
      return "ok"
    case ("alive", 1):
      guard let loopback else { break }
      return "\(loopback.alive)"
    case ("release", 1):
      loopback?.release()
      return "ok"
    case ("await", 2):
      guard let port = UInt16(words[1]) else { break }
      try Loopback.awaitServer(port)
      return "ok"
    case ("pace", 3):
      guard let rate = Int(words[1]), let count = Int(words[2]), let loopback else { break }
      return try loopback.pace(rate, count).words
    case ("run", 3):
      guard let load = Load(rawValue: words[1]), let count = Int(words[2]), let loopback else { break }
      return try loopback.run(load, count).words
    case ("test", 4):
      guard let packet = Self.bytes(words[2]), let repeating = Int(words[3]) else { break }
      let program = try BPFProgram.pinned(words[1])
      let result = try program.testRun(packet: packet, repeating: repeating)
      return "\(result.returnValue) \(result.nanoseconds)"
    default: break
    }
    throw KernelError("understand", words.joined(separator: " "), .invalidArgument)
  }

  private func answer(_ text: String) {
    let bytes = Array((text.replacing("\n") + "\n").utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe write(1, $0.baseAddress, $0.count) }
  }

  private static func bytes(_ digits: String) -> [UInt8]? {
    let values = digits.utf8.compactMap { UInt8(String(Unicode.Scalar($0)), radix: 16) }
    guard values.count == digits.utf8.count, values.count.isMultiple(of: 2) else { return nil }
    return stride(from: 0, to: values.count, by: 2).map { values[$0] << 4 | values[$0 + 1] }
  }
}

extension String {
  /// On one line.
  fileprivate func replacing(_ newline: Character) -> String { String(map { $0 == newline ? " " : $0 }) }
}
