// Does `flows` show the records that were asked for, and nothing that cannot be understood?
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite(.requires(.product)) struct FlowListTests {
  private static func record(
    _ time: String, from: String, to: String, port: Int, verdict: String = "allow", observed: String? = nil
  ) -> String {
    let seen = observed.map { ",\"observed\":{\"action\":\"\($0)\"}" } ?? ""
    return """
      {"time":"\(time)","event":"open","direction":"outgoing","verdict":"\(verdict)","decidedBy":"default"\(seen),"generation":1,\
      "protocol":"tcp","source":{"address":"10.0.0.1","port":4000,"labels":{"app":"\(from)"},"workload":"/e/\(from)"},\
      "destination":{"address":"10.0.0.2","port":\(port),"labels":{"app":"\(to)"},"workload":"/e/\(to)"}}

      """
  }

  private static let log =
    record("2026-03-01T10:00:00.000000000Z", from: "web", to: "db", port: 5432)
    + record("2026-03-01T12:30:00.500000000Z", from: "web", to: "cache", port: 6379, observed: "reject")
    + record("2026-03-02T09:00:00.000000000Z", from: "job", to: "db", port: 5432, verdict: "reject")

  /// The ports of the records that are shown, or the failure.
  private func shown(_ words: [String]) throws -> (ports: [String], status: Int32, text: String) {
    let directory = try TemporaryDirectory()
    defer { withExtendedLifetime(directory) {} }
    try replaceFile(FilePath("\(directory.path)/flows.jsonl"), with: Array(Self.log.utf8))
    let child = try ChildProcess.start(
      "/bin/sh",
      [
        "-c", "d=$0; exec env TZ=UTC \"$@\" --state \"$d\" > \"$d/out\" 2>&1", directory.path, Product.sallyport,
        "flows",
      ] + words)
    let status = try child.wait()
    let text = try readKernelFile(FilePath("\(directory.path)/out"))
    let ports = text.split(separator: "\n").dropFirst().compactMap { line in
      line.split(separator: " ").first { $0.hasPrefix("tcp/") }.map { String($0.dropFirst(4)) }
    }
    return (ports, status, text)
  }

  @Test(
    "times are compared as times",
    arguments: [
      (["--since", "2026-03-01T12:30:00Z"], ["6379", "5432"]),
      (["--since", "2026-03-01T13:30:00.5+01:00"], ["6379", "5432"]),
      (["--since", "2026-03-01T12:30:01Z"], ["5432"]), (["--until", "2026-03-02"], ["5432", "6379"]),
      (["--since", "2026-03-01 11:00", "--until", "2026-03-01T13:00"], ["6379"]), (["--since", "yesterday"], []),
      (["--since", "5m"], []), (["--since", "00:00"], []), (["--until", "1h"], ["5432", "6379", "5432"]),
    ] as [([String], [String])])
  func times(_ words: [String], _ expected: [String]) throws {
    let result = try shown(words)
    #expect(result.status == 0 && result.ports == expected, "\(result.text)")
  }

  @Test(
    "what is not a time is an error that says what is",
    arguments: [
      "tomorrow", "5", "5x", "25:00", "00:60", "2026-02-30", "2026-13-01", "2026-03-01T", "2026-03-01T10:00+1", "", "m",
    ])
  func noTime(_ text: String) throws {
    let result = try shown(["--since", text])
    #expect(
      result.status == 2 && result.text.contains("--since \(text.debugDescription): not a time; write 5m"),
      "\(result.text)")
  }

  @Test(
    "filters choose by workload, peer, port and verdict",
    arguments: [
      (["--workload", "job"], ["5432"]), (["--workload", "db"], ["5432", "5432"]),
      (["--workload", "app=cache"], ["6379"]),
      (["--peer", "cache"], ["6379"]), (["--peer", "web"], []), (["--peer", "10.0.0.2"], ["5432", "6379", "5432"]),
      (["--port", "tcp/5432"], ["5432", "5432"]), (["--port", "6379"], ["6379"]),
      (["--verdict", "would-refuse"], ["6379"]),
      (["--verdict", "allow"], ["5432"]), (["--verdict", "reject"], ["5432"]), (["--refused"], ["6379", "5432"]),
    ] as [([String], [String])])
  func filters(_ words: [String], _ expected: [String]) throws {
    let result = try shown(words)
    #expect(result.status == 0 && result.ports == expected, "\(result.text)")
  }

  @Test("What an observed rule would refuse says so")
  func wouldRefuse() throws {
    #expect(try shown([]).text.contains("would-refuse"))
  }
}
