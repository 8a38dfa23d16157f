// Contestants in turn, many short batches: who is measured where, and that each does what it is there for.

internal import Kernel

/// Runs every kind of work with every contestant, round by round.
final class Tournament {
  let contestants: [Contestant]
  let loads: [Load]
  private let rounds: Int
  /// Nanoseconds per unit: by load, contestant, round.
  private(set) var wall: [[[Double]]]
  private(set) var cpu: [[[Double]]]

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
    let workers = try makeWorkers(in: arena, cpu: number)
    try verify(workers, arena)
    for round in 0..<rounds {
      for turn in contestants.indices {
        try Interruption.check()
        let index = (turn + round) % contestants.count
        let attached = try contestants[index].attach(to: arena.cgroup)
        for (position, load) in loads.enumerated() {
          let words = try workers[index].ask("run \(load.rawValue) \(load.batch)").compactMap { Double($0) }
          guard words.count == 2 else { throw WorkerError(order: "run \(load)", text: "no figures") }
          wall[position][index].append(words[0] / Double(load.batch))
          cpu[position][index].append(words[1] / Double(load.batch))
        }
        withExtendedLifetime(attached) {}
      }
    }
    try verify(workers, arena)
  }

  /// One for each contestant: all who have no rules share one, so that they differ in nothing else.
  private func makeWorkers(in arena: Arena, cpu number: Int) throws -> [WorkerProcess] {
    func make(_ namespace: NetworkNamespace) throws -> WorkerProcess {
      let worker = try WorkerProcess(in: arena.server, namespace: namespace, cpu: number)
      _ = try worker.ask("listen")
      try worker.move(to: arena.client)
      return worker
    }
    let shared = try make(try arena.makeNamespace())
    return try contestants.map { contestant in
      guard let rules = contestant.rules else { return shared }
      let namespace = try arena.makeNamespace()
      try rules(namespace)
      return try make(namespace)
    }
  }

  /// Who enforces refuses the forbidden port, and nobody else does.
  private func verify(_ workers: [WorkerProcess], _ arena: Arena) throws {
    for (contestant, worker) in zip(contestants, workers) {
      guard let refuses = contestant.refuses else { continue }
      let attached = try contestant.attach(to: arena.cgroup)
      let passed = try worker.ask("forbidden")
      withExtendedLifetime(attached) {}
      guard passed == ["\(!refuses)", "\(!refuses)"] else {
        let text = "connection and datagram to the forbidden port come through: \(passed.joined(separator: ", "))"
        throw WorkerError(order: "try \(contestant.name)", text: text)
      }
    }
  }
}
