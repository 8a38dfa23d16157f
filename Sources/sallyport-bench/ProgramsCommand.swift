// What single programs cost, as the kernel's own test run says.

internal import ArgumentParser
internal import BPF
internal import Enforcement
internal import Kernel

struct ProgramsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "programs", abstract: "Run single programs on packets in the kernel, beside an empty one.")

  @Option(help: "Batches of each path.") var rounds = 40
  @Option(help: "Runs in a batch.") var repeating = 5000
  @Option(help: "Rules of the large policy.") var rules = 10_000
  @Option(help: "Identities of the large policy.") var identities = 100_000
  @Option(help: "About how many compiled entries of the large policy.") var cells = 1_000_000
  @Flag(help: "Leave the large policy out.") var small = false
  @Option(help: "The CPU that runs the programs.") var cpu = 1
  @Option(help: "How to print the figures.") var output = OutputFormat.table

  /// A program, a packet, and what it must return.
  private struct Path {
    let name: String
    let program: String
    let packet: [UInt8]
    let expected: Int
    let isServer: Bool
  }

  func run() async throws {
    var report = Report(
      "programs", settings: [("rounds", "\(rounds)"), ("runs in a batch", "\(repeating)"), ("cpu", "\(cpu)")])
    let arena = try Arena()
    defer { arena.remove() }
    var instances: [(name: String, instance: Instance)] = []
    do {
      instances.append(("2 rules", try await Rivals.small(in: arena)))
      if !small {
        let synthetic = SyntheticPolicy(rules: rules, identityCount: identities, cells: cells, seed: 1)
        let (instance, found) = try await Rivals.large(in: arena, synthetic)
        instances.append(("\(rules) rules", instance))
        report.settings.append(("large policy", "\(rules) rules, \(identities) identities, \(found) cells"))
      }
      report.tables.append(try measure(arena, instances))
      report.notes.append(
        "a test run's socket has no protocol: UDP takes the long way, and the other end is known by its address alone")
    } catch {
      for (_, instance) in instances { try? await instance.close() }
      throw error
    }
    for (_, instance) in instances { try await instance.close() }
    report.print(output)
  }

  private static let paths: [Path] = {
    let (datagram, solicitation) = (Packet.udp(from: 4000, to: 5000), Packet.neighbourSolicitation)
    return [
      Path(name: "egress, UDP conversation", program: "sp_egress", packet: datagram, expected: 1, isServer: false),
      Path(
        name: "ingress, UDP refused each time", program: "sp_ingress", packet: datagram, expected: 0, isServer: true),
      Path(name: "egress, solicitation", program: "sp_egress", packet: solicitation, expected: 1, isServer: false),
      Path(name: "ingress, solicitation", program: "sp_ingress", packet: solicitation, expected: 1, isServer: true),
    ]
  }()

  private func measure(_ arena: Arena, _ instances: [(name: String, instance: Instance)]) throws -> ReportTable {
    let namespace = try arena.makeNamespace()
    let client = try WorkerProcess(in: arena.client, namespace: namespace, cpu: cpu)
    let server = try WorkerProcess(in: arena.server, namespace: namespace, cpu: cpu)
    let empty = try Contestant.emptyProgram(.cgroupSKB, .cgroupEgress)
    guard let pins = instances.first?.instance.datapath.pins else { return ReportTable("", columns: []) }
    let emptyPin = "\(pins)/programs/bench_empty"
    try empty.pin(at: emptyPin)
    defer { try? removePin(at: emptyPin) }
    var table = ReportTable(
      "Nanoseconds per run (BPF_PROG_TEST_RUN)",
      columns: ["path", "tables", "min", "median", "empty min", "added min", "added median"])
    for path in Self.paths {
      let digits = Packet.digits(path.packet)
      let worker = path.isServer ? server : client
      var floor: [Double] = []
      var times = instances.map { _ in [Double]() }
      for _ in 0..<rounds {
        try Interruption.check()
        floor.append(try nanoseconds(worker, emptyPin, digits, 1))
        for (index, item) in instances.enumerated() {
          let program = "\(item.instance.datapath.pins)/programs/\(path.program)"
          times[index].append(try nanoseconds(worker, program, digits, path.expected))
        }
      }
      let base = Samples(floor)
      for (index, item) in instances.enumerated() {
        let samples = Samples(times[index])
        let added = Samples(zip(times[index], floor).map { $0 - $1 })
        let least = (samples.minimum ?? 0) - (base.minimum ?? 0)
        table.rows.append([
          .text(path.name), .text(item.name), .number(samples.minimum, digits: 0), .number(samples.median, digits: 0),
          .number(base.minimum, digits: 0), .number(least, 0), .number(added.median, digits: 0),
        ])
      }
    }
    return table
  }

  private func nanoseconds(
    _ worker: WorkerProcess, _ program: String, _ packet: String, _ expected: Int
  ) throws -> Double {
    let words = try worker.ask("test \(program) \(packet) \(repeating)").compactMap { Double($0) }
    guard words.count == 2, Int(words[0]) == expected else {
      throw WorkerError(order: "test \(program)", text: "the program answered \(words), expected \(expected)")
    }
    return words[1]
  }
}
