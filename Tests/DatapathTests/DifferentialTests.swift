// Do the verified programs agree with the specification? The same random packets through both.
import CDatapath
import Enforcement
import Glibc
import Kernel
import Policy
import SystemPackage
import TestSupport
import Testing

@Suite(
  "The programs agree with the specification", .serialized,
  .requires(.root, .bpf, .cgroups, .pins, .networkNamespaces))
struct DifferentialTests {
  /// How many packets a run compares; the hours-long script asks for more.
  static var cases: Int {
    // The tables and most of the code are the same on both datapaths.
    let few = DatapathKind.underTest == .netfilter ? 20_000 : 100_000
    guard let text = unsafe getenv("SALLYPORT_CASES") else { return few }
    return unsafe Int(String(cString: text)) ?? few
  }
  static let perPolicy = 400

  @Test("random policies × random packets: kernel verdict = verdict(for:), and the counters say why")
  func packets() async throws {
    let first = UInt64(truncatingIfNeeded: UInt(bitPattern: time(nil)))
    var compared = 0
    try await withSandbox { sandbox in
      let bench = try ProgramBench(sandbox)
      do {
        while compared < Self.cases {
          compared += try await compare(bench, seed: first &+ UInt64(compared))
        }
      } catch {
        try? await bench.close()
        throw error
      }
      try await bench.close()
    }
    print("compared \(compared) packets, seed \(first)")
    #expect(compared >= Self.cases)
  }

  /// One policy and its packets; returns how many were compared.
  private func compare(_ bench: ProgramBench, seed: UInt64) async throws -> Int {
    let drawn = try RandomPolicy(seed: seed)
    var random = SeededGenerator(seed: seed &* 31 &+ 7)
    let observer = random.below(ProgramBench.workloadCount * 2)
    let orphaning = random.oneIn(2)
    let labels = try await bench.publish(
      drawn.policy, observing: observer, orphaning: orphaning, using: &random)
    let rows = await bench.enforcer.workloadRows
    let numbers = labels.indices.map { rows[bench.cgroups[$0].id]?.identity.rawValue ?? 0 }
    let before = try await bench.enforcer.counters()

    var mismatches: [String] = []
    var expected: [String: UInt64] = [:]
    var compared = 0
    for subject in 0...ProgramBench.workloadCount {
      var told: [[UInt8]: Int?] = [:]
      var cases: [Case] = []
      var conversations: Set<[UInt8]> = []
      while cases.count < Self.perPolicy / (ProgramBench.workloadCount + 1) {
        let drawn = Case(
          number: compared + cases.count, subject: subject, labels: labels, policy: drawn.policy,
          orphaning: orphaning, random: &random)
        guard bench.runs(drawn.direction) else { continue }
        // The socket of a test run is in the memory of the one before, and an address is what names it there.
        if bench.datapath.kind == .netfilter, !conversations.insert(drawn.conversation).inserted { continue }
        if let voucher = drawn.voucher {
          if let before = told[voucher], before != drawn.vouched { continue }
          told[voucher] = .some(drawn.vouched)
        }
        try drawn.vouch(bench, numbers: numbers)
        cases.append(drawn)
      }
      let answers = try bench.run(cases.map { ($0.direction, $0.packet.bytes) }, as: subject)
      for (item, passes) in zip(cases, answers) {
        let observed = subject == observer && subject < labels.count && !item.isLocal
        let wanted = observed || item.verdict.action == .allow
        if passes != wanted {
          mismatches.append("seed \(seed): \(item) → kernel \(passes), specification \(item.verdict)")
        }
        expected[item.reason(applied: passes), default: 0] += 1
      }
      compared += cases.count
    }
    let after = try await bench.enforcer.counters()
    let wrong = mismatches.count
    try #require(wrong == 0, "\(mismatches.prefix(3).joined(separator: "\n"))")
    let counted = tally(bench, before, after, orphaning)
    let differing = Set(counted.keys).union(expected.keys).filter { counted[$0] != expected[$0] }.sorted()
    let told = differing.map { "\($0): kernel \(counted[$0] ?? 0), expected \(expected[$0] ?? 0)" }
    try #require(told.count == 0, "seed \(seed): \(told.joined(separator: "; "))")
    return compared
  }

  /// The difference of two readings of the counters, by the names that `Case.reason` gives.
  private func tally(
    _ bench: ProgramBench, _ before: DatapathCounters, _ after: DatapathCounters, _ orphaning: Bool
  ) -> [String: UInt64] {
    var result: [String: UInt64] = [:]
    for subject in 0...ProgramBench.workloadCount {
      let isHost = subject == ProgramBench.workloadCount
      let id = bench.counted(subject, orphaning: orphaning)
      let (old, new) = isHost ? (before.host, after.host) : (before.workloads[id], after.workloads[id])
      for direction in [Direction.outgoing, .incoming] {
        for by in [FlowEvent.DecidedBy.rule, .default, .local, .unlabelled] {
          for refused in [false, true] {
            let count = (new?[direction, by, refused: refused] ?? 0) &- (old?[direction, by, refused: refused] ?? 0)
            if count > 0 { result["\(subject) \(direction) \(by) \(refused)"] = count }
          }
        }
      }
    }
    return result
  }
}
