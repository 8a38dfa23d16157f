// `sallyport tag --follow`: every workload told once, in lines that parse, with no agent.
import Enforcement
import FoundationEssentials
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

/// One line of `tag --follow --output json`.
private struct ToldLine: Decodable {
  struct Workload: Decodable {
    var cgroup: UInt64
    var path: String
    var labels: [String: String]
    var source: String
  }

  var event: String
  var time: UInt64
  var workload: Workload?
  var identity: String?
  var before: [String: String]?
}

/// A running `sallyport tag --follow`.
private final class Follower {
  private let bench: AgentBench
  private let child: ChildProcess
  private let path: String

  init(_ bench: AgentBench, _ options: [String], output: String = "json") throws {
    self.bench = bench
    path = "\(bench.directory)/told"
    let file = try OwnedDescriptor.open(FilePath(path), flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
    let cgroup = try #require(bench.enforced.hierarchy.location(of: bench.enforced.path))
    child = try bench.sandbox.start(
      [
        Product.sallyport, "tag", "--follow", "--output", output, "--sources", "", "--cgroup", cgroup.string,
      ] + options, cgroup: bench.outside, output: file.raw)
  }

  var text: String { get throws { try readKernelFile(FilePath(path)) } }

  /// Every whole line so far; fails if one does not parse.
  func lines() throws -> [ToldLine] {
    try text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map {
      try JSONDecoder().decode(ToldLine.self, from: Data($0.utf8))
    }
  }

  func waits(for what: String, _ condition: ([ToldLine]) -> Bool) throws {
    try eventually("\(what): \((try? text) ?? "")") { condition(try lines()) }
  }

  func interrupt() throws -> Int32 {
    try child.handle.send(signal: SIGINT)
    return try child.wait()
  }
}

@Suite("Tagger without an agent", .requires(.root, .cgroups, .bpf, .networkNamespaces, .product))
struct AgentTagTests {
  @Test("Workloads are told when they come, change and go, with no agent and no policy, until SIGINT ends it with 0")
  func labelsFile() throws {
    try withSandbox { sandbox in
      let bench = try AgentBench(sandbox)
      let web = try sandbox.makeCgroup("enforced/web")
      func entry(_ cgroup: CgroupDirectory, _ labels: String) -> String {
        "  - {cgroup: \"\(cgroup.path)\", labels: {\(labels)}}\n"
      }
      let file = try bench.write("labels.yaml", "workloads:\n" + entry(web, "app: web"))
      let follower = try Follower(bench, ["--labels", file])
      try follower.waits(for: "the first workload and that all was told") { lines in
        lines.contains { $0.event == "ready" } && lines.contains { $0.workload?.cgroup == web.id.rawValue }
      }
      try bench.write("labels.yaml", "workloads:\n" + entry(web, "app: web, tier: two"))
      try follower.waits(for: "the change") { $0.last?.event == "changed" }
      let changed = try #require(try follower.lines().last)
      #expect(changed.before == ["app": "web"])
      #expect(changed.workload?.labels == ["app": "web", "tier": "two"])
      #expect(changed.workload?.source == "file")
      #expect(changed.identity?.isEmpty == false && changed.time > 0)
      try web.remove()
      try follower.waits(for: "the end") { $0.last?.event == "removed" && $0.last?.workload?.path == web.path.string }
      #expect(try follower.interrupt() == 0)
      #expect(!isThere(bench.state))
    }
  }

  @Test("Cgroups of any name are told in lines of their own, and none of it reaches a terminal as it is")
  func oddNames() throws {
    try withSandbox { sandbox in
      let bench = try AgentBench(sandbox)
      let policy = try bench.write(
        "p.yaml", AgentBench.workload("odd", "app: odd", match: "cgroups: [\"/*/enforced/*\"]"))
      let names: [[UInt8]] = [
        Array("with space".utf8), Array(repeating: UInt8(ascii: "a"), count: 255), [0xff, 0xfe, 0x61],
        Array("\u{1b}[31mred\u{7}".utf8), Array("quote\"back\\slash".utf8), Array("…".utf8), Array("-rf".utf8),
        Array("tab\there".utf8), Array("\u{202e}txt".utf8),
      ]
      let parent = try #require(bench.enforced.hierarchy.location(of: bench.enforced.path)).string
      func path(_ name: [UInt8]) -> [CChar] {
        (Array("\(parent)/".utf8) + name + [0]).map { CChar(bitPattern: $0) }
      }
      func make(_ name: [UInt8]) -> Bool { unsafe mkdir(path(name), 0o755) == 0 }
      func remove(_ name: [UInt8]) -> Bool { unsafe rmdir(path(name)) == 0 }
      // The kernel has none of these: what it would break need not be thought of.
      #expect(!make(Array("new\nline".utf8)))
      for name in names.prefix(4) { try #require(make(name)) }
      for output in ["json", "table"] {
        let follower = try Follower(bench, ["--policy", policy], output: output)
        func count(_ event: String) throws -> Int {
          guard output == "table" else { return try follower.lines().count { $0.event == event } }
          return try follower.text.split(separator: "\n").count { $0.hasPrefix("\(event) /") || $0 == event }
        }
        try eventually("those that are there: \((try? follower.text) ?? "")") {
          try count("added") == 4 && count("ready") == 1
        }
        for name in names.dropFirst(4) { try #require(make(name)) }
        try eventually("those that came: \((try? follower.text) ?? "")") { try count("added") == names.count }
        for name in names.dropFirst(4) { try #require(remove(name)) }
        try eventually("those that went: \((try? follower.text) ?? "")") {
          try count("removed") == names.count - 4
        }
        #expect(try follower.interrupt() == 0)
        let text = try follower.text
        #expect(text.unicodeScalars.allSatisfy { $0 == "\n" || !$0.properties.isControl })
        #expect(text.split(separator: "\n").count == names.count * 2 - 4 + 1)
      }
      for name in names.prefix(4) { _ = remove(name) }
    }
  }
}

extension Unicode.Scalar.Properties {
  fileprivate var isControl: Bool { generalCategory == .control }
}
