// Where one contestant is measured during one sitting: a namespace, the processes that work in it, what serves them.

internal import Benchmark
internal import Kernel

/// A network namespace with workers, servers and helpers of its own.
///
/// All contestants without rules share one, so that they differ in nothing else.
final class Lane {
  let namespace: NetworkNamespace
  /// The processor on which single processes work.
  let cpu: Int
  let arena: Arena
  /// The first does single work; all do parallel work.
  private(set) var workers: [WorkerProcess] = []
  private var endings: [any Ending] = []
  private var servers: [String: any Ending] = [:]

  /// A namespace with one worker whose sockets listen in the server's cgroup and connect in the client's.
  init(in arena: Arena, cpu: Int) throws {
    self.arena = arena
    self.cpu = cpu
    namespace = try arena.makeNamespace()
  }

  /// Writes the contestant's rules, then starts the first worker.
  func install(_ contestant: (any Contestant)?) throws {
    do {
      if let contestant { endings += try contestant.install(in: self) }
      try addWorker()
    } catch {
      end()
      throw error
    }
  }

  private func addWorker() throws {
    let number = workers.count
    // Spread over all processors, beginning with the one of single work.
    let worker = try WorkerProcess(
      in: arena.server, namespace: namespace, cpu: (cpu + number) % MachineFacts.processors)
    _ = try worker.ask(number == 0 ? "listen" : "listen quietly")
    try worker.move(to: arena.client)
    workers.append(worker)
  }

  /// The one that does single work.
  var worker: WorkerProcess {
    get throws {
      guard let first = workers.first else { throw WorkerError(order: "work", text: "there is no worker") }
      return first
    }
  }

  /// So many workers.
  func crew(_ count: Int) throws -> [WorkerProcess] {
    while workers.count < count { try addWorker() }
    return Array(workers.prefix(count))
  }

  /// Starts a server at its first use, and waits until its port answers.
  func serve(_ name: String, port: UInt16, _ start: () throws -> any Ending) throws {
    guard servers[name] == nil else { return }
    servers[name] = try start()
    _ = try worker.ask("await \(port)")
  }

  /// What the allowed and the forbidden attempts come to, as words: `true` for what came through.
  func check() throws -> [String] { try worker.ask("check") }

  /// Ends helpers and servers; workers end with this object.
  func end() {
    for ending in endings + servers.values { ending.end() }
    endings = []
    servers = [:]
    workers = []
  }
}
