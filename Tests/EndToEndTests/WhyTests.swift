// Does `why` say what a real connection gets? Random policies, real sockets, several namespaces.
import Enforcement
import FoundationEssentials
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite(.serialized, .requires(.root, .bpf, .cgroups, .pins, .networkNamespaces, .product)) struct WhyTests {
  /// How many questions are compared: `SALLYPORT_WHY_CASES`, for hours of it.
  static let wanted = unsafe getenv("SALLYPORT_WHY_CASES").flatMap { unsafe Int(String(cString: $0)) } ?? 200

  @Test("why answers what connect() and sendto() get, for every address of this host")
  func differential() async throws {
    let first = UInt64(truncatingIfNeeded: Clock.wallNanoseconds())
    try await Policed.with { policed in
      let bench = try await WhyBench(policed)
      var (compared, refused, seed) = (0, 0, first)
      while compared < Self.wanted {
        let result = try await bench.compare(seed: seed, count: 40)
        compared += result.compared
        refused += result.refused
        seed &+= 1
      }
      print("why: compared \(compared) questions, \(refused) refused, seed \(first)")
      // Else the policies were all alike, and nothing was compared.
      #expect(refused > compared / 10 && refused < compared * 9 / 10)
    }
  }

  @Test("An own address is whoever listens there; names, PIDs and ADDRESS:PORT lead to the same answer")
  func forms() throws {
    let policy =
      AgentBench.defaults + """
        ---
        apiVersion: sallyport/v1
        kind: NetworkRuleSet
        metadata: {name: db}
        spec:
          subject: app=db
          incoming: [{name: from-web, action: allow, peers: [{selector: app=web}], ports: [tcp/6000]}]
        ---
        apiVersion: sallyport/v1
        kind: NetworkRuleSet
        metadata: {name: basics}
        spec:
          subject: ""
          outgoing: [{action: allow, peers: any, ports: [tcp/6000]}]

        """
    try withAgent({ _ in policy }) { bench in
      func start(_ name: String, _ command: String...) throws -> ChildProcess {
        try bench.sandbox.start(
          [
            Product.sallyport, "exec", "--state", bench.state, "--name", name, "--label", "app=\(name)", "--netns",
            bench.network.path.string, "--",
          ] + command, cgroup: bench.outside)
      }
      let database = try start("db", "/bin/busybox", "nc", "-l", "-p", "6000")
      let cache = try start("cache", "/bin/busybox", "sleep", "1000")
      let web = try start("web", "/bin/busybox", "sleep", "1000")
      try bench.workloads("all are there") { list in
        list.count { !$0.processes.isEmpty } == 3 && list.contains { $0.listens.contains { $0.contains("6000") } }
      }
      let path = try #require(try bench.workloads().first { $0.labels["app"] == "db" }).path
      func why(_ from: String, _ to: String, _ port: String? = "tcp/6000") throws -> CommandResult {
        try bench.run(
          ["why", "--state", bench.state, "--from", from, "--to", to] + (port.map { ["--port", $0] } ?? []))
      }
      let pid = "\(try #require(try bench.workloads().first { $0.labels["app"] == "cache" }?.processes.first))"
      for (from, to) in [("cache", "127.0.0.1"), ("app=cache", "db"), ("cache", path), (pid, "127.0.0.1"), (pid, "db")]
      {
        let refused = try why(from, to)
        #expect(
          refused.status == 1 && refused.output.contains("refused: no rule allows it (default action)"),
          "\(refused.text)")
        #expect(
          refused.output.contains(
            "fix: add {selector: app=cache} to db/incoming[0] (from-web) at \(bench.directory)/policy.yaml:"),
          "\(refused.text)")
        #expect(!refused.output.contains("basics/outgoing[0] (") && !refused.output.contains("to outgoing of basics"))
      }
      for (from, to) in [("web", "127.0.0.1"), ("web", "db"), ("app=web", "app=db")] {
        let allowed = try why(from, to)
        #expect(allowed.status == 0 && allowed.output.contains("allowed"), "\(allowed.text)")
      }
      #expect(try why("web", "127.0.0.1:6000", nil).status == 0)
      #expect(try why("cache", "127.0.0.1:6000", nil).status == 1)
      let closed = try why("web", "127.0.0.1:6001", nil)
      #expect(closed.output.contains("nothing listens there\n  nothing listens on tcp/6001"), "\(closed.text)")
      let missing = try why("cachee", "db")
      #expect(missing.status == 1 && missing.errors.contains("did you mean cache?"), "\(missing.text)")
      let explained = try bench.ask("workloads", "explain", "db")
      #expect(explained.output.contains(path))
      try database.handle.send(signal: SIGKILL)
      try cache.handle.send(signal: SIGKILL)
      try web.handle.send(signal: SIGKILL)
      _ = try database.wait()
      _ = try cache.wait()
      _ = try web.wait()
    }
  }
}

