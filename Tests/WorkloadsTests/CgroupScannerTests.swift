// Are real cgroups, their tags and their processes seen as they are?
import Enforcement
import Kernel
import Policy
import SystemPackage
import TestSupport
import Testing
import Workloads

@Suite(.requires(.root, .cgroups)) struct CgroupScannerTests {
  static func labels(_ text: String) throws -> LabelSet { try LabelSet(parsing: text) }

  @Test("A tagged cgroup is a workload, with its id and level, and an untagged one is not")
  func tagged() throws {
    try withSandbox { sandbox in
      let cgroup = try sandbox.makeCgroup("a/b")
      let scanner = CgroupScanner(root: sandbox.cgroup)
      let id = try scanner.tag(cgroup.path.description, WorkloadTag(labels: Self.labels("app=web"), name: "n"))
      let scan = try scanner.scan(Classifier(rules: []))
      #expect(id == cgroup.id)
      #expect(scan.cgroups == 3)
      #expect(scan.workloads.map(\.cgroup) == [cgroup.id])
      #expect(scan.workloads.first?.path == cgroup.path.description)
      #expect(scan.workloads.first?.level == 3)
      #expect(scan.workloads.first?.labels == (try Self.labels("app=web")))
      try scanner.tag(cgroup.path.description, nil)
      #expect(try scanner.scan(Classifier(rules: [])).workloads.isEmpty)
    }
  }

  @Test("A tag that cannot be read is a warning that names the cgroup")
  func badTag() throws {
    try withSandbox { sandbox in
      let cgroup = try sandbox.makeCgroup("a")
      try cgroup.setLabels(Array("no labels".utf8))
      let scan = try CgroupScanner(root: sandbox.cgroup).scan(Classifier(rules: []))
      #expect(scan.workloads.isEmpty)
      #expect(scan.warnings.count == 1)
      #expect(scan.warnings.first?.hasPrefix("\(cgroup.path): workload tag") == true)
    }
  }

  @Test("A cgroup outside of the agent's is not tagged")
  func outside() throws {
    try withSandbox { sandbox in
      let scanner = CgroupScanner(root: try sandbox.makeCgroup("agent"))
      let other = try sandbox.makeCgroup("other")
      let tag = WorkloadTag(labels: try Self.labels("app=web"))
      #expect(throws: KernelError.self) { try scanner.tag(other.path.description, tag) }
      #expect(throws: KernelError.self) { try scanner.tag(other.path.description + "/../../x", tag) }
      let untagged = try other.labels() == nil
      #expect(untagged)
    }
  }

  @Test("A rule over executables sees the processes of a cgroup")
  func executables() throws {
    try withSandbox { sandbox in
      let cgroup = try sandbox.makeCgroup("a")
      let child = try sandbox.start(["sleep", "30"], cgroup: cgroup, namespace: nil)
      let rule = WorkloadRule(name: "r", labels: try Self.labels("app=x"), match: .init(executables: [Glob("/**/sleep")]))
      // Until its exec the child still has this process's image.
      var scan = try CgroupScanner(root: sandbox.cgroup).scan(Classifier(rules: [rule]))
      for _ in 0..<200 where scan.workloads.isEmpty {
        scan = try CgroupScanner(root: sandbox.cgroup).scan(Classifier(rules: [rule]))
      }
      #expect(scan.workloads.map(\.cgroup) == [cgroup.id])
      try cgroup.kill()
      _ = try child.wait()
      #expect(try CgroupScanner(root: sandbox.cgroup).scan(Classifier(rules: [rule])).workloads.isEmpty)
    }
  }

  @Test("An abandoned cgroup goes; one with a living maker, without a maker, or with a process stays")
  func abandoned() throws {
    try withSandbox { sandbox in
      let scanner = CgroupScanner(root: sandbox.cgroup)
      func make(_ name: String, owner: Int32?) throws -> CgroupDirectory {
        let cgroup = try sandbox.makeCgroup(name)
        try scanner.tag(
          cgroup.path.description, WorkloadTag(labels: Self.labels("app=x"), transientOwner: owner))
        return cgroup
      }
      // No process has this number: it is above the kernel's limit.
      let nobody: Int32 = 1 << 22 + 1
      _ = try make("gone", owner: nobody)
      _ = try make("alive", owner: ProcessID.current.rawValue)
      _ = try make("lasting", owner: nil)
      let busy = try make("busy", owner: nobody)
      let child = try sandbox.start(["sleep", "30"], cgroup: busy, namespace: nil)
      #expect(try scanner.removeAbandoned() == 1)
      let names = try sandbox.cgroup.childNames().map(\.string).sorted()
      #expect(names == ["alive", "busy", "lasting"])
      try busy.kill()
      _ = try child.wait()
    }
  }

  @Test("A path that is no cgroup is refused with the mount point as the remedy")
  func notACgroup() {
    let error = #expect(throws: KernelError.self) { try CgroupHierarchy.find().directory(mountedAt: "/etc") }
    #expect(error?.remedy?.contains("where cgroup v2 is mounted") == true)
  }

  @Test("The watcher announces a new cgroup, a tag in it, and its end", .timeLimit(.minutes(1)))
  func watcher() async throws {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
    try await withSandbox { sandbox in
      let watcher = WorkloadWatcher(root: sandbox.cgroup)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await watcher.run { continuation.yield() } }
        var changes = stream.makeAsyncIterator()
        await changes.next()
        let child = try sandbox.makeCgroup("new")
        await changes.next()
        // The new directory is watched as well: writing its attribute is announced, whatever came in between.
        try child.setLabels(Array("app=web".utf8))
        await changes.next()
        try child.remove()
        await changes.next()
        group.cancelAll()
      }
    }
  }
}
