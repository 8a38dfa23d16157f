// The steps of `cluster` that write to the kernel: all pods at once, then one more at a time.

internal import Benchmark
internal import Enforcement
internal import Kernel
internal import Policy

/// Drives one enforcer as the agent does when pods come.
final class ClusterRun {
  private let instance: Instance
  private let cluster: SyntheticCluster
  private var files: [PolicySource]
  private var reader: PolicyReader
  private var pods = 0
  private var labels: [LabelSet] = []
  private(set) var table = ReportTable(
    "Publishing", columns: ["change", "rows written", "compile ms", "plan ms", "write ms", "agent ms", "wall ms"])

  /// What of it belongs to a whole run.
  private(set) var quantities: [Quantity] = []

  /// Takes a reader that has read the files.
  init(instance: Instance, cluster: SyntheticCluster, files: [PolicySource], reader: PolicyReader) {
    self.instance = instance
    self.cluster = cluster
    self.files = files
    self.reader = reader
  }

  /// What one step took, in ms; medians are of such.
  private struct Cost {
    var rows = 0
    var compile = 0.0
    var plan = 0.0
    var write = 0.0
    var agent = 0.0
    var wall = 0.0
  }

  /// `change` makes one change or several that belong together.
  private func measure(_ change: () async throws -> [Publication]) async throws -> Cost {
    try Interruption.check()
    let began = Clock.monotonicNanoseconds()
    let publications = try await change()
    var cost = Cost(wall: Double(Clock.monotonicNanoseconds() - began) / 1e6)
    for publication in publications {
      cost.rows += publication.rowsWritten
      cost.compile += Self.milliseconds(publication.phases.compile)
      cost.plan += Self.milliseconds(publication.phases.plan)
      cost.write += Self.milliseconds(publication.phases.write)
      cost.agent += Self.milliseconds(publication.duration)
    }
    return cost
  }

  private static func milliseconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) * 1e3 + Double(duration.components.attoseconds) / 1e15
  }

  private func note(_ name: String, _ costs: [Cost]) {
    func median(_ value: (Cost) -> Double, digits: Int = 2) -> Field {
      .number(Samples(costs.map(value)).median, digits: digits)
    }
    table.rows.append([
      .text(name), median({ Double($0.rows) }, digits: 0), median(\.compile), median(\.plan), median(\.write),
      median(\.agent), median(\.wall),
    ])
  }

  /// The agent's start: who there is, then the policy, which labels them.
  func begin(_ policy: PolicySet) async throws {
    let workloads = policy.pods.map { workload($0.labels) }
    let first = try await measure {
      [
        try await instance.enforcer.update(workloads: workloads),
        try await instance.enforcer.apply(policy: policy, sources: []),
      ]
    }
    note("everything for the first time", [first])
    quantities.append(Quantity("cluster publish", unit: "ms", [first.agent]))
    labels = policy.pods.map(\.labels)
  }

  /// Pods that a container runtime tells of, without another look at the documents.
  func addPods(rounds: Int) async throws {
    var (known, fresh, first): ([Cost], [Cost], [Cost]) = ([], [], [])
    for round in 0..<max(rounds, 1) {
      let set = labels[round * 7919 % labels.count]
      known.append(try await add(set))
      fresh.append(try await add(set.merging(try LabelSet([Label("release", "r\(round)")]))))
      first.append(try await add(try awaited(round)))
    }
    note("one pod, labels that others have", known)
    note("one pod, new labels that no policy tells apart", fresh)
    note("the first pod of an application that policies name", first)
    quantities.append(Quantity("cluster, one pod", unit: "µs", known.map { $0.agent * 1000 }))
    quantities.append(Quantity("cluster, first pod of its kind", unit: "ms", first.map(\.agent)))
  }

  private func add(_ labels: LabelSet) async throws -> Cost {
    let workload = workload(labels)
    return try await measure { [try await instance.enforcer.update(setting: [workload])] }
  }

  /// The labels of a pod of the application without pods, as a manifest would have them.
  private func awaited(_ namespace: Int) throws -> LabelSet {
    let manifest = cluster.manifest(name: "awaited", namespace: namespace, application: cluster.awaited)
    let pods = try PolicyParser.parse(files: [(manifest.name, manifest.bytes)]).policy.pods
    return pods.first?.labels ?? .empty
  }

  /// Pods whose manifests are put into the directory first, which is then read anew.
  func addManifests(rounds: Int) async throws {
    var (reading, costs): ([Double], [Cost]) = ([], [])
    for round in 0..<max(rounds, 1) {
      files.append(cluster.manifest(name: "more-\(round)", namespace: round, application: 0))
      let began = Clock.monotonicNanoseconds()
      let policy = try reader.parse(files: files.map { ($0.name, $0.bytes) }).policy
      reading.append(Double(Clock.monotonicNanoseconds() - began) / 1e6)
      guard let pod = policy.pods.first(where: { $0.name == "more-\(round)" }) else { continue }
      let workload = workload(pod.labels)
      costs.append(
        try await measure {
          [
            try await instance.enforcer.apply(policy: policy, sources: []),
            try await instance.enforcer.update(setting: [workload]),
          ]
        })
    }
    note("one pod with its manifest, read already", costs)
    table.rows.append([
      .text("reading the documents again, one file more"), .none, .none, .none, .none, .none,
      .number(Samples(reading).median, digits: 2),
    ])
  }

  private func workload(_ labels: LabelSet) -> WorkloadInstance {
    pods += 1
    let cgroup = CgroupID(rawValue: 1 << 40 + UInt64(pods))
    return WorkloadInstance(cgroup: cgroup, path: "/bench/\(pods)", level: 2, labels: labels, source: "bench")
  }
}
