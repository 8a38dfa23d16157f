// How much memory the agent needs for many identities and workloads, and how soon a started agent enforces.

internal import ArgumentParser
internal import Benchmark
internal import Enforcement
internal import Evidence
internal import Kernel
internal import Policy

struct MemoryCommand: ControlMeasurement {
  static let configuration = CommandConfiguration(
    commandName: "memory",
    abstract: "Measure the agent's memory by step, and the time from its start until it enforces.",
    discussion: """
      Every identity is in use, as identities of other hosts are, and has a row in the kernel's tables; workloads have \
      identities of their own among them. The agent itself is started on as many cgroups with labels, first with \
      nothing to take over, then with a snapshot that names all identities.
      """)

  @Option(help: "Workloads of this host.") var workloads = 1000
  @Option(help: "Identities, of this host and others.") var identities = 100_000
  @Option(help: "Rules of the policy.") var rules = 1000
  @Option(help: "Starts of each kind, of which the quickest and the middle one are told.") var starts = 5
  @Option(help: "The agent; none = only what happens in this process.") var agent: String?
  @Option(help: "How to print the figures.") var output = OutputFormat.table

  func run() async throws { try await report().print(output) }

  func report() async throws -> Report {
    var report = Report(
      "memory",
      settings: [("workloads", "\(workloads)"), ("identities", "\(identities)"), ("rules", "\(rules)")])
    let arena = try Arena()
    defer { arena.remove() }
    try await steps(in: arena, &report)
    if let agent {
      let run = AgentRun(agent, in: arena, workloads: workloads, identities: identities)
      defer { run.remove() }
      let (table, quantities) = try run.measure(starts: max(starts, 1))
      report.tables.append(table)
      report.quantities += quantities
    }
    return report
  }

  /// One step after the other, in this process.
  private func steps(in arena: Arena, _ report: inout Report) async throws {
    var table = ReportTable(
      "One process, MiB; P12: 30 MiB resident with 1,000 workloads and 100,000 identities",
      columns: ["after", "resident", "anonymous", "file", "heap in use", "resident, trimmed"])
    func note(_ step: String) throws {
      func mebibytes(_ bytes: Int) -> Field { .number(Double(bytes) / 1_048_576, 1) }
      let before = try ResidentMemory()
      let inUse = Heap.bytesInUse
      Heap.trim()
      table.rows.append([
        .text(step), mebibytes(before.total), mebibytes(before.anonymous), mebibytes(before.file), mebibytes(inUse),
        mebibytes(try ResidentMemory().total),
      ])
    }
    try note("start")
    var allocator = IdentityAllocator()
    for index in 0..<identities { _ = try allocator.retain(Self.labels(index), generation: 0) }
    try note("identities numbered")
    let instance = try Instance("memory", in: arena, cells: 100_000, allocator: allocator, snapshots: true)
    // The enforcer has it now: two would be counted.
    allocator = IdentityAllocator()
    do {
      try note("programs loaded")
      _ = try await instance.enforcer.apply(
        policy: try SyntheticPolicy(rules: rules, identityCount: identities, cells: 0, seed: 1).policy(), sources: [])
      try note("policy in force")
      let all = try (0..<workloads).map { index in
        WorkloadInstance(
          cgroup: CgroupID(rawValue: 1 << 40 + UInt64(index)), path: "/system.slice/bench-\(index).service", level: 2,
          labels: try Self.labels(index * 37 % identities), source: "bench")
      }
      _ = try await instance.enforcer.update(workloads: all)
      await instance.enforcer.flushSnapshot()
      try note("workloads in force")
      let names = FlowNames(await instance.enforcer.names, reusing: nil)
      try note("names known to the flow log")
      _ = try await instance.enforcer.apply(
        policy: try SyntheticPolicy(rules: rules, identityCount: identities, cells: 0, seed: 1).policy(variant: 1),
        sources: [])
      try note("another policy in force")
      withExtendedLifetime(names) {}
      report.tables.append(table)
      let maps = try instance.mapMemory()
      let charged = Double(maps.reduce(0) { $0 + $1.bytes }) / 1_048_576
      report.quantities.append(Quantity("maps", unit: "MiB", [charged]))
      report.tables.append(
        ReportTable(
          "Memory of the maps, as the kernel charges it", columns: ["map", "MiB"],
          rows: (maps + [("all", maps.reduce(0) { $0 + $1.bytes })]).map {
            [.text($0.name), .number(Double($0.bytes) / 1_048_576, 2)]
          }))
      try await instance.close()
    } catch {
      try? await instance.close()
      throw error
    }
  }

  /// Distinct sets: application, tier, environment, team.
  static func labels(_ index: Int) throws -> LabelSet {
    try LabelSet([
      Label("app", "a\(index / 100)"), Label("tier", ["web", "api", "db", "cache", "batch"][index % 5]),
      Label("env", ["prod", "stage", "test", "dev"][index / 5 % 4]), Label("team", "t\(index / 20 % 5)"),
    ])
  }
}
