// How long compiling and publishing a large policy takes, and how much memory.

internal import ArgumentParser
internal import Benchmark
internal import Enforcement
internal import Kernel
internal import Policy

struct PublishCommand: ControlMeasurement {
  static let configuration = CommandConfiguration(
    commandName: "publish", abstract: "Compile a large policy, publish it to the kernel, change it.")

  @Option(help: "Rules of the policy.") var rules = 10_000
  @Option(help: "Identities of the host.") var identities = 100_000
  @Option(help: "About how many compiled entries.") var cells = 250_000
  @Option(help: "Repetitions of each step.") var rounds = 5
  @Option(help: "Seed of the policy.") var seed: UInt64 = 1
  @Flag(help: "Only compile: needs no privileges.") var compileOnly = false
  @Flag(help: "Let the enforcer write its snapshot for readers, as the agent does.") var snapshot = false
  @Option(help: "How to print the figures.") var output = OutputFormat.table

  func run() async throws { try await report().print(output) }

  func report() async throws -> Report {
    var report = Report(
      "publish",
      settings: [
        ("rules", "\(rules)"), ("identities", "\(identities)"), ("cells wanted", "\(cells)"), ("rounds", "\(rounds)"),
        ("seed", "\(seed)"), ("snapshot", "\(snapshot)"),
      ])
    let synthetic = SyntheticPolicy(rules: rules, identityCount: identities, cells: cells, seed: seed)
    let labels = try synthetic.identities()
    var allocator = IdentityAllocator()
    for set in labels { _ = try allocator.retain(set, generation: 0) }
    // Three, because a policy is written over the one two publishes before it.
    let variants = try (0..<3).map { try synthetic.policy(variant: $0) }
    try compile(variants, allocator.identities, &report)
    if !compileOnly { try await publish(variants, labels, allocator, &report) }
    return report
  }

  private func compile(
    _ variants: [PolicySet], _ identities: [IdentityNumber: LabelSet], _ report: inout Report
  ) throws {
    let resident = peakResidentKiB()
    var times: [Double] = []
    var tables: Tables?
    for _ in 0..<max(rounds, 1) {
      try Interruption.check()
      let began = Clock.monotonicNanoseconds()
      tables = try Compiler.compile(policy: variants[0], identities: identities).tables
      times.append(Double(Clock.monotonicNanoseconds() - began) / 1e6)
    }
    guard let tables else { return }
    let changed = try Compiler.compile(policy: variants[1], identities: identities).tables.cells
      .count { tables.cells[$0.key] != $0.value }
    let samples = Samples(times)
    report.quantities.append(Quantity("compile", unit: "ms", times))
    report.tables.append(
      ReportTable(
        "Compiling (P7: 10,000 rules × 100,000 identities in at most 1 s)",
        columns: ["step", "min ms", "median ms", "max ms"],
        rows: [
          [
            .text("compile"), .number(samples.minimum, digits: 1), .number(samples.median, digits: 1),
            .number(samples.quantile(1), digits: 1),
          ]
        ]))
    let classes = tables.classes.values
    func distinct<T: Hashable>(_ values: [T]) -> Field { .count(Set(values).count) }
    report.tables.append(
      ReportTable(
        "Tables", columns: ["what", "count"],
        rows: [
          [.text("identities, with external sets"), .count(classes.count)],
          [.text("outgoing subject classes"), distinct(classes.map(\.outgoingSubject))],
          [.text("incoming subject classes"), distinct(classes.map(\.incomingSubject))],
          [.text("peer classes"), distinct(classes.map(\.peer))],
          [.text("port classes"), distinct(tables.portClasses)],
          [.text("cells"), .count(tables.cells.count)],
          [.text("prefixes"), .count(tables.prefixes.count)],
          [.text("rules"), .count(tables.rules.count)],
          [.text("cells that the second policy changes"), .count(changed)],
          [.text("peak resident before compiling, MiB"), .count(resident / 1024)],
          [.text("peak resident after compiling, MiB"), .count(peakResidentKiB() / 1024)],
        ]))
  }

  private func publish(
    _ variants: [PolicySet], _ labels: [LabelSet], _ allocator: IdentityAllocator, _ report: inout Report
  ) async throws {
    let arena = try Arena()
    defer { arena.remove() }
    let instance = try Instance("publish", in: arena, cells: cells * 2, allocator: allocator, snapshots: snapshot)
    do {
      let run = PublishRun(instance: instance, rounds: rounds)
      try await run.policies(variants)
      try await run.workloads(labels)
      report.tables.append(run.table)
      report.quantities += run.quantities
      let memory = try instance.mapMemory()
      let rows: [[Field]] = memory.map { [.text($0.name), .number(Double($0.bytes) / 1_048_576, 2)] }
      let sum = memory.reduce(0) { $0 + $1.bytes }
      report.tables.append(
        ReportTable(
          "Memory of the maps (as the kernel charges it)", columns: ["map", "MiB"],
          rows: rows + [[.text("all"), .number(Double(sum) / 1_048_576, 2)]]))
      report.notes.append("peak resident of everything: \(peakResidentKiB() / 1024) MiB")
      try await instance.close()
    } catch {
      try? await instance.close()
      throw error
    }
  }
}