/// Workloads in three namespaces, each with listeners, and the questions about them.
private final class WhyBench {
  struct Subject {
    var name: String
    var thread: PolicedThread
    var space: NetworkNamespace
    /// Which of the three namespaces.
    var index: Int
  }

  struct Listener {
    var owner: Int
    var address: String
    var port: UInt16
    var isTCP: Bool
    var descriptor: Int32
  }

  struct Question {
    var from: Int
    var address: String
    var listener: Listener
  }

  /// What a real attempt came to.
  enum Outcome: Equatable { case passed, refused, other(Int32) }

  private let policed: Policed
  private var subjects: [Subject] = []
  private var listeners: [Listener] = []
  /// The own addresses of each namespace.
  private let own = [
    ["10.91.0.1", "fd91::1", "127.0.0.1", "::1", "0.0.0.0", "::"],
    ["10.91.0.2", "fd91::2", "127.0.0.1", "::1", "127.0.0.9"],
    ["127.0.0.1", "::1", "127.1.2.3"],
  ]

  init(_ policed: Policed) async throws {
    self.policed = policed
    // Addresses of its own: those of other suites' namespaces would be somebody else's on this host.
    let (left, right) = (try policed.makeNamespace(), try policed.makeNamespace())
    try policed.sandbox.connect(left, ["10.91.0.1/24", "fd91::1/64"], right, ["10.91.0.2/24", "fd91::2/64"])
    let spaces = [left, right, policed.home]
    for (name, labels, space) in [
      ("a", "app=a", 0), ("b", "app=b", 0), ("c", "app=c", 1), ("d", "app=d", 1), ("e", "app=e", 2), ("f", "app=f", 2),
      ("plain", "", 0), ("watched", "app=w", 0),
    ] {
      let thread =
        labels.isEmpty
        ? try policed.thread(name) : try await policed.workload(name, labels, observe: name == "watched")
      try thread.run(in: spaces[space]) {}
      subjects.append(Subject(name: name, thread: thread, space: spaces[space], index: space))
    }
    for index in subjects.indices { try listen(index) }
  }

  deinit { for listener in listeners { close(listener.descriptor) } }

  private func listen(_ index: Int) throws {
    let subject = subjects[index]
    let wildcards = ["0.0.0.0", "::"]
    for (place, address) in ([own[subject.index][0], own[subject.index][1]] + wildcards).enumerated() {
      for isTCP in [true, false] {
        let port = UInt16(7000 + index * 10 + place)
        let made = try subject.thread.run(in: subject.space) { () throws -> Int32 in
          let fd = try Self.open(address, isTCP)
          guard unsafe Self.with(address, port, { unsafe bind(fd, $0, $1) }) == 0, !isTCP || Glibc.listen(fd, 64) == 0
          else {
            let reason = Errno(rawValue: errno)
            close(fd)
            throw reason
          }
          return fd
        }
        listeners.append(Listener(owner: index, address: address, port: port, isTCP: isTCP, descriptor: made))
      }
    }
  }

  // MARK: Comparing

  func compare(seed: UInt64, count: Int) async throws -> (compared: Int, refused: Int) {
    var random = SeededGenerator(seed: seed)
    try await policed.apply(Self.policy(&random))
    await policed.enforcer.flushSnapshot()
    let questions = (0..<count).map { _ in question(&random) }
    let answers = try answers(questions)
    var (compared, refused) = (0, 0)
    var wrong: [String] = []
    for (question, answer) in zip(questions, answers) {
      let subject = subjects[question.from]
      let expected = answer.verdict == "allow"
      var outcome = try attempt(question, patience: 400)
      // A slow machine is no refusal.
      if outcome == .refused, expected { outcome = try attempt(question, patience: 4000) }
      compared += 1
      if outcome == .refused { refused += 1 }
      if outcome != (expected ? .passed : .refused) {
        let proto = question.listener.isTCP ? "tcp" : "udp"
        wrong.append(
          "seed \(seed): \(subject.name) -> \(question.address) \(proto)/\(question.listener.port) of "
            + "\(subjects[question.listener.owner].name): \(outcome), why says \(answer)")
      }
    }
    let failed = wrong.count
    try #require(failed == 0, "\(wrong.prefix(3).joined(separator: "\n"))\n\(wrong.count) of \(compared)")
    return (compared, refused)
  }

