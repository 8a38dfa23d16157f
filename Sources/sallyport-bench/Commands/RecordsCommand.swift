// How many flow records a processor consumes in a second.

internal import ArgumentParser
internal import Benchmark
internal import Enforcement
internal import Evidence
internal import JSON
internal import Kernel
internal import Policy
internal import SystemPackage

struct RecordsCommand: ControlMeasurement {
  static let configuration = CommandConfiguration(
    commandName: "records",
    abstract: "Measure how many records of the kernel are remembered, joined, named and encoded a second.",
    discussion: """
      What the agent does with each batch of its ring, but for copying it out of the ring and writing lines to a disk. \
      Connections that open and close, three records each.
      """)

  @Option(help: "Connections in a batch of measurement.") var flows = 50_000
  @Option(help: "Repetitions.") var rounds = 8
  @Option(help: "How to print the figures.") var output = OutputFormat.table

  func run() async throws { try await report().print(output) }

  func report() async throws -> Report {
    var report = Report("records", settings: [("flows", "\(flows)"), ("rounds", "\(rounds)")])
    let arena = try Arena()
    defer { arena.remove() }
    let instance = try Instance("records", in: arena, cells: 1000)
    do {
      try await measure(instance, arena, &report)
      try await instance.close()
    } catch {
      try? await instance.close()
      throw error
    }
    return report
  }

  private func measure(_ instance: Instance, _ arena: Arena, _ report: inout Report) async throws {
    let enforcer = instance.enforcer
    _ = try await enforcer.apply(policy: try BenchPolicy.small(), sources: [])
    _ = try await enforcer.update(workloads: try BenchPolicy.workloads(in: arena))
    let rows = await enforcer.workloadRows
    let (names, generation) = (FlowNames(await enforcer.names, reusing: nil), await enforcer.generation)
    let ends = (client: arena.client.id, server: arena.server.id)
    guard let client = rows[ends.client]?.identity, let server = rows[ends.server]?.identity else {
      throw KernelError("find", "the identities of the bench's cgroups", .noSuchFileOrDirectory)
    }
    let events = (1...UInt64(max(flows, 1))).flatMap { socket in
      [FlowEvent.Kind.attempt, .open, .close].enumerated().map { step, kind in
        var event = FlowEvent(kind: kind, time: 1_000_000 + socket * 10 + UInt64(step), socket: socket)
        (event.workload, event.peerWorkload) = (ends.client.rawValue, ends.server.rawValue)
        (event.subject, event.peer, event.generation) = (client, server, generation)
        (event.local, event.remote) = (IPAddress(ipv4: 0x0a00_0001), IPAddress(ipv4: 0x0a00_0002))
        (event.localPort, event.remotePort, event.protocol) = (40_000, 80, .tcp)
        (event.rule, event.pid) = (1, 4711)
        (event.decidedBy, event.assurance) = (kind == .attempt ? .rule : .nothing, .socket)
        if kind == .attempt { event.action = .allow }
        return event
      }
    }
    var rates: [Double] = []
    var bytes = 0
    for _ in 0..<max(rounds, 1) {
      try Interruption.check()
      let live = LiveFlows()
      var tracker = FlowTracker()
      tracker.publish(names, generation: generation)
      var encoder = FlowEncoder()
      var json = JSONWriter(capacity: 1 << 20)
      var lines = 0
      bytes = 0
      let cpu = ProcessorTime.thread.microseconds
      for start in stride(from: 0, to: events.count, by: 1024) {
        let batch = Array(events[start..<min(start + 1024, events.count)])
        live.note(batch)
        tracker.consume(batch) { record in
          encoder.append(record, to: &json)
          lines += 1
        }
        bytes += json.bytes.count
        json.removeAll()
      }
      rates.append(Double(events.count) / (ProcessorTime.thread.microseconds - cpu) * 1e6)
      guard lines == flows * 2 else {
        throw KernelError("encode", "\(lines) lines of \(flows) connections, expected two each", .invalidArgument)
      }
    }
    let samples = Samples(rates)
    report.tables.append(
      ReportTable(
        "Records a second and processor (P11: 1,000,000)", columns: ["min", "median", "max", "bytes a line"],
        rows: [
          [
            .number(samples.minimum, digits: 0), .number(samples.median, digits: 0),
            .number(samples.maximum, digits: 0), .count(bytes / max(flows * 2, 1)),
          ]
        ]))
    report.quantities.append(Quantity("records", unit: "records/s", rates))
  }
}
