// Servers as people run them: nginx asked by wrk, redis by its own benchmark.

internal import Benchmark
internal import Glibc
internal import Kernel
internal import SystemPackage

/// HTTP requests for a page of a few bytes.
struct WebWorkload: Workload {
  /// Whether every request has a connection of its own.
  let closes: Bool

  static let port: UInt16 = 8080

  var name: String { closes ? "http, a connection each" : "http, kept alive" }
  let unit = "request"
  let weight = 130

  func require() throws {
    _ = try (SystemProgram("nginx", package: "nginx-light"), SystemProgram("wrk", package: "wrk"))
  }

  /// Not counted: wrk works for a time.
  let batch = 1

  func units(after batch: Batch) -> Int { 1 }

  func run(_ units: Int, in lane: Lane) throws -> Batch {
    try lane.serve("nginx", port: Self.port) { try WebServer(in: lane) }
    let arguments = ["-t1", "-c8", "-d1s"] + (closes ? ["-H", "Connection: close"] : [])
    return try Client("wrk", package: "wrk").run(arguments + ["http://127.0.0.1:\(Self.port)/"], in: lane) { text in
      guard let line = text.split(separator: "\n").first(where: { $0.contains(" requests in ") }),
        let count = line.split(separator: " ").first.flatMap({ Int($0) }),
        !text.contains("Socket errors"), !text.contains("Non-2xx")
      else { return nil }
      return count
    }
  }
}

/// GETs of a small value.
struct RedisWorkload: Workload {
  static let port: UInt16 = 6380

  let name = "redis, get"
  let unit = "request"
  let batch = 20_000
  let weight = 60

  func require() throws {
    _ = try (
      SystemProgram("redis-server", package: "redis-server"), SystemProgram("redis-benchmark", package: "redis-tools")
    )
  }

  func units(after batch: Batch) -> Int { self.batch }

  func run(_ units: Int, in lane: Lane) throws -> Batch {
    try lane.serve("redis", port: Self.port) { try RedisServer(in: lane) }
    let arguments = ["-h", "127.0.0.1", "-p", "\(Self.port)", "-c", "8", "-n", "\(units)", "-t", "get", "--csv"]
    return try Client("redis-benchmark", package: "redis-tools").run(arguments, in: lane) { text in
      text.contains("\"GET\"") ? units : nil
    }
  }
}

/// A program that asks a server as fast as it can, in the client's cgroup.
private struct Client {
  let path: FilePath

  init(_ name: String, package: String) throws { path = try SystemProgram(name, package: package).path }

  /// Runs it to its end; `count` finds in what it says how many requests were answered, nil if any failed.
  func run(_ arguments: [String], in lane: Lane, _ count: (String) -> Int?) throws -> Batch {
    let pipe = try Pipe.make()
    let errors = try OwnedDescriptor.open("/dev/null", flags: O_WRONLY)
    let before = try ProcessorTime.of(lane.arena.cgroup)
    let began = Clock.monotonicNanoseconds()
    let child = try ChildProcess.start(
      "/usr/bin/taskset", ["-c", "\((lane.cpu + 1) % MachineFacts.processors)", path.string] + arguments,
      cgroup: lane.arena.client, namespace: lane.namespace, output: pipe.writing.raw, errors: errors.raw)
    let text = try pipe.onlyReading().readAll()
    let status = try child.wait()
    let wall = Clock.monotonicNanoseconds() - began
    let cpu = try ProcessorTime.of(lane.arena.cgroup) - before
    guard status == 0, let units = count(text), units > 0 else {
      throw KernelError("run", "\(path) \(arguments.joined(separator: " "))", .canceled, remedy: "it said: \(text)")
    }
    return Batch(units: units, wall: wall, cpu: cpu, instructions: nil)
  }
}

/// nginx with one worker and a folder of its own.
private final class WebServer: Ending {
  private let process: ChildProcess
  private let folder: String

  init(in lane: Lane) throws {
    let nginx = try SystemProgram("nginx", package: "nginx-light").path
    let folder = "/run/sallyport-bench-web-\(getpid())-\(lane.namespace.identity.inode)"
    self.folder = folder
    try makeDirectory(folder)
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map { "\($0)_temp_path \(folder)/\($0);" }.joined(separator: " ")
    let configuration = """
      daemon off; worker_processes 1; pid \(folder)/pid; error_log /dev/null; user root;
      events { worker_connections 256; }
      http { access_log off; keepalive_requests 1000000; \(temporary)
        server { listen 127.0.0.1:\(WebWorkload.port); location / { return 200 "hello\\n"; } } }

      """
    try replaceFile(FilePath("\(folder)/conf"), with: Array(configuration.utf8))
    process = try ChildProcess.start(
      "/usr/bin/taskset", ["-c", "\(lane.cpu)", nginx.string, "-c", "\(folder)/conf", "-p", folder],
      cgroup: lane.arena.server, namespace: lane.namespace)
  }

  func end() {
    try? process.handle.send(signal: SIGTERM)
    _ = try? process.wait()
    for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] { try? removeDirectory("\(folder)/\(name)") }
    for name in ["conf", "pid"] { try? removeFile("\(folder)/\(name)") }
    try? removeDirectory(folder)
  }
}

/// redis that keeps nothing.
private final class RedisServer: Ending {
  private let process: ChildProcess

  init(in lane: Lane) throws {
    let redis = try SystemProgram("redis-server", package: "redis-server").path
    let silent = try OwnedDescriptor.open("/dev/null", flags: O_WRONLY)
    process = try ChildProcess.start(
      "/usr/bin/taskset",
      [
        "-c", "\(lane.cpu)", redis.string, "--port", "\(RedisWorkload.port)", "--bind", "127.0.0.1", "--save", "",
        "--appendonly", "no", "--dir", "/",
      ], cgroup: lane.arena.server, namespace: lane.namespace, output: silent.raw, errors: silent.raw)
  }

  func end() {
    try? process.handle.send(signal: SIGTERM)
    _ = try? process.wait()
  }
}