  /// A listener, and an address by which a subject reaches it.
  private func question(_ random: inout SeededGenerator) -> Question {
    while true {
      let from = random.below(subjects.count)
      let listener = listeners[random.below(listeners.count)]
      let (here, there) = (subjects[from].index, subjects[listener.owner].index)
      let isWildcard = listener.address == "0.0.0.0" || listener.address == "::"
      let addresses = isWildcard ? own[there] : [listener.address]
      // `::` takes IPv4 too; `0.0.0.0` takes IPv4 alone.
      let fitting = addresses.filter { listener.address == "::" || isWildcard && !$0.contains(":") || !isWildcard }
      let address = fitting[random.below(fitting.count)]
      let isPair = address.hasPrefix("10.91") || address.hasPrefix("fd91")
      guard here == there || isPair && here < 2 && there < 2 else { continue }
      return Question(from: from, address: address, listener: listener)
    }
  }

  private struct Answer: Decodable {
    var verdict: String?
    var error: String?
    var note: String?
  }

  private func answers(_ questions: [Question]) throws -> [Answer] {
    let path = "\(policed.stateDirectory)/questions"
    let lines = questions.map { question in
      let subject = subjects[question.from]
      let proto = question.listener.isTCP ? "tcp" : "udp"
      return
        "{\"from\":\"\(subject.thread.cgroup.path)\",\"to\":\"\(question.address)\",\"port\":\"\(proto)/\(question.listener.port)\"}\n"
    }
    try replaceFile(FilePath(path), with: Array(lines.joined().utf8))
    let (status, text) = try Self.run(
      [
        "sh", "-c", "exec \"$0\" why --batch --state \"$1\" < \"$2\" > \"$2.out\"", Product.sallyport,
        policed.stateDirectory, path,
      ], "\(path).out")
    try #require(status == 0, "\(text)")
    let answers = try text.split(separator: "\n").map { try JSONDecoder().decode(Answer.self, from: Data($0.utf8)) }
    try #require(answers.count == questions.count)
    return answers
  }

  private static func run(_ words: [String], _ output: String) throws -> (Int32, String) {
    let child = try ChildProcess.start("/bin/sh", Array(words.dropFirst()))
    let status = try child.wait()
    return (status, (try? readKernelFile(FilePath(output))) ?? "")
  }

  // MARK: Real traffic

  private func attempt(_ question: Question, patience: Int32) throws -> Outcome {
    let subject = subjects[question.from]
    let (address, listener) = (question.address, question.listener)
    return try subject.thread.run(in: subject.space) { () throws -> Outcome in
      let fd = try Self.open(address, listener.isTCP)
      defer { close(fd) }
      return listener.isTCP
        ? Self.connect(fd, address, listener, patience) : Self.send(fd, address, listener, patience)
    }
  }

  private static let refusal = DatapathKind.underTest == .cgroup ? EPERM : ECONNREFUSED

