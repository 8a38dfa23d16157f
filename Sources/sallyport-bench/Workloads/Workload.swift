// What is done while a contestant is in force, and what it took.

internal import Benchmark
internal import Kernel

/// What a batch took.
struct Batch: Sendable {
  /// How many units of work were done.
  let units: Int
  /// Nanoseconds by the clock on the wall.
  let wall: UInt64
  /// Nanoseconds of processor time of everybody who works for it.
  let cpu: UInt64
  /// Instructions, kernel and user; nil where the machine does not count them.
  let instructions: UInt64?
}

/// A kind of work.
protocol Workload: Sendable {
  /// Unique in a part of a run; the same in every run.
  var name: String { get }
  /// What is counted.
  var unit: String { get }
  /// How many units make the first batch, and at most.
  var batch: Int { get }
  /// Whether it means the same with this contestant.
  func suits(_ contestant: any Contestant) -> Bool
  /// How many times as long as a batch of 8 ms its batches take.
  var weight: Int { get }
  /// Throws if this machine lacks what it needs.
  func require() throws
  /// Does so many units of work.
  func run(_ units: Int, in lane: Lane) throws -> Batch
  /// How many units the next batches have, after one to warm up.
  func units(after batch: Batch) -> Int
}

extension Workload {
  var weight: Int { 1 }
  func require() throws {}

  func suits(_ contestant: any Contestant) -> Bool { true }

  /// As many as take 8 ms, so that a dear contestant does not take the time of all others.
  func units(after batch: Batch) -> Int {
    guard batch.units > 0, batch.wall > 0 else { return self.batch }
    let each = Double(batch.wall) / Double(batch.units)
    return min(max(Int(8_000_000 / each), 20), self.batch)
  }
}

/// Sockets on the loopback interface, by one process or by many at once.
struct SocketWorkload: Workload {
  let load: Load
  /// How many processes work at the same time.
  var processes = 1

  var name: String { processes == 1 ? load.rawValue : "\(load.rawValue) by \(processes)" }
  var unit: String { load.unit }
  var batch: Int { load.batch }

  /// Rules do not see a connection that has no route.
  func suits(_ contestant: any Contestant) -> Bool { load != .refused || !contestant.hasRules }

  func run(_ units: Int, in lane: Lane) throws -> Batch {
    let workers = try lane.crew(processes)
    let order = "run \(load.rawValue) \(units)"
    let helpers = try ProcessorTime.of(lane.arena.helpers)
    for worker in workers { try worker.order(order) }
    let answers = try workers.map { try Elapsed(words: $0.answer(order), order: order) }
    return Batch(
      units: units * workers.count, wall: answers.map(\.wall).max() ?? 0,
      cpu: answers.reduce(0) { $0 + $1.cpu } + (try ProcessorTime.of(lane.arena.helpers) - helpers),
      instructions: answers.allSatisfy { $0.instructions != nil }
        ? answers.reduce(0) { $0 + ($1.instructions ?? 0) } : nil)
  }
}

/// Datagrams at a fixed rate: what one costs when the processor has time to forget the last.
struct PacedDatagrams: Workload {
  let rate: Int

  var name: String { RateWorkload.name(rate) }
  let unit = "packet"
  let weight = 6
  /// A twentieth of a second.
  var batch: Int { max(rate / 20, 20) }

  func units(after batch: Batch) -> Int { self.batch }

  func run(_ units: Int, in lane: Lane) throws -> Batch {
    let order = "pace \(rate) \(units)"
    let helpers = try ProcessorTime.of(lane.arena.helpers)
    let elapsed = try Elapsed(words: lane.worker.ask(order), order: order)
    return Batch(
      units: units, wall: elapsed.wall, cpu: elapsed.cpu + (try ProcessorTime.of(lane.arena.helpers) - helpers),
      instructions: elapsed.instructions)
  }
}

extension Elapsed {
  /// As the worker says it.
  init(words: [String], order: String) throws {
    guard words.count == 3, let wall = UInt64(words[0]), let cpu = UInt64(words[1]) else {
      throw WorkerError(order: order, text: "it answered \(words.joined(separator: " "))")
    }
    self.init(wall: wall, cpu: cpu, instructions: UInt64(words[2]))
  }

  /// The same, as words.
  var words: String { "\(wall) \(cpu) \(instructions.map { "\($0)" } ?? "-")" }
}
