// Contestants in turn, many short batches: who is measured where, and that each does what it is there for.

internal import BPF
internal import Benchmark
internal import Kernel

/// How much is measured.
struct Effort: Sendable {
  /// Batches of each contestant at each workload, all sittings together.
  var rounds: Int
  /// How often processes and namespaces are made anew.
  var sittings: Int
  /// Rounds of each sitting in which the kernel's clock runs in every program; 0 = none.
  var statistics: Int
  /// The processor on which work is done.
  var cpu: Int
}

/// One part of a run: every workload with every contestant, round by round.
final class Contest {
  private let section: String
  private let contestants: [any Contestant]
  private let workloads: [any Workload]
  private let effort: Effort
  private let arena: Arena
  /// Why a contestant is not measured (any more).
  private var leftOut: [String: String] = [:]
  private var measurements: [[Measurement]]
  private var programs: [ProgramMeasurement] = []
  /// How many units make a batch of some milliseconds, found in the warm-up.
  private var batches: [[Int]]

  /// The first contestant must be the baseline.
  init(
    _ section: String, in arena: Arena, _ contestants: [any Contestant], _ workloads: [any Workload], _ effort: Effort
  ) {
    self.section = section
    self.arena = arena
    self.contestants = contestants
    self.workloads = workloads
    self.effort = effort
    measurements = contestants.map { contestant in
      workloads.map {
        Measurement(section: section, contestant: contestant.entrant.name, workload: $0.name, unit: $0.unit)
      }
    }
    batches = contestants.map { _ in workloads.map(\.batch) }
  }

  /// How many steps `run` reports; a step takes about as long as one of another contest.
  var steps: Int { contestants.count * (effort.rounds + effort.sittings * (1 + effort.statistics)) * weight }
  private var weight: Int { workloads.reduce(0) { $0 + $1.weight } }

  /// Measures, and adds what it found, also if it is interrupted; throws if the baseline cannot be measured.
  func run(_ results: inout Results, _ progress: Progress) throws {
    defer { collect(&results) }
    let sittings = max(min(effort.sittings, effort.rounds), 1)
    for sitting in 0..<sittings {
      let rounds = effort.rounds * (sitting + 1) / sittings - effort.rounds * sitting / sittings
      try sit(rounds, progress)
    }
  }

  private func collect(_ results: inout Results) {
    for (index, contestant) in contestants.enumerated() {
      var entrant = contestant.entrant
      entrant.leftOut = leftOut[entrant.name]
      if !results.entrants.contains(where: { $0.name == entrant.name }) {
        results.entrants.append(entrant)
      } else if let reason = entrant.leftOut {
        results.notes.append("\(entrant.name) is left out of \(section): \(reason)")
      }
      guard entrant.leftOut == nil else { continue }
      results.measurements += measurements[index].filter { $0.cpu.contains { !$0.isEmpty } }.map { measurement in
        var measurement = measurement
        if measurement.instructions.allSatisfy(\.isEmpty) { measurement.instructions = [] }
        return measurement
      }
    }
    results.programs += programs.filter { leftOut[$0.contestant] == nil }
  }

  // MARK: One sitting

  private func sit(_ rounds: Int, _ progress: Progress) throws {
    var lanes: [Lane?] = []
    defer { for lane in lanes { lane?.end() } }
    let shared = try makeLane(nil)
    for contestant in contestants {
      let name = contestant.entrant.name
      guard leftOut[name] == nil else {
        lanes.append(nil)
        continue
      }
      do {
        lanes.append(contestant.hasRules ? try makeLane(contestant) : shared)
      } catch let error as Interrupted { throw error } catch {
        lanes.append(nil)
        try exclude(name, "\(error)")
      }
    }
    verify(lanes, "before it was measured")
    try requireBaseline()
    for index in contestants.indices {
      for position in workloads.indices {
        measurements[index][position].wall.append([])
        measurements[index][position].cpu.append([])
        measurements[index][position].instructions.append([])
      }
    }
    // The first round warms up, and finds how many units make a batch.
    for round in 0...rounds {
      try turns(lanes, round, progress) { index, lane in
        for position in workloads.indices { try measure(index, position, lane, isWarmUp: round == 0) }
      }
    }
    if effort.statistics > 0 { try countPrograms(lanes, progress) }
    verify(lanes, "after it was measured")
    try requireBaseline()
  }

  private func makeLane(_ contestant: (any Contestant)?) throws -> Lane {
    try Interruption.check()
    let lane = try Lane(in: arena, cpu: effort.cpu)
    try lane.install(contestant)
    return lane
  }