  private static func connect(_ fd: Int32, _ address: String, _ listener: Listener, _ patience: Int32) -> Outcome {
    // Reset at the end: thousands of connections must not fill the ports with TIME_WAIT.
    var now = linger(l_onoff: 1, l_linger: 0)
    unsafe setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
    _ = fcntl(fd, F_SETFL, O_NONBLOCK)
    var error: Int32 = 0
    if unsafe with(address, listener.port, { unsafe Glibc.connect(fd, $0, $1) }) != 0 {
      error = errno
      if error == EINPROGRESS {
        var ready = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
        guard unsafe poll(&ready, 1, patience) == 1 else { return .refused }
        var length = socklen_t(4)
        unsafe getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length)
      }
    }
    if error == refusal || error == EPERM { return .refused }
    guard error == 0 else { return .other(error) }
    var ready = pollfd(fd: listener.descriptor, events: Int16(POLLIN), revents: 0)
    // The last ACK of the handshake is judged as well.
    guard unsafe poll(&ready, 1, patience) == 1 else { return .refused }
    let accepted = acceptClosingOnExec(listener.descriptor)
    if accepted >= 0 { close(accepted) }
    return .passed
  }

  private static func send(_ fd: Int32, _ address: String, _ listener: Listener, _ patience: Int32) -> Outcome {
    var byte: UInt8 = 0
    while unsafe recv(listener.descriptor, &byte, 1, Int32(MSG_DONTWAIT)) >= 0 {}
    let sent = unsafe with(address, listener.port) { unsafe sendto(fd, "x", 1, 0, $0, $1) }
    guard sent == 1 else { return errno == EPERM || errno == refusal ? .refused : .other(errno) }
    var ready = pollfd(fd: listener.descriptor, events: Int16(POLLIN), revents: 0)
    guard unsafe poll(&ready, 1, patience) == 1 else { return .refused }
    return unsafe recv(listener.descriptor, &byte, 1, Int32(MSG_DONTWAIT)) == 1 ? .passed : .refused
  }

  private static func open(_ address: String, _ isTCP: Bool) throws -> Int32 {
    let type = Int32(isTCP ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let fd = socket(address.contains(":") ? AF_INET6 : AF_INET, type, 0)
    guard fd >= 0 else { throw Errno(rawValue: errno) }
    return fd
  }

  private static func with<T>(
    _ address: String, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> T
  ) -> T {
    if address.contains(":") {
      var six = sockaddr_in6()
      six.sin6_family = sa_family_t(AF_INET6)
      six.sin6_port = port.bigEndian
      unsafe inet_pton(AF_INET6, address, &six.sin6_addr)
      return unsafe withUnsafePointer(to: &six) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
        }
      }
    }
    var four = sockaddr_in()
    four.sin_family = sa_family_t(AF_INET)
    four.sin_port = port.bigEndian
    unsafe inet_pton(AF_INET, address, &four.sin_addr)
    return unsafe withUnsafePointer(to: &four) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }

  // MARK: Random policy

  private static func policy(_ random: inout SeededGenerator) -> String {
    func action() -> String { random.below(10) < 6 ? "allow" : "reject" }
    func app() -> String { ["a", "b", "c", "d", "e", "f", "w"][random.below(7)] }
    func peers() -> String {
      switch random.below(6) {
      case 0, 1: "any"
      case 2: "[{network: pair}]"
      case 3: "[{selector: sallyport.identity=host}]"
      case 4: "[{selector: \"app in (\(app()),\(app()))\"}]"
      default: "[{selector: app=\(app())}]"
      }
    }
    func ports() -> String {
      switch random.below(5) {
      case 0, 1: "[any]"
      case 2: "[tcp/7000-7079]"
      case 3: "[udp/7000-7049, tcp/7020-7059]"
      default: "[tcp/\(7000 + random.below(80)), udp/\(7000 + random.below(80))]"
      }
    }
    func rules() -> String {
      let list = (0..<random.below(3)).map { _ in
        "{action: \(action()), peers: \(peers()), ports: \(ports())\(random.below(6) == 0 ? ", mode: observe" : "")}"
      }
      return "[\(list.joined(separator: ", "))]"
    }
    var text = """
      apiVersion: sallyport/v1
      kind: Defaults
      metadata: {name: d}
      spec: {incoming: \(action()), outgoing: \(action()), host: {incoming: \(action()), outgoing: \(action())}}
      ---
      apiVersion: sallyport/v1
      kind: ExternalNetwork
      metadata: {name: pair}
      spec: {cidrs: [10.91.0.0/24, "fd91::/64"]}

      """
    for index in 0..<(3 + random.below(6)) {
      let subject = random.below(4) == 0 ? "\"\"" : random.below(6) == 0 ? "sallyport.identity=host" : "app=\(app())"
      text += """
        ---
        apiVersion: sallyport/v1
        kind: NetworkRuleSet
        metadata: {name: r\(index)}
        spec: {subject: \(subject), incoming: \(rules()), outgoing: \(rules())}

        """
    }
    return text
  }
}
