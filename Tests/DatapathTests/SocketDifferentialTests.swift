// Do real sockets get what the specification says? Random policies, every pair of subjects, TCP and UDP, IPv4 and IPv6.
import Enforcement
import Glibc
import Kernel
import Policy
import SystemPackage
import TestSupport
import Testing

@Suite(
  "Real sockets agree with the specification", .serialized,
  .requires(.root, .bpf, .cgroups, .pins, .networkNamespaces))
struct SocketDifferentialTests {
  static let ports: [UInt16] = [22, 53, 80, 443, 8000, 8080, 65535]

  /// What one attempt came to.
  enum Outcome: Equatable { case arrived, refusedHere, refusedThere, failed(Int32) }

  @Test("random policies × real connections and datagrams between seven subjects")
  func sockets() async throws {
    let first = UInt64(truncatingIfNeeded: UInt(bitPattern: time(nil)))
    let wanted = DatapathKind.underTest == .cgroup ? DifferentialTests.cases / 10 : DifferentialTests.cases
    var compared = 0
    try await withSandbox { sandbox in
      let bench = try ProgramBench(sandbox)
      do {
        let servers = try (0...ProgramBench.workloadCount).map { try Servers(bench, $0) }
        var seed = first
        while compared < wanted {
          compared += try await compare(bench, servers, seed: seed)
          seed &+= 1
        }
      } catch {
        try? await bench.close()
        throw error
      }
      try await bench.close()
    }
    print("compared \(compared) connections and datagrams, seed \(first)")
    #expect(compared >= wanted)
  }

  private func compare(_ bench: ProgramBench, _ servers: [Servers], seed: UInt64) async throws -> Int {
    let drawn = try RandomPolicy(seed: seed)
    var random = SeededGenerator(seed: seed &* 17 &+ 3)
    let orphaning = random.oneIn(2)
    let labels = try await bench.publish(drawn.policy, orphaning: orphaning, using: &random)
    func endpoint(_ index: Int) -> Endpoint {
      if orphaning, index == ProgramBench.orphan { return .unlabelled(childOf: "parent") }
      return index == labels.count ? .host() : .workload(labels[index])
    }

    var wrong: [String] = []
    var compared = 0
    for subject in 0...labels.count {
      let attempts = (0..<16).map { _ in
        Attempt(
          to: random.below(labels.count + 1), port: random.pick(Self.ports) ?? 80, isTCP: random.oneIn(2),
          isIPv4: random.oneIn(2))
      }
      let outcomes = try bench.run(as: subject) { attempts.map { $0.make(to: servers[$0.to]) } }
      for (attempt, outcome) in zip(attempts, outcomes) {
        let proto: IPProtocol = attempt.isTCP ? .tcp : .udp
        func allows(_ direction: Direction, _ own: Int, _ other: Int) -> Bool {
          drawn.policy.verdict(
            for: Flow(
              direction: direction, subject: endpoint(own), peer: endpoint(other), protocol: proto,
              port: attempt.port, sameWorkload: own == other)
          ).action == .allow
        }
        let out = allows(.outgoing, subject, attempt.to)
        let into = allows(.incoming, attempt.to, subject)
        // In one namespace the other side's answer is known at connect(), or at the first datagram.
        let expected: Outcome = out && into ? .arrived : .refusedHere
        if outcome != expected {
          wrong.append("seed \(seed): \(subject) → \(attempt): \(outcome), specification \(expected)")
        }
        compared += 1
      }
    }
    let count = wrong.count
    try #require(count == 0, "\(wrong.prefix(3).joined(separator: "\n"))")
    return compared
  }
}

/// One connection or datagram.
struct Attempt: Sendable {
  let to: Int
  let port: UInt16
  let isTCP: Bool
  let isIPv4: Bool

  /// What connect() says to a refusal: rules can only answer with a reset.
  private static let refusals = DatapathKind.underTest == .cgroup ? [EPERM] : [ECONNREFUSED]

  /// Runs on a thread of the subject.
  func make(to server: Servers) -> SocketDifferentialTests.Outcome {
    // Close-on-exec, or programs that other suites start would hold it too.
    let type = Int32(isTCP ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let fd = socket(isIPv4 ? AF_INET : AF_INET6, type, 0)
    guard fd >= 0 else { return .failed(errno) }
    defer { close(fd) }
    let listener = server.descriptor(port: port, isTCP: isTCP, isIPv4: isIPv4)
    let address = Servers.address(server.index, port: port, isIPv4: isIPv4)
    if isTCP {
      // Reset at the end: thousands of connections must not fill the ports with TIME_WAIT.
      var now = linger(l_onoff: 1, l_linger: 0)
      unsafe setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
      let rc = unsafe address.withUnsafe { unsafe connect(fd, $0, $1) }
      guard rc == 0 else { return Self.refusals.contains(errno) ? .refusedHere : .failed(errno) }
      let accepted = acceptClosingOnExec(listener)
      guard accepted >= 0 else { return .failed(errno) }
      close(accepted)
      return .arrived
    }
    let sent = unsafe address.withUnsafe { unsafe sendto(fd, "x", 1, 0, $0, $1) }
    guard sent == 1 else { return errno == EPERM ? .refusedHere : .failed(errno) }
    // Loopback delivers at once, or a moment later when the kernel's own thread has to.
    var ready = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
    guard unsafe poll(&ready, 1, 2000) == 1 else { return .refusedThere }
    var byte: UInt8 = 0
    return unsafe recv(listener, &byte, 1, Int32(MSG_DONTWAIT)) == 1 ? .arrived : .refusedThere
  }
}
