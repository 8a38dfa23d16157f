// Do the verified programs agree with the specification? The same random packets through both.
import CDatapath
import Enforcement
import Glibc
import Kernel
import Policy
import SystemPackage
import TestSupport
import Testing

@Suite("The programs agree with the specification", .serialized, .requires(.root, .bpf, .cgroups, .pins, .networkNamespaces))
struct DifferentialTests {
  /// How many packets a run compares; the hours-long script asks for more.
  static var cases: Int {
    guard let text = unsafe getenv("SALLYPORT_CASES") else { return 100_000 }
    return unsafe Int(String(cString: text)) ?? 100_000
  }
  static let perPolicy = 400

  /// Who is at the other end of a packet.
  enum Other {
    case address(IPAddress)
    /// A workload, as its egress hook said, or by its address alone.
    case workload(Int, vouched: Bool)
  }

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
    let labels = try (0..<ProgramBench.workloadCount).map { _ in try RandomPolicy.labels(&random) }
    let observer = random.below(ProgramBench.workloadCount * 2)
    _ = try await bench.enforcer.update(
      workloads: labels.indices.map { index in
        WorkloadInstance(
          cgroup: bench.cgroups[index].id, path: bench.cgroups[index].path.string, level: bench.cgroups[index].level,
          labels: labels[index], observe: index == observer, source: "test",
          addresses: [true, false].map { ProgramBench.address(of: index, isIPv4: $0) })
      })
    _ = try await bench.enforcer.apply(policy: drawn.policy, sources: [])
    let rows = await bench.enforcer.workloadRows
    let numbers = labels.indices.map { rows[bench.cgroups[$0].id]?.identity.rawValue ?? 0 }
    let before = try await bench.enforcer.counters()

    var mismatches: [String] = []
    var expected: [String: UInt64] = [:]
    var compared = 0
    for subject in 0...ProgramBench.workloadCount {
      let cases = try (0..<Self.perPolicy / (ProgramBench.workloadCount + 1)).map { number in
        try Case(
          number: compared + number, subject: subject, labels: labels, numbers: numbers, policy: drawn.policy,
          bench: bench, random: &random)
      }
      let answers = try bench.run(cases.map { ($0.direction, $0.packet.bytes) }, as: subject)
      for (item, passes) in zip(cases, answers) {
        let observed = subject == observer && !item.isLocal
        let wanted = item.packet.isExcluded || observed || item.verdict.action == .allow
        if passes != wanted {
          mismatches.append("seed \(seed): \(item) → kernel \(passes), specification \(item.verdict)")
        }
        if !item.packet.isExcluded { expected[item.reason(applied: passes), default: 0] += 1 }
      }
      compared += cases.count
    }
    let after = try await bench.enforcer.counters()
    #expect(mismatches.isEmpty, "\(mismatches.prefix(3).joined(separator: "\n"))")
    try #require(mismatches.isEmpty)
    let counted = tally(bench, before, after)
    #expect(counted == expected, "seed \(seed): what the kernel counted is not what was expected")
    return compared
  }

  /// The difference of two readings of the counters, by the names that `Case.reason` gives.
  private func tally(
    _ bench: ProgramBench, _ before: DatapathCounters, _ after: DatapathCounters
  ) -> [String: UInt64] {
    var result: [String: UInt64] = [:]
    for subject in 0...ProgramBench.workloadCount {
      let isHost = subject == ProgramBench.workloadCount
      let id = bench.cgroups[subject].id
      let (old, new) = isHost ? (before.host, after.host) : (before.workloads[id], after.workloads[id])
      for direction in [Direction.outgoing, .incoming] {
        for by in [FlowEvent.DecidedBy.rule, .default, .local] {
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
