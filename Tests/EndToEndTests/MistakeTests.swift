// Is docs/MISTAKES-COMMANDS.md what the command line prints? And does a caller without privileges learn that it lacks them?
import FoundationEssentials
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

extension MachineRequirement {
  /// The product can be run by another user.
  fileprivate static let otherUser = MachineRequirement("setpriv, and a product that uid 1000 may run") {
    do {
      let child = try ChildProcess.start(
        "/usr/bin/setpriv", ["--reuid=1000", "--regid=1000", "--clear-groups", Product.sallyport, "version"])
      return try child.wait() == 0 ? nil : "uid 1000 cannot run it"
    } catch {
      return "\(error)"
    }
  }
}

/// One command line, and what it prints.
private struct Mistake {
  var command: String
  var before: String
  var after: String
}

/// The page as entries.
private struct MistakePage {
  var head: String
  var entries: [Mistake] = []

  init(_ text: String) {
    let parts = text.split(separator: "\n## ", omittingEmptySubsequences: false).map(String.init)
    head = parts.first ?? ""
    for part in parts.dropFirst() {
      let halves = part.split(separator: "\nis, exit code ", maxSplits: 1).map(String.init)
      let first = halves.first ?? ""
      let command = first.prefix { $0 != "\n" }.dropFirst().dropLast()
      entries.append(
        Mistake(
          command: String(command), before: String(first.dropFirst(command.count + 2)),
          after: "is, exit code " + (halves.count > 1 ? halves[1] : "?:\n```\n```\n")))
    }
  }

  var text: String {
    head + entries.map { "\n## `\($0.command)`\($0.before)\n\($0.after)" }.joined()
  }
}

@Suite(.serialized, .requires(.root, .bpf, .cgroups, .pins, .networkNamespaces, .product, .otherUser))
struct MistakeTests {
  private static let policy =
    AgentBench.defaults + """
      ---
      apiVersion: sallyport/v1
      kind: NetworkRuleSet
      metadata: {name: web}
      spec: {subject: app=web, outgoing: [{action: allow, peers: [{selector: app=db}], ports: [tcp/5432]}]}
      ---
      apiVersion: sallyport/v1
      kind: NetworkRuleSet
      metadata: {name: db}
      spec: {subject: app=db, incoming: [{action: allow, peers: [{selector: app=web}], ports: [tcp/5432]}]}

      """

  private static func page() -> FilePath {
    var root = FilePath(#filePath)
    for _ in 0..<3 { root.removeLastComponent() }
    return root.appending("docs/MISTAKES-COMMANDS.md")
  }

  @Test("The page of mistakes is what is printed")
  func page() throws {
    let path = Self.page()
    var page = MistakePage(try readKernelFile(path))
    #expect(page.entries.count > 50)
    let isWriting = unsafe getenv("SALLYPORT_WRITE_PAGES") != nil
    var wrong: [String] = []
    try withSandbox { sandbox in
      let bench = try AgentBench(sandbox)
      defer { try? bench.removePins() }
      try Self.prepare(bench)
      for index in page.entries.indices {
        let printed = try Self.run(page.entries[index].command, bench)
        if printed != page.entries[index].after { wrong.append("\(page.entries[index].command)\n\(printed)") }
        page.entries[index].after = printed
      }
      _ = try? bench.run(["detach", "--state", bench.directory + "/st"])
    }
    if isWriting { try replaceFile(path, with: Array(page.text.utf8)) }
    let count = isWriting ? 0 : wrong.count
    #expect(
      count == 0, "run with SALLYPORT_WRITE_PAGES=1 to write it anew: \(wrong.prefix(3).joined(separator: "\n"))")
  }

  private static func prepare(_ bench: AgentBench) throws {
    let location = try #require(bench.enforced.hierarchy.location(of: bench.enforced.path))
    for directory in ["policy1", "c11", "image", "image/etc", "image/etc/systemd", "image/etc/systemd/system"] {
      try makeDirectory("\(bench.directory)/\(directory)", mode: 0o755)
    }
    // Like that of an agent: nobody else may look.
    try makeDirectory("\(bench.directory)/st", mode: 0o700)
    try bench.write("policy1/policy.yaml", policy)
    try bench.write("c11/p.yaml", policy.replacing("action: allow", with: "action: deny"))
    try bench.write("image/etc/systemd/system/nginx.service", "[Service]\nExecStart=/bin/true\n")
    try bench.write("bad-key.yaml", "cgroup: \(location)\npolicy: policy1\nmax-entires: 10\n")
    try bench.write("bad-number.yaml", "cgroup: \(location)\npolicy: policy1\nmax-entries: ten\n")
    try bench.write("bad-small.yaml", "cgroup: \(location)\npolicy: policy1\nmax-entries: 2\n")
  }

