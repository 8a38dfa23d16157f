// A host that mounts version 1 alone: its processes are mirrored, policed where they are, and left as they were.
import Enforcement
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite(
  "Hosts that mount cgroup version 1 alone", .serialized,
  .requires(.root, .bpf, .pins, .networkNamespaces, .v1Host, .product))
struct V1HostTests {
  private static let probe = "\(Product.sallyport) probe --timeout 500 127.0.0.1 7001"

  /// Ends with 1 as soon as it is refused: labels come a moment after the cgroup, as for every new one.
  private static let untilRefused = "for try in $(seq 200); do \(probe) || exit 1; sleep 0.05; done"

  /// What is called a.service may talk to nobody.
  private static let policy =
    AgentBench.defaults + AgentBench.workload("a", "app: a", match: "cgroups: [\"**/a.service\"]")

  /// A listener that nobody polices.
  private static func listen(_ host: V1Host) throws -> TestSocket {
    try host.network.run { try TestSocket.listening("127.0.0.1", 7001) }
  }

  @Test("What runs is mirrored when the agent starts, and policy holds for it; nothing else is touched")
  func running() throws {
    try withV1Host { host in
      let listener = try Self.listen(host)
      try host.make("system.slice/a.service")
      try host.make("system.slice/b.service")
      let goes = "\(host.directory)/go"
      let script = "until test -e \(goes); do sleep 0.02; done; \(Self.probe)"
      let first = try Stream()
      let refused = try host.start(in: "system.slice/a.service", script, output: first.other.raw)
      let allowed = try host.start(in: "system.slice/b.service", script)
      let agent = try host.startAgent(Self.policy)
      #expect(try host.mounts() == [host.mirror])
      #expect(try host.ask("status").output.contains("version 1 host: mirrored in \(host.mirror)"))
      let cgroups = { (child: borrowing ChildProcess) in try readKernelFile(FilePath("/proc/\(child.handle.id)/cgroup"))
      }
      if host.isWhole { #expect(try cgroups(refused).contains("0::\(host.top)/system.slice/a.service\n")) }
      _ = try OwnedDescriptor.open(FilePath(goes), flags: 0o101, mode: 0o600)
      #expect(try refused.wait() == 1)
      #expect(try allowed.wait() == 0)
      let answer = first.handOver().readAll()
      #expect(answer.contains("EPERM") || answer.contains("ECONNREFUSED"), "\(answer)")
      _ = listener
      try host.ask("detach")
      #expect(try agent.wait() == 0, "\(host.log)")
    }
  }

  @Test("A service that begins later is mirrored, gets its labels, and its directory goes with it")
  func later() throws {
    try withV1Host { host in
      let listener = try Self.listen(host)
      try host.make("system.slice")
      let agent = try host.startAgent(Self.policy)
      for _ in 0..<2 {
        try host.make("system.slice/a.service")
        let wait = host.untilMirrored("system.slice/a.service")
        // A child is there from its beginning.
        #expect(try host.run(in: "system.slice/a.service", "\(wait); (\(Self.untilRefused))").status == 1)
        try removeDirectory(host.location("system.slice/a.service"))
        try eventually("the mirrored directory goes") { try !host.isMirrored("system.slice/a.service") }
      }
      #expect(try host.isMirrored(""))
      _ = listener
      try host.ask("detach")
      #expect(try agent.wait() == 0, "\(host.log)")
    }
  }

  @Test("A process that leaves its service in version 1 is no longer the service")
  func leaves() throws {
    try withV1Host { host in
      let listener = try Self.listen(host)
      try host.make("system.slice/a.service")
      try host.make("system.slice/b.service")
      let agent = try host.startAgent(Self.policy)
      let result = try host.run(
        in: "system.slice/a.service",
        """
        \(host.untilMirrored("system.slice/a.service")); (\(Self.untilRefused)) && exit 3
        echo 0 > \(host.location("system.slice/b.service"))/cgroup.procs
        \(host.untilMirrored("system.slice/b.service")); \(Self.probe)
        """)
      #expect(result.status == 0, "\(result.text)")
      _ = listener
      try host.ask("detach")
      #expect(try agent.wait() == 0, "\(host.log)")
    }
  }

  @Test(
    "Whatever a service does first is its own, when a rule names its executable: the exec waits for the mirror",
    arguments: [true, false])
  func held(isPlaced: Bool) throws {
    try withV1Host { host in
      let listener = try Self.listen(host)
      try host.make("system.slice/a.service")
      let program = "\(host.directory)/sallyport"
      _ = try host.run(["cp", Product.sallyport, program])
      let named =
        isPlaced
        ? AgentBench.workload(
          "own", "app: own", match: "cgroups: [\"**/a.service\"], executables: [\"\(program)\"]",
          "placement: own-cgroup")
        : AgentBench.workload("named", "app: b", match: "cgroups: [\"**/none\"], executables: [\"\(program)\"]")
      let agent = try host.startAgent((isPlaced ? AgentBench.defaults : Self.policy) + named)
      func released() -> Int { host.log.split(separator: "\n").count { $0.contains("was let go before") } }
      for _ in 0..<5 {
        let before = released()
        let result = try host.run(
          in: "system.slice/a.service", "exec \(program) probe --timeout 500 127.0.0.1 7001")
        // Nobody is held longer than a second, and an emulated machine may need more; the agent says so.
        #expect(result.status == 1 || released() > before, "\(result.text) \(host.log)")
      }
      _ = listener
      try host.ask("detach")
      #expect(try agent.wait() == 0, "\(host.log)")
    }
  }

  @Test("What `sallyport exec` starts stays in its own cgroup, wherever its shell was in version 1")
  func exec() throws {
    try withV1Host { host in
      try host.make("user.slice")
      let agent = try host.startAgent(Self.policy)
      let run = "\(Product.sallyport) exec --label app=x --name x --state \(host.state) --"
      let result = try host.run(
        in: "user.slice", "\(host.untilMirrored("user.slice")); \(run) sh -c 'sleep 1.5; cat /proc/self/cgroup'")
      #expect(result.text.contains("\n0::\(host.top)/exec-x-"), "\(result.text)")
      try host.ask("detach")
      #expect(try agent.wait() == 0, "\(host.log)")
    }
  }

  @Test("An agent that was killed leaves policy in force and the mount; the next one takes both over")
  func crash() throws {
    try withV1Host { host in
      let listener = try Self.listen(host)
      try host.make("system.slice/a.service")
      let killed = try host.startAgent(Self.policy)
      _ = try host.run(["kill", "-9", String(host.agent())])
      _ = try killed.wait()
      #expect(try host.mounts() == [host.mirror])
      let agent = try host.startAgent(Self.policy)
      #expect(try host.mounts() == [host.mirror])
      let wait = host.untilMirrored("system.slice/a.service")
      #expect(try host.run(in: "system.slice/a.service", "\(wait); \(Self.untilRefused)").status == 1)
      _ = listener
      try host.ask("detach")
      #expect(try agent.wait() == 0, "\(host.log)")
    }
  }

  @Test(
    "Detaching takes everybody to the root, and directories and mount away, with an agent and without",
    arguments: [true, false])
  func detach(isRunning: Bool) throws {
    try withV1Host { host in
      try host.make("system.slice/a.service")
      let done = try Stream()
      let child = try host.start(
        in: "system.slice/a.service",
        """
        \(host.untilMirrored("system.slice/a.service"))
        until grep -q '^0::/$' /proc/$$/cgroup; do sleep 0.02; done; echo back
        """, output: done.other.raw)
      let agent = try host.startAgent(Self.policy)
      if !isRunning {
        _ = try host.run(["kill", "-9", String(host.agent())])
        _ = try agent.wait()
      } else {
        let running = try host.run(
          ["sh", "-c", "until test -d \(host.mirror)\(host.top)/system.slice/a.service; do sleep 0.02; done"])
        #expect(running.status == 0)
      }
      try host.ask("detach")
      if isRunning { #expect(try agent.wait() == 0, "\(host.log)") }
      #expect(done.handOver().read() == "back\n")
      _ = try child.wait()
      #expect(try host.mounts() == [])
      #expect(!isThere(host.mirror))
    }
  }

  @Test("Sockets from before the move speak for the service, and are counted where no program sees them")
  func stale() throws {
    try withV1Host { host in
      try host.make("system.slice/a.service")
      let again = "\(host.directory)/again"
      let child = try host.start(
        in: "system.slice/a.service",
        "busybox nc -l -p 7002 > /dev/null & until test -e \(again); do sleep 0.02; done; kill $!")
      try eventually("it listens") {
        try host.run(["sh", "-c", "cat /proc/net/tcp /proc/net/tcp6 | grep -q :1B5A"]).status == 0
      }
      // They belong to the root of the tree: only who is enforced on that sees them, and nobody does so on a shared machine.
      let agent = try host.startAgent(Self.policy, on: host.isWhole ? host.mirror : nil)
      if host.isWhole && DatapathKind.underTest == .cgroup {
        #expect(try host.status().staleSockets == 0, "\(host.log)")
        let answer = try host.run([Product.sallyport, "probe", "--timeout", "500", "127.0.0.1", "7002"])
        #expect(answer.status == 1, "\(answer.text)")
      } else {
        #expect(try host.status().staleSockets ?? 0 >= 1, "\(host.log)")
        #expect(host.log.contains("from before it was mirrored"))
      }
      _ = try OwnedDescriptor.open(FilePath(again), flags: 0o101, mode: 0o600)
      _ = try child.wait()
      try host.ask("detach")
      #expect(try agent.wait() == 0, "\(host.log)")
    }
  }

  @Test("What cannot be enforced on is refused with the remedy, and leaves no mount")
  func wrong() throws {
    try withV1Host { host in
      try replaceFile(FilePath("\(host.directory)/policy.yaml"), with: Array(Self.policy.utf8))
      for (cgroup, word) in [("/etc", "version 1"), (try host.location("") + "/none", "No such file")] {
        let result = try host.run([
          Product.sallyport, "run", "--cgroup", cgroup, "--policy", "\(host.directory)/policy.yaml", "--state",
          host.state, "--mirror", host.mirror,
        ])
        #expect(result.status != 0)
        #expect(result.text.contains(word), "\(result.text)")
        #expect(try host.mounts() == [])
      }
    }
  }
}
