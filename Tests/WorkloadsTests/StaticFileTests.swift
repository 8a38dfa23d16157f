// Does the file of labels mean what it says, and does a wrong one change nothing?
import Glibc
import Kernel
import Policy
import SystemPackage
import TestSupport
import Testing
import Workloads

@Suite("Labels from a file")
struct StaticFileTests {
  private func parse(_ text: String) throws -> [CgroupLabels] {
    try CgroupLabels.parse(file: "w.yaml", bytes: Array(text.utf8))
  }

  @Test("Every field is read")
  func fields() throws {
    let entries = try parse(
      """
      workloads:
        - cgroup: /system.slice/nginx.service
          labels: {app: web, tier: "front"}
        - {cgroup: "/a b/c", labels: {app: x}, mode: observe, children: reject-until-labelled}
      """)
    #expect(entries.map(\.cgroup) == ["/system.slice/nginx.service", "/a b/c"])
    #expect(entries[0].labels.description == "app=web,tier=front" && entries[0].mode == .enforce)
    #expect(!entries[0].rejectsUnlabelledChildren && entries[1].rejectsUnlabelledChildren)
    #expect(entries[1].mode == .observe && entries[1].source.line == 4)
    #expect(try parse("workloads: []").isEmpty)
    #expect(try parse("").isEmpty)
  }

  @Test(
    "What is wrong is told by line and field, and all of it at once",
    arguments: [
      ("workloads:\n - labels: {a: b}", "w.yaml:2: workloads[0].cgroup: is missing"),
      ("workloads:\n - cgroup: /a", "w.yaml:2: workloads[0].labels: is missing"),
      ("workloads:\n - cgroup: /a\n   labels: {}", "w.yaml:3: workloads[0].labels: holds no label"),
      ("workloads:\n - cgroup: /a\n   labels: {k8s.x: b}", "set by the agent alone"),
      ("workloads:\n - cgroup: a\n   labels: {a: b}", "is not the path of a cgroup"),
      ("workloads:\n - cgroup: /a/../b\n   labels: {a: b}", "is not the path of a cgroup"),
      ("workloads:\n - cgroup: /\n   labels: {a: b}", "is not the path of a cgroup"),
      ("workloads:\n - cgroup: /a/\n   labels: {a: b}", "is not the path of a cgroup"),
      ("workloads:\n - {cgroup: /a, labels: {a: b}, mod: observe}", "did you mean `mode`?"),
      ("workloads:\n - {cgroup: /a, labels: {a: b}}\n - {cgroup: /a, labels: {a: c}}", "w.yaml:3: cgroup: "),
      ("workloads: {}", "w.yaml:1: workloads: must be a list"),
      ("worklods: []", "did you mean `workloads`?"), ("workloads: []\n---\nworkloads: []", "more than one document"),
      ("workloads: [", "not valid YAML"),
      ("workloads:\n - &x {cgroup: /a, labels: {a: b}}\n - *x", "is already labelled at"),
    ])
  func faults(text: String, says: String) throws {
    let error = #expect(throws: PolicyErrors.self) { try parse(text) }
    #expect(error?.description.contains(says) == true, "\(String(describing: error))")
  }

  @Test("A change is seen; a wrong file is a fault and what it said before holds", .requires(.root))
  func follow() async throws {
    let temporary = try TemporaryDirectory()
    defer { withExtendedLifetime(temporary) {} }
    let directory = FilePath(temporary.path)
    let path = directory.appending("sub").appending("w.yaml")
    let source = StaticFile(path.string)
    let (events, continuation) = AsyncStream.makeStream(of: String.self)
    let task = Task {
      await source.follow(
        { continuation.yield("\($0)") }, report: { continuation.yield($0.map { "fault: \($0)" } ?? "well") })
    }
    func next(_ wanted: String) async -> String? { await events.first { $0.hasPrefix(wanted) } }
    let place = CgroupPlace(cgroup: CgroupID(rawValue: 1), path: "/a")
    #expect(await next("well") == "well")
    #expect(try !source.claims(place) && source.labels(of: place) == nil)
    // The directory comes later, and the file after it.
    try makeDirectory(directory.appending("sub").string)
    try replaceFile(path, with: Array("workloads: [{cgroup: /a, labels: {app: web}}]".utf8))
    #expect(await next("everything") == "everything")
    #expect(try source.claims(place) && source.labels(of: place)?.labels.description == "app=web")
    try replaceFile(path, with: Array("workloads: [{cgroup: /a}]".utf8))
    #expect(await next("fault: ")?.contains("w.yaml:1: workloads[0].labels: is missing") == true)
    #expect(try source.labels(of: place)?.labels.description == "app=web")
    _ = unsafe chmod(path.string, 0o666)
    #expect(await next("fault: file: \(path): others")?.contains("chmod go-w") == true)
    _ = unsafe unlink(path.string)
    #expect(await next("everything") == "everything")
    // Taken back, not forgotten: whoever holds what it said before must hear of it.
    #expect(try source.claims(place) && source.labels(of: place) == SourceLabels(.empty, makesWorkload: false))
    task.cancel()
    await task.value
  }
}
