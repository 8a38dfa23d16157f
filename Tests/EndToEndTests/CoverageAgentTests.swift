// `sallyport status --coverage`: tried by the agent in the background, kept, and shown.
internal import Coverage
internal import Enforcement
internal import FoundationEssentials
internal import Glibc
internal import Kernel
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Coverage by the agent", .requires(.root, .cgroups, .bpf, .pins, .networkNamespaces, .product))
struct CoverageAgentTests {
  private static let options = ["--sources", "", "--datapath", DatapathKind.underTest.rawValue]

  @Test("an agent is ready before it tries, tries while it enforces, and the next one on this kernel believes it")
  func statement() throws {
    try withSandbox { sandbox in
      let bench = try AgentBench(sandbox)
      defer { try? bench.removePins() }
      let agent = try bench.startAgent(AgentBench.defaults, Self.options, triesCoverage: true)
      let file = "\(bench.state)/coverage.json"
      #expect(!isThere(file))
      let early = try bench.run(["status", "--coverage", "--state", bench.state])
      #expect(early.status == 3 && early.errors.contains("not known"), "\(early.text)")
      try eventually(bench.log, seconds: 30) { isThere(file) }
      let text = try bench.ask("status", "--coverage", "-o", "json").output
      let statement = try JSONDecoder().decode(CoverageStatement.self, from: Data(text.utf8))
      #expect(statement.lines.count == TrafficClass.allCases.count && statement.isOfThisKernel)
      #expect(statement[.tcpIPv4]?.result == .covered, "\(text)")
      // Beside what is enforced on, and gone again.
      #expect(try sandbox.cgroup.childNames().map(\.string).sorted() == ["enforced", "outside"])
      let table = try bench.ask("status", "--coverage").output
      #expect(table.hasPrefix("datapath \(DatapathKind.underTest.rawValue), kernel \(statement.kernel), tried in "))
      #expect(table.contains("\(TrafficClass.unixSocket.title)"))

      try agent.handle.send(signal: SIGTERM)
      #expect(try agent.wait() == 0)
      let kept = try readKernelBytes(FilePath(file))
      let next = try bench.startAgent(AgentBench.defaults, Self.options, triesCoverage: true)
      // It is ready before it listens for signals; who gets an answer knows that it does.
      try bench.ask("status")
      try next.handle.send(signal: SIGTERM)
      // A stopping agent waits for what it tries: had it tried, it would have written.
      #expect(try next.wait() == 0)
      #expect(try readKernelBytes(FilePath(file)) == kept)
      #expect(!bench.log.contains("coverage tried"), "\(bench.log)")
      try bench.ask("detach")
    }
  }
}