  /// Calls `body` for each contestant while it is in force; the order turns by one each round, so that none is always
  /// first after a pause.
  private func turns(
    _ lanes: [Lane?], _ round: Int, _ progress: Progress, _ body: (Int, Lane) throws -> Void
  ) throws {
    for turn in contestants.indices {
      try Interruption.check()
      let index = (turn + round) % contestants.count
      let name = contestants[index].entrant.name
      if let lane = lanes[index], leftOut[name] == nil {
        do {
          let engaged = try contestants[index].engage(on: arena.cgroup)
          try body(index, lane)
          withExtendedLifetime(engaged) {}
        } catch let error as Interrupted { throw error } catch { try exclude(name, "\(error)") }
      }
      progress.step(section, weight)
    }
  }

  private func measure(_ index: Int, _ position: Int, _ lane: Lane, isWarmUp: Bool) throws {
    let workload = workloads[position]
    guard workload.suits(contestants[index]) else { return }
    let batch = try workload.run(batches[index][position], in: lane)
    guard !isWarmUp else {
      batches[index][position] = workload.units(after: batch)
      return
    }
    let units = Double(batch.units)
    func note(_ value: Double, _ path: WritableKeyPath<Measurement, Batches>) {
      let sitting = measurements[index][position][keyPath: path].count - 1
      measurements[index][position][keyPath: path][sitting].append(value / units)
    }
    note(Double(batch.wall), \.wall)
    note(Double(batch.cpu), \.cpu)
    if let instructions = batch.instructions { note(Double(instructions), \.instructions) }
  }

  // MARK: What programs take

  private func countPrograms(_ lanes: [Lane?], _ progress: Progress) throws {
    let clock = try ProgramStatistics.enable()
    defer { withExtendedLifetime(clock) {} }
    for position in programs.indices { programs[position].nanoseconds.append([]) }
    for round in 0..<effort.statistics {
      try turns(lanes, round, progress) { index, lane in
        let contestant = contestants[index]
        guard try !contestant.programCounts().isEmpty else { return }
        for (position, workload) in workloads.enumerated() where workload.suits(contestant) {
          let before = try contestant.programCounts()
          let batch = try workload.run(batches[index][position], in: lane)
          for (old, new) in zip(before, try contestant.programCounts()) {
            let runs = new.statistics.runs - old.statistics.runs
            // A run now and then, of somebody's close, says nothing.
            guard runs * 10 >= UInt64(batch.units) else { continue }
            let time = Double(new.statistics.nanoseconds - old.statistics.nanoseconds) / Double(runs)
            note(contestant.entrant.name, workload.name, new.program, time, Double(runs) / Double(batch.units))
          }
        }
      }
    }
  }

  private func note(_ contestant: String, _ workload: String, _ program: String, _ time: Double, _ perUnit: Double) {
    let known = programs.firstIndex {
      $0.contestant == contestant && $0.workload == workload && $0.program == program
    }
    let index = known ?? programs.count
    if known == nil {
      programs.append(ProgramMeasurement(contestant: contestant, workload: workload, program: program))
      programs[index].nanoseconds.append([])
    }
    programs[index].nanoseconds[programs[index].nanoseconds.count - 1].append(time)
    programs[index].runsPerUnit = perUnit
  }

  // MARK: Who takes part

  /// What is allowed comes through everybody; what is forbidden comes through those alone that enforce nothing.
  private func verify(_ lanes: [Lane?], _ moment: String) {
    for (contestant, lane) in zip(contestants, lanes) {
      guard let lane, leftOut[contestant.entrant.name] == nil, let refuses = contestant.refuses else { continue }
      let complaint: String?
      do {
        let engaged = try contestant.engage(on: arena.cgroup)
        complaint = Check.complaint(try lane.check(), refuses: refuses)
        withExtendedLifetime(engaged) {}
      } catch { complaint = "\(error)" }
      if let complaint { leftOut[contestant.entrant.name] = "its check failed \(moment): \(complaint)" }
    }
  }

  private func exclude(_ name: String, _ reason: String) throws {
    leftOut[name] = reason
    try requireBaseline()
  }

  private func requireBaseline() throws {
    guard let baseline = contestants.first?.entrant.name, let reason = leftOut[baseline] else { return }
    throw WorkerError(order: "measure \(baseline) in \(section)", text: reason)
  }
}

/// What must come through, and what must not.
enum Check {
  /// The attempts, in the order of the worker's words.
  static let attempts = [
    "the allowed connection", "the allowed datagram", "the forbidden connection", "the forbidden datagram",
  ]

  /// What is wrong with the worker's answer; nil if nothing is.
  static func complaint(_ words: [String], refuses: Bool) -> String? {
    let expected = [true, true, !refuses, !refuses]
    guard words.count == attempts.count else { return "the worker answered \(words)" }
    let wrong = zip(zip(attempts, words), expected).filter { $0.0.1 != "\($0.1)" }
    guard !wrong.isEmpty else { return nil }
    return wrong.map { "\($0.0.0) \($0.1 ? "was refused" : "came through")" }.joined(separator: ", ")
  }
}
