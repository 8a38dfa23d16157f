// How soon the agent knows of workloads, how much of a storm it misses, and what being told costs the processes told of.

internal import ArgumentParser
internal import Kernel
internal import SystemPackage
internal import Workloads

struct WorkloadsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "workloads",
    abstract:
      "Measure how soon a new cgroup is classified, storms of cgroups and processes, and the cost of tracepoints.")

  @Option(help: "Cgroups that are made one by one.") var cgroups = 10_000
  @Option(help: "Cgroups and processes of each storm.") var storm = 10_000
  @Option(help: "Rounds in which the cost of being told is measured; 0 = not at all.") var rounds = 20
  @Option(help: "How to print the figures.") var output = OutputFormat.table

  func run() throws {
    var report = Report(
      "workloads", settings: [("cgroups", "\(cgroups)"), ("storm", "\(storm)"), ("rounds", "\(rounds)")])
    let arena = try Arena()
    defer { arena.remove() }
    if cgroups > 0 { report.tables.append(try latency(in: arena)) }
    if storm > 0 { report.tables.append(try storms(in: arena)) }
    if rounds > 0 { report.tables.append(try ForkCost(rounds: rounds).run(in: arena)) }
    report.notes.append("peak resident: \(peakResidentKiB() / 1024) MiB")
    report.print(output)
  }

  // MARK: One by one

  private func latency(in arena: Arena) throws -> ReportTable {
    let root = try arena.cgroup.create("latency")
    let witness = try CgroupWitness(root: root)
    defer { witness.stop() }
    let maker = try RawCgroups(root)
    var fromReturn = CgroupWitness.stages.map { _ in [Double]() }
    var fromCall = fromReturn
    for number in 0..<cgroups {
      if number % 100 == 0 { try Interruption.check() }
      let called = Clock.monotonicNanoseconds()
      let id = try maker.make(number)
      let returned = Clock.monotonicNanoseconds()
      for (stage, time) in witness.await(id).enumerated() {
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

  private func storms(in arena: Arena) throws -> ReportTable {
    var table = ReportTable(
      "Storms, told and classified on the reader's thread",
      columns: ["of", "events", "events/s", "lost", "agent µs/event", "behind at the end, ms"])
    func measure(_ name: String, _ root: CgroupDirectory, processes: Bool, _ work: () throws -> Void) throws {
      let witness = try CgroupWitness(root: root, processes: processes)
      defer { witness.stop() }
      let began = Clock.monotonicNanoseconds()
      try work()
      let ended = Clock.monotonicNanoseconds()
      witness.awaitAll()
      let settled = Clock.monotonicNanoseconds()
      let counts = try witness.counts()
      let total = Double(counts.written + counts.lost)
      table.rows.append([
        .text(name), .count(Int(counts.written)), .number(total / (Double(ended - began) / 1e9), 0),
        .count(Int(counts.lost)), .number(witness.readerMicroseconds / max(Double(counts.written), 1), 2),
        .number(Double(settled - ended) / 1e6, 1),
      ])
    }
    let cgroupRoot = try arena.cgroup.create("storm")
    let maker = try RawCgroups(cgroupRoot)
    try measure("\(storm) cgroups made, then removed", cgroupRoot, processes: false) {
      for number in 0..<storm { _ = try maker.make(number) }
      for number in 0..<storm { try maker.remove(number) }
    }
    try measure("\(storm) cgroups made and removed in turn", cgroupRoot, processes: false) {
      for number in 0..<storm {
        _ = try maker.make(number)
        try maker.remove(number)
      }
    }
    let processRoot = try arena.cgroup.create("processes")
    try measure("\(storm) processes started and ended", processRoot, processes: true) {
      try ForkCost.runProcesses(storm, in: processRoot)
    }
    return table
  }
}
