// How soon live connections end after policy was tightened.

internal import ArgumentParser
internal import Benchmark
internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage

struct RevokeCommand: ControlMeasurement {
  static let configuration = CommandConfiguration(
    commandName: "revoke",
    abstract: "Tighten a policy while connections live, and measure until all of them are cut.",
    discussion: "As the agent does: compile and publish, list sockets, judge them, destroy the losers.")

  @Option(help: "Connections, both ends on this host.") var flows = 10_000
  @Option(help: "Repetitions.") var rounds = 5
  @Option(help: "How to print the figures.") var output = OutputFormat.table

  func validate() throws {
    // Ports of one address, and two descriptors for each connection.
    guard (2...20_000).contains(flows) else { throw ValidationError("--flows takes a number from 2 to 20000") }
  }

  func run() async throws { try await report().print(output) }

  func report() async throws -> Report {
    var report = Report("revoke", settings: [("flows", "\(flows)"), ("rounds", "\(rounds)")])
    let arena = try Arena()
    defer { arena.remove() }
    let lane = try Lane(in: arena, cpu: 0)
    try lane.install(nil)
    defer { lane.end() }
    let instance = try Instance("revoke", in: arena, cells: 1000)
    do {
      try await measure(instance, lane, &report)
      try await instance.close()
    } catch {
      try? await instance.close()
      throw error
    }
    return report
  }

  private func measure(_ instance: Instance, _ lane: Lane, _ report: inout Report) async throws {
    let enforcer = instance.enforcer
    let (open, tight) = (try BenchPolicy.small(), try BenchPolicy.small(allowing: false))
    _ = try await enforcer.apply(policy: open, sources: [])
    _ = try await enforcer.update(workloads: try BenchPolicy.workloads(in: lane.arena))
    let live = LiveFlows()
    try instance.datapath.startEvents { live.note($0) }
    // Each connection takes two descriptors of its process.
    let workers = try lane.crew(4)
    let each = flows / workers.count
    var (all, publishing, survivors): ([Double], [Double], [Double]) = ([], [], [])
    for _ in 0..<max(rounds, 1) {
      try Interruption.check()
      _ = try await enforcer.apply(policy: open, sources: [])
      for worker in workers { _ = try worker.ask("hold \(each)") }
      let began = Clock.monotonicNanoseconds()
      _ = try await enforcer.apply(policy: tight, sources: [])
      let published = Clock.monotonicNanoseconds()
      let outcome = try await revoke(enforcer, live, lane.arena)
      let ended = Clock.monotonicNanoseconds()
      all.append(Double(ended - began) / 1e6)
      publishing.append(Double(published - began) / 1e6)
      let alive = try workers.reduce(0) { try $0 + (Int($1.ask("alive").first ?? "") ?? each) }
      survivors.append(Double(alive))
      report.notes += outcome.failures.prefix(3)
      for worker in workers { _ = try worker.ask("release") }
    }
    let count = "\(each * workers.count) connections"
    report.tables.append(
      ReportTable(
        "Policy tightened until \(count) are cut (P10: 100 ms), ms", columns: ["step", "min", "median", "max"],
        rows: [("publish", publishing), ("everything", all), ("connections that live on", survivors)].map {
          let samples = Samples($0.1)
          return [
            .text($0.0), .number(samples.minimum, digits: 1), .number(samples.median, digits: 1),
            .number(samples.maximum, digits: 1),
          ]
        }))
    // A time means nothing if something lives on.
    guard survivors.allSatisfy({ $0 == 0 }) else {
      throw KernelError("cut", "\(Int(survivors.max() ?? 0)) of \(count)", .canceled, remedy: "see `revoke`")
    }
    report.quantities.append(Quantity("revocation", unit: "ms", all))
  }

  /// What the agent does after a change in force.
  private func revoke(_ enforcer: Enforcer, _ live: LiveFlows, _ arena: Arena) async throws -> Revocation {
    guard let tables = try await enforcer.tables else { return Revocation() }
    let rows = await enforcer.workloadRows
    let rules = RevocationRules(tables: tables, generation: await enforcer.generation) { cgroup in
      rows[cgroup].map { PolicedSubject($0, of: cgroup) }
    }
    let namespaces = try NetworkNamespace.ofProcesses(below: arena.cgroup)
    return Revoker(flows: live).revoke(by: rules, in: namespaces)
  }
}
