// The agent as a process of its own: how soon it enforces after its start, and how much memory it has then.

internal import Benchmark
internal import Enforcement
internal import Glibc
internal import Kernel
internal import Policy
internal import SystemPackage
internal import Workloads

/// Starts the agent again and again on the same cgroups.
struct AgentRun {
  private let agent: String
  private let root: CgroupDirectory
  private let outside: CgroupDirectory
  private let workloads: Int
  private let identities: Int
  private let directory: String

  init(_ agent: String, in arena: Arena, workloads: Int, identities: Int) {
    self.agent = agent
    root = arena.server
    outside = arena.client
    self.workloads = workloads
    self.identities = identities
    directory = "/run/sallyport-bench-agent-\(getpid())"
  }

  /// The quickest and the middle start of each kind.
  func measure(starts: Int) throws -> (ReportTable, [Quantity]) {
    try makeDirectory(directory)
    try replaceFile(FilePath("\(directory)/policy.yaml"), with: Array(Self.policy.utf8))
    for index in 0..<workloads {
      guard let name = FilePath.Component("w\(index)") else { continue }
      let tag = WorkloadTag(labels: try MemoryCommand.labels(index * 37 % identities))
      try root.create(name).setLabels(Array(tag.text.utf8))
    }
    var table = ReportTable(
      "The agent, from its start until everything is enforced (P12: 150 ms), and then",
      columns: ["start", "ms min", "ms median", "resident MiB", "anonymous MiB", "file MiB", "peak MiB", "CPU ms"])
    var quantities: [Quantity] = []
    func note(_ name: String, _ quantity: String, prepare: () throws -> Void) throws {
      var times: [Double] = []
      var resident: [Double] = []
      var row: [Field] = []
      for _ in 0..<starts {
        try Interruption.check()
        try prepare()
        let start = try startOnce()
        times.append(start.milliseconds)
        row = start.memory
        if case .number(let mebibytes, _) = start.memory.first { resident.append(mebibytes) }
      }
      quantities.append(Quantity("agent start\(quantity)", unit: "ms", times))
      quantities.append(Quantity("agent resident\(quantity)", unit: "MiB", resident))
      let samples = Samples(times)
      table.rows.append(
        [.text(name), .number(samples.minimum, digits: 1), .number(samples.median, digits: 1)] + row)
    }
    try note("\(workloads) cgroups with labels, nothing to take over", ", fresh") { try detach() }
    try note("the same, taken over from an agent before", ", takeover") {}
    try name(identities)
    try note("the same, and a snapshot of \(identities) identities", "") {}
    try detach()
    return (table, quantities)
  }

  func remove() {
    try? detach()
    // Also what an agent that was killed had not renamed yet.
    for name in (try? directoryNames("\(directory)/state")) ?? [] { try? removeFile("\(directory)/state/\(name)") }
    try? removeDirectory("\(directory)/state")
    try? removeFile("\(directory)/policy.yaml")
    try? removeFile("\(directory)/log")
    try? removeDirectory(directory)
  }

  private static let policy = """
    apiVersion: sallyport/v1
    kind: NetworkRuleSet
    metadata: {name: bench}
    spec:
      subject: app=a1
      incoming:
        - {name: in, action: allow, peers: [{selector: app=a2}], ports: [tcp/8000-8080]}

    """

  private func startOnce() throws -> (milliseconds: Double, memory: [Field]) {
    let began = Clock.monotonicNanoseconds()
    var ends: [Int32] = [-1, -1]
    let rc = unsafe pipe(&ends)
    guard rc == 0 else { throw KernelError("make", "pipe", Errno(rawValue: errno)) }
    let reading = OwnedDescriptor(adopting: ends[0])
    let writing = OwnedDescriptor(adopting: ends[1])
    let location = (root.hierarchy.location(of: root.path) ?? root.path).string
    let child = try ChildProcess.start(
      "/bin/sh",
      [
        "-c", "exec \"$0\" \"$@\" 2>\"\(directory)/log\"", agent, "run", "--cgroup", location, "--policy",
        "\(directory)/policy.yaml", "--state", "\(directory)/state", "--ready-fd", "1", "--no-coverage",
      ], cgroup: outside, output: writing.raw)
    _ = consume writing
    var byte: UInt8 = 0
    let count = unsafe read(reading.raw, &byte, 1)
    let took = Double(Clock.monotonicNanoseconds() - began) / 1e6
    guard count == 1 else {
      let log = (try? readKernelFile(FilePath("\(directory)/log"))) ?? ""
      throw KernelError("start", agent, .canceled, remedy: log)
    }
    // The snapshot is written soon after; what it takes belongs to the agent.
    usleep(1_500_000)
    let memory = try ResidentMemory(of: child.handle.id)
    let status = try readKernelFile(FilePath("/proc/\(child.handle.id)/status"))
    let peak = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }?.split(separator: " ").dropFirst().first
    let fields = try readKernelFile(FilePath("/proc/\(child.handle.id)/stat")).split(separator: " ")
    let ticks = fields.count > 14 ? (Double(fields[13]) ?? 0) + (Double(fields[14]) ?? 0) : 0
    try child.handle.send(signal: SIGTERM)
    _ = try child.wait()
    func mebibytes(_ bytes: Int) -> Field { .number(Double(bytes) / 1_048_576, 1) }
    return (
      took,
      [
        mebibytes(memory.total), mebibytes(memory.anonymous), mebibytes(memory.file),
        .number(peak.flatMap { Double($0) }.map { $0 / 1024 }, digits: 1),
        .number(ticks * 1000 / Double(sysconf(Int32(_SC_CLK_TCK))), 0),
      ]
    )
  }

  private func detach() throws {
    _ = try KernelState.remove(state: StateDirectory("\(directory)/state"))
    try removeFile("\(directory)/state/snapshot.json")
  }

  /// Adds identities to the snapshot, as if their last users had gone a moment ago.
  private func name(_ count: Int) throws {
    let path = "\(directory)/state/snapshot.json"
    let text = try readKernelFile(FilePath(path))
    guard let place = text.firstRange(of: "\"identities\":[") else { return }
    var more = ""
    let own = Set((0..<workloads).map { $0 * 37 % count })
    for index in 0..<count where !own.contains(index) {
      let labels = try MemoryCommand.labels(index)
      let members = labels.labels.map { "\($0.key.jsonQuoted):\($0.value.jsonQuoted)" }.joined(separator: ",")
      more += "{\"identity\":\"\(labels.identity)\",\"labels\":{\(members)},\"number\":\(20_000 + index)},"
    }
    var changed = text
    changed.insert(contentsOf: more, at: place.upperBound)
    try replaceFile(FilePath(path), with: Array(changed.utf8))
  }
}
