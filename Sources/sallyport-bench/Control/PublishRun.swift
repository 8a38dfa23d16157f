// The steps of `publish` that write to the kernel, each repeated and timed.

internal import Benchmark
internal import Enforcement
internal import Kernel
internal import Policy

/// Drives one enforcer and collects what its changes took.
final class PublishRun {
  private let instance: Instance
  private let rounds: Int
  private(set) var table = ReportTable(
    "Publishing (P7: 16,000 entries in at most 10 ms; P8: one identity or workload in at most 100 µs)",
    columns: [
      "change", "rows", "write µs min", "write µs median", "grace µs median", "agent µs min", "agent µs median",
      "wall µs median",
    ])

  /// What of it belongs to a whole run.
  private(set) var quantities: [Quantity] = []

  init(instance: Instance, rounds: Int) {
    self.instance = instance
    self.rounds = max(rounds, 2)
  }

  /// What one change took, in µs.
  private struct Cost {
    var rows: Int
    var writing: Double
    var waiting: Double
    /// As the enforcer says: compiling, planning and writing.
    var agent: Double
    /// As the caller sees it: with the hop to the actor and the snapshot.
    var wall: Double
  }

  private func measure(_ change: () async throws -> Publication) async throws -> Cost {
    try Interruption.check()
    _ = instance.timed.take()
    let began = Clock.monotonicNanoseconds()
    let publication = try await change()
    let wall = Clock.monotonicNanoseconds() - began
    let steps = instance.timed.take()
    let (seconds, attoseconds) = publication.duration.components
    return Cost(
      rows: publication.rowsWritten, writing: Double(steps.writing) / 1e3, waiting: Double(steps.waiting) / 1e3,
      agent: Double(seconds) * 1e6 + Double(attoseconds) / 1e12, wall: Double(wall) / 1e3)
  }

  private func note(_ name: String, _ costs: [Cost]) {
    let rows = Samples(costs.map { Double($0.rows) })
    let writing = Samples(costs.map(\.writing))
    let agent = Samples(costs.map(\.agent))
    table.rows.append([
      .text(name), .number(rows.median, digits: 0), .number(writing.minimum, digits: 1),
      .number(writing.median, digits: 1), .number(Samples(costs.map(\.waiting)).median, digits: 1),
      .number(agent.minimum, digits: 1), .number(agent.median, digits: 1),
      .number(Samples(costs.map(\.wall)).median, digits: 1),
    ])
  }

  /// The first publish of each slot, then differences: each policy differs from the one two publishes before it, which
  /// is what its slot still holds.
  func policies(_ variants: [PolicySet]) async throws {
    let enforcer = instance.enforcer
    var costs: [Cost] = []
    for round in 0..<(rounds + 2) {
      let policy = variants[round % variants.count]
      costs.append(try await measure { try await enforcer.apply(policy: policy, sources: []) })
    }
    note("first policy, with attaching", Array(costs[..<1]))
    note("second policy, into the other empty slot", Array(costs[1..<2]))
    note("policy that differs by these rows", Array(costs[2...]))
    quantities.append(Quantity("publish 16000", unit: "ms", costs[2...].map { $0.writing / 1000 }))
    quantities.append(Quantity("publish 16000, with compiling", unit: "ms", costs[2...].map { $0.agent / 1000 }))
    costs = []
    for _ in 0..<rounds {
      costs.append(
        try await measure { try await enforcer.apply(policy: variants[(rounds + 1) % variants.count], sources: []) })
    }
    note("the same policy again", costs)
  }

  /// One workload at a time: of an identity that is known, of a new identity in known classes, and their removal.
  func workloads(_ labels: [LabelSet]) async throws {
    let enforcer = instance.enforcer
    var known: [Cost] = []
    var new: [Cost] = []
    var gone: [Cost] = []
    let count = rounds * 20
    for index in 0..<count {
      let set = labels[index * 7 % labels.count]
      let cgroup = CgroupID(rawValue: 1 << 40 + UInt64(index) * 2)
      let workload = Self.workload(cgroup, set)
      known.append(try await measure { try await enforcer.update(setting: [workload]) })
      let fresh = set.merging(try LabelSet([Label("pod", "p\(index)")]))
      let other = Self.workload(CgroupID(rawValue: 1 << 40 + UInt64(index) * 2 + 1), fresh)
      new.append(try await measure { try await enforcer.update(setting: [other]) })
      if index >= count / 2 {
        gone.append(try await measure { try await enforcer.update(setting: [], removing: [cgroup]) })
      }
    }
    note("one workload, known identity", known)
    note("one workload, new identity of known classes", new)
    note("one workload removed", gone)
    quantities.append(Quantity("one workload", unit: "µs", known.map(\.agent)))
    quantities.append(Quantity("one identity", unit: "µs", new.map(\.agent)))
  }

  private static func workload(_ cgroup: CgroupID, _ labels: LabelSet) -> WorkloadInstance {
    WorkloadInstance(cgroup: cgroup, path: "/bench/\(cgroup)", level: 2, labels: labels, source: "bench")
  }
}
