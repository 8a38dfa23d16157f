// Programs as people run them, in labelled cgroups: nginx and curl, redis-server and redis-cli.
internal import Enforcement
internal import Glibc
internal import Kernel
internal import SystemPackage
internal import TestSupport
internal import Testing

@Suite("Real programs", .serialized, .requires(.policing), .policed)
struct RealProgramTests {
  let policed: Policed
  init() throws { policed = try Policed.shared }

  private static func write(_ text: String, to path: String) throws {
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw Errno(rawValue: errno) }
    defer { close(file) }
    let bytes = Array(text.utf8)
    guard unsafe Glibc.write(file, bytes, bytes.count) == bytes.count else { throw Errno(rawValue: errno) }
  }

  /// Runs a program as a workload in a namespace; the result is its exit code.
  private func run(_ words: [String], in cgroup: CgroupDirectory, _ namespace: NetworkNamespace) throws -> Int32 {
    let null = try OwnedDescriptor.open("/dev/null", flags: O_RDWR)
    return try policed.sandbox.start(words, cgroup: cgroup, namespace: namespace, output: null.raw).wait()
  }

  @Test(
    "curl reaches nginx over TCP where policy says so, and is refused at once where it does not",
    .requires(.program("nginx"), .program("curl")), arguments: ["10.77.0.2", "[fd77::2]"])
  func nginx(address: String) async throws {
    let pair = try policed.pair()
    let (client, server) = (try policed.threadedCgroup("curl"), try policed.threadedCgroup("nginx"))
    try await policed.label(client, "app=curl")
    try await policed.label(server, "app=nginx", at: ["10.77.0.2", "fd77::2"])
    try await policed.apply(Policed.allowing("app=curl", to: "app=nginx", "tcp/8080"))
    let temporary = try TemporaryDirectory()
    defer { withExtendedLifetime(temporary) {} }
    let directory = temporary.path
    try Self.write(
      """
      daemon off; master_process off; pid \(directory)/pid; error_log \(directory)/error.log;
      events { worker_connections 64; }
      http {
        access_log off;
        client_body_temp_path \(directory)/body; proxy_temp_path \(directory)/proxy;
        fastcgi_temp_path \(directory)/fastcgi; uwsgi_temp_path \(directory)/uwsgi; scgi_temp_path \(directory)/scgi;
        server { listen \(address):8080; listen \(address):8081; location / { return 200 "hello\\n"; } }
      }
      """, to: "\(directory)/nginx.conf")
    let nginx = try policed.sandbox.start(
      ["nginx", "-c", "\(directory)/nginx.conf", "-e", "\(directory)/error.log"], cgroup: server, namespace: pair.right)
    defer {
      try? nginx.handle.send(signal: SIGKILL)
      _ = try? nginx.wait()
    }
    let curl = ["curl", "-s", "-g", "--fail", "--max-time", "10"]
    let patient = curl + ["--retry", "20", "--retry-connrefused", "--retry-delay", "1"]
    #expect(try run(patient + ["http://\(address):8080/"], in: client, pair.left) == 0)
    let began = Clock.monotonicNanoseconds()
    // 7: curl could not connect.
    #expect(try run(curl + ["http://\(address):8081/"], in: client, pair.left) == 7)
    #expect(Clock.monotonicNanoseconds() - began < 3_000_000_000)
    // The record names curl, not the thread that started it.
    let told = try policed.told(after: 0).last { $0.kind == .attempt && $0.remotePort == 8080 }
    #expect(told?.command.text == "curl")
    #expect(told?.workload == client.id.rawValue)
  }

  @Test(
    "redis-cli talks to redis-server until its label changes",
    .requires(.program("redis-server"), .program("redis-cli")))
  func redis() async throws {
    let (client, server) = (try policed.threadedCgroup("cli"), try policed.threadedCgroup("redis"))
    try await policed.label(client, "app=cli")
    try await policed.label(server, "app=redis")
    try await policed.apply(Policed.allowing("app=cli", to: "app=redis", "tcp/6390"))
    let mark = try policed.mark()
    let null = try OwnedDescriptor.open("/dev/null", flags: O_RDWR)
    let redis = try policed.sandbox.start(
      ["redis-server", "--port", "6390", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/tmp"],
      cgroup: server, namespace: policed.home, output: null.raw)
    defer {
      try? redis.handle.send(signal: SIGKILL)
      _ = try? redis.wait()
    }
    let bound = policed.events.first(after: mark) { $0.kind == .bind && $0.localPort == 6390 }
    #expect(bound?.cgroup == server.id.rawValue)
    let cli = ["sh", "-c", "exec redis-cli -p 6390 \"$@\" 2>/dev/null", "sh"]
    var answer = try run(cli + ["SET", "key", "value"], in: client, policed.home)
    // bind() comes a moment before listen().
    for _ in 0..<20 where answer != 0 { answer = try run(cli + ["SET", "key", "value"], in: client, policed.home) }
    #expect(answer == 0)
    #expect(try run(cli + ["GET", "key"], in: client, policed.home) == 0)
    try await policed.label(client, "app=other")
    #expect(try run(cli + ["GET", "key"], in: client, policed.home) == 1)
  }
}
