// What single programs cost, as the kernel's own test run says.

internal import BPF
internal import Benchmark
internal import Enforcement
internal import Kernel

/// Runs single programs on packets in the kernel, beside an empty one.
///
/// A test run's socket has no protocol: UDP takes the long way, and the other end is known by its address alone.
struct TestRuns {
  /// Batches of each path.
  let rounds: Int
  /// The processor that runs the programs.
  let cpu: Int
  /// Runs in a batch.
  private let repeating = 5000

  /// A program, a packet, and what it must return.
  private struct Path {
    let name: String
    let program: String
    let packet: [UInt8]
    let expected: Int
    let isServer: Bool
  }

  private static let paths: [Path] = {
    let (datagram, solicitation) = (Packet.udp(from: 4000, to: 5000), Packet.neighbourSolicitation)
    return [
      Path(name: "UDP conversation", program: "sp_egress", packet: datagram, expected: 1, isServer: false),
      Path(name: "UDP refused each time", program: "sp_ingress", packet: datagram, expected: 0, isServer: true),
      Path(name: "solicitation", program: "sp_egress", packet: solicitation, expected: 1, isServer: false),
      Path(name: "solicitation", program: "sp_ingress", packet: solicitation, expected: 1, isServer: true),
    ]
  }()

  /// Measures the programs of an instance, and an empty one for each of its paths.
  func measure(_ arena: Arena, _ instance: Instance, named contestant: String) throws -> [ProgramMeasurement] {
    let namespace = try arena.makeNamespace()
    let client = try WorkerProcess(in: arena.client, namespace: namespace, cpu: cpu)
    let server = try WorkerProcess(in: arena.server, namespace: namespace, cpu: cpu)
    let emptyPin = "\(instance.datapath.pins)/programs/bench_empty"
    try CgroupPrograms.emptyProgram(.cgroupSKB, .cgroupEgress).pin(at: emptyPin)
    defer { try? removePin(at: emptyPin) }
    // An empty one and its own for each path, and every round with all paths: what slows the machine for a while slows all.
    var found = Self.paths.flatMap { path in
      let workload = "test run: \(path.name)"
      return [("empty programs", "empty \(path.program)"), (contestant, path.program)].map { contestant, program in
        var one = ProgramMeasurement(contestant: contestant, workload: workload, program: program)
        one.nanoseconds = [[]]
        return one
      }
    }
    for _ in 0..<rounds {
      try Interruption.check()
      for (index, path) in Self.paths.enumerated() {
        let worker = path.isServer ? server : client
        let program = "\(instance.datapath.pins)/programs/\(path.program)"
        found[2 * index].nanoseconds[0].append(try nanoseconds(worker, emptyPin, path.packet, 1))
        found[2 * index + 1].nanoseconds[0].append(try nanoseconds(worker, program, path.packet, path.expected))
      }
    }
    return found
  }

  private func nanoseconds(
    _ worker: WorkerProcess, _ program: String, _ packet: [UInt8], _ expected: Int
  ) throws -> Double {
    let words = try worker.ask("test \(program) \(Packet.digits(packet)) \(repeating)").compactMap { Double($0) }
    guard words.count == 2, Int(words[0]) == expected else {
      throw WorkerError(order: "test \(program)", text: "the program answered \(words), expected \(expected)")
    }
    return words[1]
  }
}
