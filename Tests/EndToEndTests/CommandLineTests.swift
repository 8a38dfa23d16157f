// Does the command line keep its promises: exit codes, messages, enforcement that outlives its agent?
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

/// A directory for one test, and the commands that run in it.
private final class Bench {
  let sandbox: Sandbox
  let directory: String
  /// Where the agent and the commands run: not policed, and killed with the sandbox.
  let outside: CgroupDirectory

  init(_ sandbox: Sandbox) throws {
    self.sandbox = sandbox
    outside = try sandbox.makeCgroup("outside")
    directory = "/tmp/sallyport-e2e-\(getpid())-\(outside.id)"
    try sandbox.command(["mkdir", "-p", "\(directory)/policy"])
  }

  deinit { try? sandbox.command(["rm", "-rf", directory]) }

  var state: String { "\(directory)/state" }

  func write(_ name: String, _ text: String) throws {
    try replaceFile(FilePath("\(directory)/policy/\(name)"), with: Array(text.utf8))
  }

  /// Runs a command to its end; both streams together.
  func run(_ words: [String]) throws -> (status: Int32, text: String) {
    let path = "\(directory)/output"
    let file = try OwnedDescriptor.open(FilePath(path), flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
    let child = try sandbox.start(
      ["sh", "-c", "exec \"$0\" \"$@\" 2>&1", Product.sallyport] + words, cgroup: outside, output: file.raw)
    let status = try child.wait()
    return (status, try readKernelFile(FilePath(path)))
  }

  /// Starts an agent on a cgroup and returns once it says that it enforces.
  func startAgent(on cgroup: CgroupDirectory) throws -> ChildProcess {
    guard let location = cgroup.hierarchy.location(of: cgroup.path) else { throw Errno.noSuchFileOrDirectory }
    var ends: [Int32] = [-1, -1]
    let rc = unsafe pipe(&ends)
    guard rc == 0 else { throw Errno(rawValue: errno) }
    let reading = OwnedDescriptor(adopting: ends[0])
    let writing = OwnedDescriptor(adopting: ends[1])
    let child = try sandbox.start(
      [
        "sh", "-c", "exec \"$0\" \"$@\" --verbose --ready-fd 1 2>\"\(directory)/log\"", Product.sallyport, "run",
        "--cgroup",
        location.string, "--policy", "\(directory)/policy", "--state", state, "--no-coverage",
      ], cgroup: outside, output: writing.raw)
    _ = consume writing
    var byte: UInt8 = 0
    let count = unsafe read(reading.raw, &byte, 1)
    let log = (try? readKernelFile(FilePath("\(directory)/log"))) ?? ""
    try #require(count == 1, "the agent did not start: \(log)")
    return child
  }
}

private let defaults = """
  apiVersion: sallyport/v1
  kind: Defaults
  metadata: {name: d}
  spec: {incoming: reject, outgoing: reject, host: {incoming: allow, outgoing: allow}}
  """

private let allowAll = """
  apiVersion: sallyport/v1
  kind: NetworkRuleSet
  metadata: {name: open}
  spec:
    subject: app=web
    outgoing: [{action: allow, peers: any, ports: any}]
    incoming: [{action: allow, peers: any, ports: any}]
  """

@Suite(.requires(.root, .cgroups, .product)) struct CommandLineTests {
  @Test("A good policy is checked with 0, a bad one with 1, and the error names file, line, field and remedy")
  func check() throws {
    try withSandbox { sandbox in
      let bench = try Bench(sandbox)
      try bench.write("a.yaml", allowAll)
      let good = try bench.run(["policy", "check", "\(bench.directory)/policy"])
      #expect(good.status == 0, "\(good.text)")
      let misspelt = allowAll.replacing("outgoing", with: "outgong").replacing("name: open", with: "name: b")
      try bench.write("b.yaml", misspelt)
      let bad = try bench.run(["policy", "check", "\(bench.directory)/policy"])
      #expect(bad.status == 1)
      #expect(bad.text.contains("b.yaml:6: spec.outgong: there is no such field; did you mean `outgoing`?"))
    }
  }

  @Test(
    "Without an agent every command says so, with the exit code for it",
    arguments: [
      (["status"], 3), (["workloads"], 3), (["flows"], 3), (["detach"], 3), (["label", "/x", "a=b"], 3),
      (["exec", "--label", "a=b", "--", "true"], 3),
    ] as [([String], Int32)])
  func noAgent(_ words: [String], _ expected: Int32) throws {
    try withSandbox { sandbox in
      let bench = try Bench(sandbox)
      var words = words
      words.insert(contentsOf: ["--state", bench.state], at: 1)
      let result = try bench.run(words)
      #expect(result.status == expected, "\(result.text)")
      #expect(result.text.hasPrefix("sallyport: "))
    }
  }

  @Test(
    "A command line that is not understood ends with 2",
    arguments: [
      ["frob"], ["exec"], ["exec", "--label", "a=b"], ["status", "--output", "xml"], ["run", "--max-entries", "1"],
    ])
  func usage(_ words: [String]) throws {
    try withSandbox { sandbox in
      let result = try Bench(sandbox).run(words)
      #expect(result.status == 2, "\(result.text)")
    }
  }
}

@Suite(.requires(.root, .cgroups, .bpf, .pins, .networkNamespaces, .product)) struct AgentTests {
  @Test("Enforcement begins before exec, outlives the agent, is adopted, and ends with detach leaving nothing")
  func life() throws {
    try withSandbox { sandbox in
      let bench = try Bench(sandbox)
      try bench.write("00.yaml", defaults)
      let enforced = try sandbox.makeCgroup("enforced")
      let namespace = try sandbox.makeNamespace()
      // An address of documentation (RFC 5737): the namespace has no route, so nothing leaves when it is allowed.
      let probe = [
        "exec", "--state", bench.state, "--label", "app=web", "--netns", namespace.path.string, "--",
        Product.sallyport, "probe", "192.0.2.1", "9",
      ]
      let agent = try bench.startAgent(on: enforced)
      let refused = try bench.run(probe)
      #expect(refused.text.contains("EPERM"), "\(refused.text)")
      #expect(refused.status == 1)

      try bench.write("10.yaml", allowAll)
      let applied = try bench.run(["policy", "apply", "--state", bench.state, "\(bench.directory)/policy"])
      #expect(applied.status == 0, "\(applied.text)")
      // Nothing listens: that the kernel says so means that policy let the attempt through.
      #expect(try bench.run(probe).text.contains("ENETUNREACH"))

      try bench.write("20.yaml", "kind: [")
      let bad = try bench.run(["policy", "apply", "--state", bench.state, "\(bench.directory)/policy"])
      #expect(bad.status == 1)
      #expect(try bench.run(probe).text.contains("ENETUNREACH"))
      try sandbox.command(["rm", "\(bench.directory)/policy/20.yaml"])

      try agent.handle.send(signal: SIGKILL)
      _ = try agent.wait()
      let orphaned = try bench.run(["status", "--state", bench.state])
      #expect(orphaned.status == 0)
      #expect(orphaned.text.contains("gone; enforcement stays as it was left"), "\(orphaned.text)")
      #expect(orphaned.text.contains("9 of 9 attached"), "\(orphaned.text)")

      let successor = try bench.startAgent(on: enforced)
      #expect(try bench.run(probe).text.contains("ENETUNREACH"))
      #expect(try bench.run(["detach", "--state", bench.state]).status == 0)
      #expect(try successor.wait() == 0)
      let after = try bench.run(["status", "--state", bench.state])
      #expect(after.status == 3, "\(after.text)")
    }
  }

  @Test("The exit code of exec is that of its command, and its cgroup goes when it is empty")
  func exec() throws {
    try withSandbox { sandbox in
      let bench = try Bench(sandbox)
      try bench.write("00.yaml", defaults)
      let enforced = try sandbox.makeCgroup("enforced")
      _ = try bench.startAgent(on: enforced)
      let result = try bench.run(["exec", "--state", bench.state, "-l", "app=web", "--", "sh", "-c", "exit 7"])
      #expect(result.status == 7, "\(result.text)")
      // The agent looks again at every change; asking it for another label is one more.
      var names = try enforced.childNames()
      for _ in 0..<50 where !names.isEmpty {
        _ = try bench.run(["status", "--state", bench.state])
        names = try enforced.childNames()
      }
      #expect(names.isEmpty)
      #expect(try bench.run(["detach", "--state", bench.state]).status == 0)
    }
  }
}