  /// What a command line prints, without what differs from machine to machine.
  private static func run(_ command: String, _ bench: AgentBench) throws -> String {
    let location = try #require(bench.enforced.hierarchy.location(of: bench.enforced.path)).string
    var line = command.replacing("DIR", with: bench.directory).replacing("CGROUP", with: location)
    let user = "(uid 1000) "
    let prefix = line.hasPrefix(user) ? "setpriv --reuid=1000 --regid=1000 --clear-groups " : ""
    if line.hasPrefix(user) { line.removeFirst(user.count) }
    guard line.hasPrefix("sallyport") else { return "?" }
    line = "\(Product.sallyport)\(line.dropFirst("sallyport".count))"
    let child = try ChildProcess.start(
      "/bin/sh",
      [
        "-c", "cd \"$0\" && exec timeout -s INT 8 \(prefix)\(line.replacing("[::1]", with: "'[::1]'")) > out 2>&1",
        bench.directory,
      ], cgroup: bench.outside)
    let status = try child.wait()
    // An agent that started stays in force until it is told otherwise.
    if line.contains(" run ") { _ = try? bench.run(["detach", "--state", bench.directory + "/st"]) }
    let text = try readKernelFile(FilePath(bench.directory + "/out"))
      .replacing(bench.directory, with: "DIR").replacing(location, with: "CGROUP")
      .replacing(bench.enforced.hierarchy.mount.mountPoint.string, with: "CGROUP2")
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      .filter { !$0.contains(" warning: ") && !$0.contains("coverage self-test") }
      .map(plain)
    return "is, exit code \(status):\n```\n\(lines.joined(separator: "\n"))```\n"
  }

  /// Without the time, and without numbers that depend on when and where.
  private static func plain(_ line: String) -> String {
    var line = line
    if line.count > 21, line.dropFirst(4).first == "-", line.dropFirst(19).first == "Z" {
      line = String(line.dropFirst(21))
    }
    guard line.contains("policy loaded") || line.contains("enforcement ended") else {
      // How long a connection took.
      let words = line.split(separator: " ")
      return words.last == "us" && words.count > 2 ? words.dropLast(2).joined(separator: " ") + " N us" : line
    }
    return String(line.map { $0.isNumber ? "N" : $0 }).replacing("NN", with: "N").replacing("NN", with: "N")
  }

  @Test("Without privileges every command ends with 4 and says so, also while policy is enforced")
  func permission() throws {
    try withAgent({ _ in Self.policy }) { bench in
      for words in [
        ["status"], ["counters"], ["workloads"], ["workloads", "explain", "web"], ["identities"], ["flows"],
        ["policy", "show"],
        ["policy", "diff", "\(bench.directory)/policy.yaml"], ["label", "/x", "a=b"], ["label", "/x", "--remove"],
        ["exec", "-l", "a=b", "--", "true"], ["detach"],
        ["why", "--from", "app=web", "--to", "app=db", "--port", "tcp/1"],
      ] {
        let arguments =
          words[0] == "exec"
          ? ["exec", "--state", bench.state] + words.dropFirst() : words + ["--state", bench.state]
        let path = "\(bench.directory)/denied"
        let child = try ChildProcess.start(
          "/bin/sh",
          [
            "-c", "exec \"$@\" > \"$0\" 2>&1", path, "setpriv", "--reuid=1000", "--regid=1000", "--clear-groups",
            Product.sallyport,
          ] + arguments, cgroup: bench.outside)
        let status = try child.wait()
        let text = try readKernelFile(FilePath(path))
        #expect(status == 4 && text.contains("permission denied; run as root"), "\(words): \(status) \(text)")
        #expect(!text.contains("nothing is enforced"))
      }
    }
  }

  @Test("Labels that were given are removed by --remove, and detach names those that stay")
  func labels() throws {
    try withSandbox { sandbox in
      let bench = try AgentBench(sandbox)
      defer { try? bench.removePins() }
      let agent = try bench.startAgent(Self.policy)
      let one = try bench.enforced.create("one")
      let two = try bench.enforced.create("two")
      for cgroup in [one, two] { try bench.ask("label", cgroup.path.string, "app=web") }
      #expect(try bench.workloads().count == 2)
      try bench.ask("label", one.path.string, "--remove")
      #expect(try bench.workloads().map { bench.short($0.path) } == ["/two"])
      let again = try bench.run(["label", one.path.string, "--remove", "--state", bench.state])
      #expect(again.status == 1 && again.errors.contains("no labels"), "\(again.text)")
      let outside = try bench.run(["label", "dnsmasq", "app=web", "--state", bench.state])
      #expect(outside.status == 1 && outside.errors.contains("\"dnsmasq\" is not a cgroup path"), "\(outside.text)")
      let detached = try bench.ask("detach")
      #expect(detached.errors.contains("labels stay on \(two.path)"), "\(detached.text)")
      #expect(!detached.errors.contains("\(one.path)"))
      #expect(try agent.wait() == 0, "\(bench.log)")
    }
  }

  @Test("A named socket that is not there is shown as such, and a missing file of labels stops the start")
  func missing() throws {
    let socket = ["--sources", "docker", "--place", "docker-socket=/x/y,docker-root=/"]
    try withAgent({ _ in Self.policy }, options: { _ in socket }) { bench in
      let status = try bench.ask("status").output
      #expect(status.contains("docker: /x/y: no such socket"), "\(status)")
      #expect(!status.contains("0 failures"), "\(status)")
    }
  }
}
