// The coverage statement: every class of traffic tried on each datapath, against what this kernel is known to do.
internal import BPF
internal import Enforcement
internal import Kernel
internal import SystemPackage
internal import TestSupport
internal import Testing

@testable import Coverage

@Suite("Coverage", .serialized, .requires(.root, .bpf, .cgroups, .pins, .networkNamespaces))
struct CoverageTests {
  /// What is not covered; everything else is.
  ///
  /// Whoever closes a gap, or opens one, says so here and in docs/COVERAGE.md.
  private static let gaps: [DatapathKind: [TrafficClass: CoverageResult]] = [
    .cgroup: [
      .packetSocket: .partly, .echoAnswer: .notCovered, .closedPort: .notCovered, .passedConnection: .notCovered,
      .unixSocket: .notCovered,
    ],
    .netfilter: [
      .udpLite: .partly, .rawICMP: .partly, .rawNotices: .partly, .rawIP: .partly, .rawIPv6: .partly,
      .packetSocket: .partly,
      .echoAnswer: .notCovered, .closedPort: .notCovered, .passedSocket: .partly, .passedConnection: .notCovered,
      .movedProcess: .partly, .retaggedSocket: .absent, .newNamespace: .notCovered, .unixSocket: .notCovered,
    ],
  ]
  /// What a kernel may do without.
  private static let optional: Set<TrafficClass> = [.sctp, .udpLite, .mptcp]

  private func withSite<T>(_ body: (CoverageProbe.Site) async throws -> T) async throws -> T {
    try await withSandbox { sandbox in
      let name = sandbox.cgroup.path.components.last?.string ?? ""
      return try await body(
        CoverageProbe.Site(
          parent: sandbox.cgroup, state: StateDirectory("/tmp/\(name)"), bpffs: sandbox.makePinDirectory()))
    }
  }

  @Test("every class of traffic is covered as far as is known, no more and no less")
  func classes() async throws {
    let kind = DatapathKind.underTest
    let statement = try await withSite { try await CoverageProbe.run(on: kind, at: $0) }
    #expect(statement.lines.map(\.traffic) == TrafficClass.allCases)
    for line in statement.lines {
      let expected = Self.gaps[kind]?[line.traffic] ?? .covered
      let isAbsent = line.result == .absent && Self.optional.contains(line.traffic)
      #expect(line.result == expected || isAbsent, "\(line)")
    }
    #expect(statement.holds(for: kind, statement.programs))
    #expect(!statement.holds(for: kind, ["sp_egress": "another"]))
  }

  @Test(
    "hooks that are missing are found out: without ingress the server's policy is not heeded, without egress none is",
    .only(on: .cgroup, because: "it has no such hooks"))
  func missingHooks() async throws {
    try await withSite { site in
      let arena = try Arena.open(.cgroup, below: site.parent, state: site.state, bpffs: site.bpffs)
      defer { arena.close() }
      try await arena.begin()
      #expect(try TrafficClass.rawICMP.probe(in: arena).result == .covered)
      try PinnedLink.open("\(arena.datapath.pins)/links/sp_ingress").detach()
      let finding = try TrafficClass.rawICMP.probe(in: arena)
      #expect(finding.result == .partly, "\(finding.seen)")
      #expect(finding.reason == "passes: what the receiver's policy refuses")
      try PinnedLink.open("\(arena.datapath.pins)/links/sp_egress").detach()
      #expect(try TrafficClass.rawICMP.probe(in: arena).result == .notCovered)
    }
  }

  @Test("a probe leaves no cgroup, no pins, no directory; one that was killed leaves them to the next")
  func remains() async throws {
    try await withSite { site in
      try await abandon(site)
      #expect(try site.parent.childNames().count == 1)
      #expect(isThere(site.state.path))
      _ = try await CoverageProbe.run([.udpIPv4], on: .cgroup, at: site)
      #expect(try site.parent.childNames().isEmpty)
      #expect(!isThere(site.state.path))
      #expect(try directoryNames(site.bpffs).isEmpty)
    }
  }

  @Test("what is judged: everything allowed must pass, nothing refused may, and a sender must hear of its own refusal")
  func judgement() {
    let allowed = Finding().allowing(.passed)
    #expect(allowed.atSender(.refused(.notPermitted)).atReceiver(.lost).result == .covered)
    #expect(allowed.atSender(.lost).atReceiver(.lost).result == .partly)
    #expect(allowed.atSender(.passed).atReceiver(.lost).result == .partly)
    #expect(allowed.atSender(.passed).atReceiver(.passed).result == .notCovered)
    #expect(Finding().allowing(.lost).atSender(.refused(.notPermitted)).result == .refused)
    #expect(allowed.result == .unknown)
    #expect(allowed.atSender(.lost).reason == "refused without an error: what the sender's policy refuses")
  }

  /// As if it were killed: what is in memory goes, and nothing is closed.
  private func abandon(_ site: CoverageProbe.Site) async throws {
    let arena = try Arena.open(.cgroup, below: site.parent, state: site.state, bpffs: site.bpffs)
    try await arena.begin()
    // Another run must not clear away what is in use.
    #expect(throws: (any Error).self) { try CoverageProbe.removeRemains(of: site.state, bpffs: site.bpffs) }
  }
}
