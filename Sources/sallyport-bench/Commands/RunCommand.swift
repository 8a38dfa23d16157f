// A whole run: every part with every contestant, into a file, tables, and a document.

internal import ArgumentParser
internal import Benchmark
internal import Enforcement
internal import Kernel
internal import SystemPackage

/// A part of a run.
enum Section: String, ExpressibleByArgument, CaseIterable {
  /// Every mechanism, one policy, sockets.
  case mechanisms
  /// Ever more rules.
  case sizes
  /// Datagrams at fixed rates.
  case rates
  /// nginx and redis.
  case applications
  /// Single programs on single packets.
  case testRuns = "test-runs"
  /// Compile, publish, classify, revoke, record, start.
  case control
}

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Measure what enforcement costs on this machine, with every mechanism in turn.",
    discussion: """
      Nothing outside of cgroups and network namespaces of the run's own is touched; everything is removed at the end, \
      also after Ctrl-C. Figures are ratios of one run; `compare` says whether two runs agree.
      """)

  @Flag(help: "Few rounds and fewer contestants: two minutes, wide spreads.") var quick = false
  @Option(parsing: .upToNextOption, help: "Parts of the run.") var sections = Section.allCases
  @Option(
    parsing: .upToNextOption,
    help: "Only contestants whose name contains one of these; nothing and empty programs always.")
  var contestants: [String] = []
  @Option(parsing: .upToNextOption, help: "Only workloads whose name contains one of these.") var workloads: [String] =
    []
  @Option(help: "Batches of each contestant and workload (60; quick: 12).") var rounds: Int?
  @Option(help: "How often processes and namespaces are made anew (4; quick: 2).") var sittings: Int?
  @Option(help: "The processor on which work is done.") var cpu = 1
  @Option(help: "How many processes work at once where many do.") var processes = 4
  @Option(parsing: .upToNextOption, help: "Compiled entries of Sallyport's policies (1 … 1000000).") var sizes: [Int] =
    []
  @Option(parsing: .upToNextOption, help: "Packets a second.") var rates: [Int] = []
  @Option(help: "Another build of bpf/cgroup.bpf.c, to be measured in the place of Sallyport's programs.")
  var object: String?
  @Option(parsing: .upToNextOption, help: "More builds of it, each measured beside Sallyport's own in the same run.")
  var beside: [String] = []
  @Option(help: "The agent, for what is measured of its process; beside this program by default.") var agent: String?
  @Option(help: "What was built, such as a git revision.") var revision: String?
  @Option(name: .customLong("out"), help: "Write the results, with every batch, to this JSON file.") var file: String?
  @Option(help: "Write the tables to this CSV file.") var csv: String?
  @Option(help: "Write BENCHMARKS.md and its plots to this folder.") var report: String?
  @Option(help: "How to print the figures.") var output = OutputFormat.table

  func validate() throws {
    guard cpu >= 0, cpu < MachineFacts.processors else {
      throw ValidationError("--cpu: this machine has processors 0 to \(MachineFacts.processors - 1)")
    }
    guard sizes.allSatisfy({ (1...1_000_000).contains($0) }) else {
      throw ValidationError("--sizes takes numbers from 1 to 1000000")
    }
    guard rates.allSatisfy({ (1...10_000_000).contains($0) }) else {
      throw ValidationError("--rates takes numbers from 1 to 10000000")
    }
    // Now, and not after twenty minutes.
    for file in [file, csv].compactMap({ $0 }) {
      let folder = FilePath(file).removingLastComponent().string
      guard isThere(folder.isEmpty ? "." : folder) else {
        throw ValidationError("there is no folder \(folder) for \(file)")
      }
    }
    guard (1...64).contains(processes) else { throw ValidationError("--processes takes a number from 1 to 64") }
    guard rounds.map({ $0 > 0 }) ?? true, sittings.map({ $0 > 0 }) ?? true else {
      throw ValidationError("--rounds and --sittings take numbers from 1")
    }
  }

  func run() async throws {
    let settings = [
      Fact("rounds", "\(effort.rounds)"), Fact("sittings", "\(effort.sittings)"), Fact("processor", "\(cpu)"),
      Fact("quick", "\(quick)"), Fact("sections", sections.map(\.rawValue).joined(separator: " ")),
      Fact("object", object ?? "the one built in"),
    ]
    var results = Results(machine: MachineFacts.read(revision: revision), settings: settings)
    let load = MachineFacts.load
    let contests = sections.filter { $0 != .control }
    let before = MachineFacts.processorTimes(nil)
    var after = before
    var interrupted: Interrupted?
    do {
      if !contests.isEmpty {
        let arena = try Arena()
        defer { arena.remove() }
        // Also what an interrupted run has found.
        defer { after = MachineFacts.processorTimes(arena.cgroup) }
        try await measure(contests, in: arena, &results)
      }
      if sections.contains(.control) { try await ControlPlane(isQuick: quick, agent: agent).measure(into: &results) }
    } catch let error as Interrupted {
      interrupted = error
      results.notes.append("the run was interrupted: the rest is missing")
    }
    if let before, let after { results.disturbance = Disturbance(from: before, to: after, loadBefore: load) }
    try publish(results)
    if let interrupted { throw interrupted }
  }

  private var effort: Effort {
    Effort(
      rounds: rounds ?? (quick ? 12 : 60), sittings: sittings ?? (quick ? 2 : 4), statistics: quick ? 4 : 5, cpu: cpu)
  }

  // MARK: Contests

  private func measure(_ sections: [Section], in arena: Arena, _ results: inout Results) async throws {
    let catalogue = try Catalogue(
      in: arena,
      Catalogue.Wishes(
        names: contestants, isQuick: quick, rivalSizes: quick ? [10, 1000] : [10, 100, 1000],
        sizes: sizes.isEmpty ? usualSizes : sizes, object: object, beside: beside))
    do {
      writeError("Making contestants …\n")
      var contests: [Contest] = []
      var (mechanisms, sizes): ([any Contestant], [any Contestant]) = ([], [])
      if sections.contains(where: { $0 != .sizes }) { mechanisms = try await catalogue.mechanisms() }
      let few = catalogue.representatives(of: mechanisms)
      for section in sections {
        switch section {
        case .mechanisms: add(Targets.Names.sockets, mechanisms, socketLoads, effort, arena, &contests)
        case .sizes:
          var effort = effort
          effort.statistics = 0
          sizes = try await catalogue.sizes()
          add(Targets.Names.sizes, sizes, sizeLoads, effort, arena, &contests)
        case .rates:
          var effort = effort
          effort.statistics = 0
          let rates = rates.isEmpty ? (quick ? [10_000, 100_000] : [5000, 20_000, 50_000, 100_000, 200_000]) : rates
          add(RateWorkload.section, few, rates.map { PacedDatagrams(rate: $0) }, effort, arena, &contests)
        case .applications:
          // A batch takes a second.
          let effort = Effort(
            rounds: max(effort.rounds / 4, 6), sittings: min(effort.sittings, 2), statistics: 0, cpu: cpu)
          let loads: [any Workload] =
            quick
            ? [WebWorkload(closes: true), RedisWorkload()]
            : [WebWorkload(closes: false), WebWorkload(closes: true), RedisWorkload()]
          let contestants = quick ? few.filter { $0.entrant.role != .floor } : few
          add("applications", contestants, available(loads, &results), effort, arena, &contests)
        case .testRuns, .control: break
        }
      }
      let progress = Progress(total: contests.reduce(0) { $0 + $1.steps })
      for name in self.contestants where !(mechanisms + sizes).contains(where: { $0.entrant.name.contains(name) }) {
        results.notes.append("there is no contestant \(name) that could be measured")
      }
      for contest in contests {
        do { try contest.run(&results, progress) } catch let error as Interrupted { throw error } catch {
          results.notes.append("not finished: \(error)")
        }
      }
      if sections.contains(.testRuns) {
        results.programs += try catalogue.testRuns(rounds: effort.rounds, cpu: cpu)
      }
      progress.finish()
      results.entrants += catalogue.leftOut
      await catalogue.close()
    } catch {
      await catalogue.close()
      throw error
    }
  }

  /// Those that can run here; the others are named with the reason.
  private func available(_ workloads: [any Workload], _ results: inout Results) -> [any Workload] {
    workloads.filter { workload in
      do {
        try workload.require()
        return true
      } catch {
        results.notes.append("\(workload.name) is not measured: \(error)")
        return false
      }
    }
  }

  private func add(
    _ name: String, _ contestants: [any Contestant], _ workloads: [any Workload], _ effort: Effort, _ arena: Arena,
    _ contests: inout [Contest]
  ) {
    let wished = workloads.filter { workload in
      self.workloads.isEmpty || self.workloads.contains { workload.name.contains($0) }
    }
    if !wished.isEmpty { contests.append(Contest(name, in: arena, contestants, wished, effort)) }
  }

  private var usualSizes: [Int] { quick ? [1, 10_000, 250_000] : [1, 100, 1000, 10_000, 100_000, 1_000_000] }

  private var socketLoads: [any Workload] {
    let many: [Load] = quick ? [.udpPingPong] : [.connect, .tcpPingPong, .udpPingPong]
    return Load.allCases.map { SocketWorkload(load: $0) }
      + many.map { SocketWorkload(load: $0, processes: processes) }
  }

  private var sizeLoads: [any Workload] {
    [Load.connect, .tcpPingPong, .udpPingPong, .udpSendTo].map { SocketWorkload(load: $0) }
  }

  // MARK: Results

  private func publish(_ results: Results) throws {
    // First, so that it is not lost with a file that cannot be written.
    switch output {
    case .json: writeOutput(try results.json())
    case .csv: writeOutput(Array(results.tables.map(\.csv).joined(separator: "\n").utf8))
    case .table:
      var text = (results.machine + results.settings).map { "  \($0.name): \($0.value)\n" }.joined()
      text += results.tables.map(\.shown).joined()
      text += "\n" + (results.warnings.map { "warning: \($0)\n" } + results.notes.map { "note: \($0)\n" }).joined()
      if let disturbance = results.disturbance { text += "machine: \(disturbance.verdict)\n" }
      writeOutput(Array(text.utf8))
    }
    if let file { try replaceFile(FilePath(file), with: try results.json(), mode: 0o644) }
    if let csv {
      try replaceFile(FilePath(csv), with: Array(results.tables.map(\.csv).joined(separator: "\n").utf8), mode: 0o644)
    }
    if let report { try ReportCommand.write(results, to: report) }
  }
}
