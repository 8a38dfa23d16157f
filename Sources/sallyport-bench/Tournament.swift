// Contestants in turn, many short batches, and what may be concluded from them.

internal import Kernel

/// Runs every kind of work with every contestant, round by round.
final class Tournament {
  private let contestants: [Contestant]
  private let loads: [Load]
  private let rounds: Int
  /// Nanoseconds per unit: by load, contestant, round.
  private var wall: [[[Double]]]
  private var cpu: [[[Double]]]

  /// The first contestant must be nothing, the second the empty programs.
  init(contestants: [Contestant], loads: [Load], rounds: Int) {
    self.contestants = contestants
    self.loads = loads
    self.rounds = max(rounds, 2)
    wall = loads.map { _ in contestants.map { _ in [] } }
    cpu = wall
  }

  /// Measures; the order of contestants turns by one each round, so that none is always first after a pause.
  func run(in arena: Arena, cpu number: Int) throws {
    let worker = try WorkerProcess(in: arena.server, namespace: try arena.makeNamespace(), cpu: number)
    _ = try worker.ask("listen")
    try worker.move(to: arena.client)
    for round in 0..<rounds {
      for turn in contestants.indices {
        try Interruption.check()
        let index = (turn + round) % contestants.count
        let attached = try contestants[index].attach(to: arena.cgroup)
        for (position, load) in loads.enumerated() {
          let words = try worker.ask("run \(load.rawValue) \(load.batch)").compactMap { Double($0) }
          guard words.count == 2 else { throw WorkerError(order: "run \(load)", text: "no figures") }
          wall[position][index].append(words[0] / Double(load.batch))
          cpu[position][index].append(words[1] / Double(load.batch))
        }
        withExtendedLifetime(attached) {}
      }
    }
  }

  /// One table for each kind of work.
  var tables: [ReportTable] {
    loads.enumerated().map { position, load in
      var table = ReportTable(
        "\(load.rawValue) (\(load.target)), ns per unit; ratios are of CPU time, round by round",
        columns: [
          "contestant", "wall min", "wall median", "cpu min", "cpu median", "added (min)", "added (median)",
          "added ÷ empty's (min)", "(median)", "÷ empty", "quartiles", "÷ nothing",
        ])
      for index in contestants.indices { table.rows.append(row(position, index)) }
      return table
    }
  }

  private func row(_ load: Int, _ index: Int) -> [Field] {
    let samples = Samples(wall[load][index])
    let processor = Samples(cpu[load][index])
    // Neighbours in time are compared with each other: what disturbs one batch disturbs the next as well. CPU time
    // leaves out what other processes took from this one.
    let overEmpty = paired(load, index, 1, /)
    let minimums = cpu[load].map { Samples($0).minimum ?? 0 }
    let (added, floor) = (minimums[index] - minimums[0], minimums[1] - minimums[0])
    let addedMedian = paired(load, index, 0, -).median ?? 0
    let floorMedian = paired(load, 1, 0, -).median ?? 0
    let spread = "\(overEmpty.lowerQuartile?.fixed(3) ?? "-")…\(overEmpty.upperQuartile?.fixed(3) ?? "-")"
    return [
      .text(contestants[index].name), .number(samples.minimum, digits: 0), .number(samples.median, digits: 0),
      .number(processor.minimum, digits: 0), .number(processor.median, digits: 0), .number(added, 0),
      .number(addedMedian, 0), index > 1 && floor > 0 ? .number(added / floor, 2) : .none,
      index > 1 && floorMedian > 0 ? .number(addedMedian / floorMedian, 2) : .none,
      .number(overEmpty.median, digits: 3), .text(spread), .number(paired(load, index, 0, /).median, digits: 3),
    ]
  }

  private func paired(_ load: Int, _ index: Int, _ other: Int, _ compare: (Double, Double) -> Double) -> Samples {
    Samples(zip(cpu[load][index], cpu[load][other]).map { compare($0, $1) })
  }
}
