// How soon a new workload is in force, how much of a storm the agent misses, and what being told costs the processes told of.

internal import ArgumentParser
internal import Benchmark
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage
internal import Workloads

struct WorkloadsCommand: ControlMeasurement {
  static let configuration = CommandConfiguration(
    commandName: "workloads",
    abstract:
      "Measure how soon a new cgroup is enforced, storms of cgroups and processes, and the cost of tracepoints.")

  @Option(help: "Cgroups that are made one by one.") var cgroups = 10_000
  @Option(help: "Cgroups and processes of each storm.") var storm = 10_000
  @Option(help: "Rounds in which the cost of being told is measured; 0 = not at all.") var rounds = 20
  @Option(help: "How to print the figures.") var output = OutputFormat.table

  func run() async throws { try await report().print(output) }

  func report() async throws -> Report {
    var report = Report(
      "workloads", settings: [("cgroups", "\(cgroups)"), ("storm", "\(storm)"), ("rounds", "\(rounds)")])
    let arena = try Arena()
    defer { arena.remove() }
    if cgroups > 0 || storm > 0 {
      let instance = try Instance("workloads", in: arena, cells: 1000, snapshots: true)
      do {
        _ = try await instance.enforcer.apply(policy: try Self.policy(), sources: [])
        // Everything below waits for the enforcer, so it must not sit on one of the few threads that run it.
        let measured = try await onThread { [self] () throws -> (tables: [ReportTable], quantities: [Quantity]) in
          var tables: [ReportTable] = []
          var quantities: [Quantity] = []
          if cgroups > 0 { tables.append(try latency(in: arena, instance.enforcer, &quantities)) }
          if storm > 0 { tables.append(try storms(in: arena, instance.enforcer, &quantities)) }
          return (tables, quantities)
        }
        report.tables += measured.tables
        report.quantities += measured.quantities
        try await instance.close()
      } catch {
        try? await instance.close()
        throw error
      }
    }
    report.notes.append("peak resident: \(peakResidentKiB() / 1024) MiB")
    if rounds > 0 { report.tables.append(try ForkCost(rounds: rounds).run(in: arena)) }
    return report
  }

  /// A few rule sets that concern the workloads which are made.
  private static func policy() throws -> PolicySet {
    let peers = try ["app=bench", "app=web"].map { Peer.selector(try Selector(parsing: $0)) }
    let rules = [Rule(name: "peers", action: .allow, peers: peers, ports: [.ports(.tcp, PortRange(8000, 8080))])]
    return try PolicySet(
      ruleSets: [
        RuleSet(name: "bench", subject: try Selector(parsing: "app=bench"), incoming: rules, outgoing: rules)
      ], networks: [])
  }

  // MARK: One by one

  private func latency(
    in arena: Arena, _ enforcer: Enforcer, _ quantities: inout [Quantity]
  ) throws -> ReportTable {
    let root = try arena.cgroup.create("latency")
    let witness = try CgroupWitness(root: root, enforcer: enforcer)
    defer { witness.stop() }
    let maker = RawCgroups(root)
    var fromReturn = CgroupWitness.stages.map { _ in [Double]() }
    var fromCall = fromReturn
    for number in 0..<cgroups {
      if number % 100 == 0 { try Interruption.check() }
      let called = Clock.monotonicNanoseconds()
      let id = try maker.make(number)
      let returned = Clock.monotonicNanoseconds()
      for (stage, time) in try witness.await(id).enumerated() {
        // What was done before mkdir(2) returned took no time.
        fromReturn[stage].append(Double(time > returned ? time - returned : 0) / 1000)
        fromCall[stage].append(Double(time - called) / 1000)
      }
      try maker.remove(number)
    }
    var table = ReportTable(
      "A cgroup is made (P9: classified within 1 ms, p99), µs",
      columns: ["until it is", "p50", "p99", "max", "p50 with mkdir", "p99 with mkdir"])
    for (stage, name) in CgroupWitness.stages.enumerated() {
      let waited = Samples(fromReturn[stage])
      // One figure for each thousand: the spread of a quantile needs more than one.
      let parts = stride(from: 0, to: cgroups, by: 1000).compactMap { begin in
        Samples(Array(fromReturn[stage][begin..<min(begin + 1000, cgroups)])).quantile(0.99)
      }
      quantities.append(Quantity("\(name) p99", unit: "µs", parts))
      let whole = Samples(fromCall[stage])
      table.rows.append([
        .text(name), .number(waited.median, digits: 1), .number(waited.quantile(0.99), digits: 1),
        .number(waited.quantile(1), digits: 1), .number(whole.median, digits: 1),
        .number(whole.quantile(0.99), digits: 1),
      ])
    }
    return table
  }

  // MARK: Many at once

  private func storms(
    in arena: Arena, _ enforcer: Enforcer, _ quantities: inout [Quantity]
  ) throws -> ReportTable {
    var missing: [Double] = []
    var table = ReportTable(
      "Storms, told, classified and put in force as the agent does",
      columns: ["of", "events", "events/s", "lost", "missed", "agent µs/event", "behind at the end, ms"])
    /// `work` gets what to call when workloads are to be as it says.
    func measure(
      _ name: String, _ root: CgroupDirectory, processes: Bool = false, _ work: (Storm) throws -> Void
    ) throws {
      let witness = try CgroupWitness(root: root, enforcer: enforcer, processes: processes)
      defer { witness.stop() }
      let storm = Storm(witness: witness)
      let cpu = ProcessorTime.process.microseconds - ProcessorTime.thread.microseconds
      let began = Clock.monotonicNanoseconds()
      try work(storm)
      let ended = Clock.monotonicNanoseconds()
      try witness.awaitAll()
      let settled = Clock.monotonicNanoseconds()
      let spent = ProcessorTime.process.microseconds - ProcessorTime.thread.microseconds - cpu
      let counts = try witness.counts()
      let total = Double(counts.written + counts.lost)
      missing.append(Double(counts.lost) + Double(storm.missed))
      table.rows.append([
        .text(name), .count(Int(counts.written)), .number(total / (Double(ended - began) / 1e9), 0),
        .count(Int(counts.lost)), .count(storm.missed + witness.enforced().subtracting([root.id]).count),
        .number(spent / max(Double(counts.written), 1), 2), .number(Double(settled - ended) / 1e6, 1),
      ])
    }
    let cgroupRoot = try arena.cgroup.create("storm")
    let maker = RawCgroups(cgroupRoot)
    try measure("\(storm) cgroups made, then removed", cgroupRoot) { run in
      var made: [CgroupID] = []
      for number in 0..<storm { made.append(try maker.make(number)) }
      try run.expect(made)
      for number in 0..<storm { try maker.remove(number) }
    }
    try measure("\(storm) cgroups made and removed in turn", cgroupRoot) { _ in
      for number in 0..<storm {
        _ = try maker.make(number)
        try maker.remove(number)
      }
    }
    let processRoot = try arena.cgroup.create("processes")
    try measure("\(storm) processes started and ended", processRoot, processes: true) { _ in
      try ForkCost.runProcesses(storm, in: processRoot)
    }
    quantities.append(Quantity("storm lost", unit: "events", missing))
    return table
  }
}

/// What is checked in the middle of a storm.
private final class Storm {
  private let witness: CgroupWitness
  /// Cgroups that should have been in force and were not.
  private(set) var missed = 0

  init(witness: CgroupWitness) { self.witness = witness }

  func expect(_ cgroups: [CgroupID]) throws {
    try witness.awaitAll()
    let enforced = witness.enforced()
    missed += cgroups.count { !enforced.contains($0) }
  }
}
