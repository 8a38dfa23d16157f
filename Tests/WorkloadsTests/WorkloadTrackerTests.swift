// Are real cgroups, their tags and their processes seen as they are, and every change of them?
import Enforcement
import Kernel
import Policy
import SystemPackage
import TestSupport
import Testing
import Workloads

@Suite(.requires(.root, .cgroups)) struct WorkloadTrackerTests {
  static func labels(_ text: String) throws -> LabelSet { try LabelSet(parsing: text) }

  /// Says of every cgroup whose path ends in `x` what it is told to.
  struct Fixed: LabelSource {
    var name = "fixed"
    var local: SourceLabels?
    var problem: String?

    func claims(_ place: CgroupPlace) -> Bool { place.path.hasSuffix("x") }
    func labels(of place: CgroupPlace) throws(SourceFault) -> SourceLabels? {
      if let problem { throw SourceFault(name, place.path, problem) }
      return local
    }
  }

  @Test("A tagged cgroup is a workload, with its id and level, and an untagged one is not")
  func tagged() throws {
    try withSandbox { sandbox in
      let cgroup = try sandbox.makeCgroup("a/b")
      let tags = CgroupTags(root: sandbox.cgroup)
      let id = try tags.write(WorkloadTag(labels: Self.labels("app=web"), name: "n"), on: cgroup.path.description)
      var tracker = WorkloadTracker(root: sandbox.cgroup)
      let update = try tracker.rescan()
      #expect(id == cgroup.id)
      #expect(tracker.cgroups.count == 3)
      let workload = try #require(tracker.workloads.first)
      #expect(update.changes == [.added(workload)])
      #expect(workload.cgroup == cgroup.id)
      #expect(workload.path == cgroup.path.description)
      #expect(workload.level == 3)
      #expect(workload.name == "n")
      #expect(workload.labels == (try Self.labels("app=web")))
      #expect(Clock.wallNanoseconds() - workload.since < 10_000_000_000)
      try tags.write(nil, on: cgroup.path.description)
      #expect(tracker.look(at: id).changes == [.removed(workload)])
      #expect(tracker.workloads.isEmpty)
    }
  }

  @Test("A tag that cannot be read is a warning that names the cgroup, and goes with it")
  func badTag() throws {
    try withSandbox { sandbox in
      let cgroup = try sandbox.makeCgroup("a")
      try cgroup.setLabels(Array("no labels".utf8))
      var tracker = WorkloadTracker(root: sandbox.cgroup)
      #expect(try tracker.rescan().changes.isEmpty)
      #expect(tracker.warnings.count == 1)
      #expect(tracker.warnings.first?.hasPrefix("\(cgroup.path): workload tag") == true)
      try cgroup.remove()
      #expect(try tracker.apply([.removed(cgroup.id)]).gone == [cgroup.id])
      #expect(tracker.warnings.isEmpty)
    }
  }

  @Test("A cgroup outside of the agent's is neither tagged nor tracked")
  func outside() throws {
    try withSandbox { sandbox in
      let root = try sandbox.makeCgroup("agent")
      let tags = CgroupTags(root: root)
      let other = try sandbox.makeCgroup("other")
      let tag = WorkloadTag(labels: try Self.labels("app=web"))
      #expect(throws: KernelError.self) { try tags.write(tag, on: other.path.description) }
      #expect(throws: KernelError.self) { try tags.write(tag, on: other.path.description + "/../../x") }
      let untagged = try other.labels() == nil
      #expect(untagged)
      var tracker = WorkloadTracker(root: root)
      #expect(try tracker.apply([.made(other.id), .executed(Self.start(in: other))]).changes.isEmpty)
      #expect(tracker.cgroups.isEmpty)
    }
  }

  static func start(in cgroup: CgroupDirectory) -> ProcessStart {
    ProcessStart(process: .current, cgroup: cgroup.id, time: 0, path: nil)
  }

  @Test("Events that come twice, late or about what is gone change nothing")
  func events() throws {
    try withSandbox { sandbox in
      let rules = [WorkloadRule(name: "r", labels: try Self.labels("app=x"), match: .init(cgroups: [Glob("/**/w*")]))]
      var tracker = WorkloadTracker(root: sandbox.cgroup, classifier: Classifier(rules: rules))
      _ = try tracker.rescan()
      let first = try sandbox.makeCgroup("w1")
      let second = try sandbox.makeCgroup("w2")
      try second.remove()
      let update = try tracker.apply([.made(first.id), .made(first.id), .made(second.id), .removed(second.id)])
      #expect(update.changes.count == 1)
      #expect(tracker.workloads.map(\.cgroup) == [first.id])
      #expect(try tracker.apply([.made(first.id), .made(second.id)]).changes.isEmpty)
      try first.remove()
      // Nobody told of its end, nor of the third one: a look at everything finds both out.
      let third = try sandbox.makeCgroup("w3")
      let found = try tracker.apply([.unknown])
      #expect(found.gone == [first.id])
      #expect(tracker.workloads.map(\.cgroup) == [third.id])
    }
  }

  @Test("A rule over executables sees the processes of a cgroup come and go")
  func executables() throws {
    try withSandbox { sandbox in
      let cgroup = try sandbox.makeCgroup("a")
      let rule = WorkloadRule(
        name: "r", labels: try Self.labels("app=x"), match: .init(executables: [Glob("/**/sleep")]))
      var tracker = WorkloadTracker(root: sandbox.cgroup, classifier: Classifier(rules: [rule]))
      _ = try tracker.rescan()
      let child = try sandbox.start(["sleep", "30"], cgroup: cgroup, namespace: nil)
      // Until its exec the child still has this process's image.
      for _ in 0..<200 where tracker.workloads.isEmpty { _ = try tracker.apply([.executed(Self.start(in: cgroup))]) }
      #expect(tracker.workloads.map(\.cgroup) == [cgroup.id])
      try cgroup.kill()
      _ = try child.wait()
      _ = try tracker.apply([.exited(cgroup.id, ProcessEnd(process: ProcessID(rawValue: 1), time: 0))])
      #expect(tracker.workloads.isEmpty)
    }
  }

  @Test("An abandoned cgroup goes; one with a living maker, without a maker, or with a process stays")
  func abandoned() throws {
    try withSandbox { sandbox in
      let tags = CgroupTags(root: sandbox.cgroup)
      func make(_ name: String, owner: Int32?) throws -> CgroupDirectory {
        let cgroup = try sandbox.makeCgroup(name)
        try tags.write(
          WorkloadTag(labels: Self.labels("app=x"), transientOwner: owner), on: cgroup.path.description)
        return cgroup
      }
      // No process has this number: it is above the kernel's limit.
      let nobody: Int32 = 1 << 22 + 1
      let gone = try make("gone", owner: nobody)
      _ = try make("alive", owner: ProcessID.current.rawValue)
      _ = try make("lasting", owner: nil)
      let busy = try make("busy", owner: nobody)
      let child = try sandbox.start(["sleep", "30"], cgroup: busy, namespace: nil)
      var tracker = WorkloadTracker(root: sandbox.cgroup)
      let candidates = try tracker.rescan().abandoned
      #expect(candidates.filter { tags.removeIfAbandoned($0) } == [gone.id])
      let names = try sandbox.cgroup.childNames().map(\.string).sorted()
      #expect(names == ["alive", "busy", "lasting"])
      try busy.kill()
      _ = try child.wait()
      #expect(try tracker.apply([.emptied(busy.id)]).abandoned == [busy.id])
      #expect(tags.removeIfAbandoned(busy.id))
    }
  }

  @Test("What a daemon answers replaces what files said, a rule beats both, and each label's origin is known")
  func sources() throws {
    try withSandbox { sandbox in
      let local = Fixed(local: SourceLabels(try Self.labels("container.name=a,tier=file")))
      let rule = WorkloadRule(
        name: "r", labels: try Self.labels("tier=rule"),
        match: .init(labels: try Selector(parsing: "container.name=b")))
      var tracker = WorkloadTracker(
        root: sandbox.cgroup, classifier: Classifier(rules: [rule]), sources: [local])
      _ = try tracker.rescan()
      let cgroup = try sandbox.makeCgroup("x")
      let asked = try tracker.apply([.made(cgroup.id)]).toAsk
      #expect(asked.map(\.cgroup) == [cgroup.id])
      #expect(tracker.workloads.first?.labels == (try Self.labels("container.name=a,tier=file")))
      let answer = SourceLabels(try Self.labels("container.name=b,tier=daemon"), name: "pretty")
      _ = tracker.learn(answer, from: "fixed", about: cgroup.id)
      let workload = try #require(tracker.workloads.first)
      #expect(workload.labels == (try Self.labels("container.name=b,tier=rule")))
      #expect(workload.name == "pretty")
      #expect(workload.source == "rule r, fixed")
      let origins = tracker.cgroups[cgroup.id]?.classification.origins ?? []
      #expect(
        origins.map { "\($0.label) \($0.source) \($0.overriddenBy ?? "-")" }
          == ["tier=rule rule r -", "container.name=b fixed -", "tier=daemon fixed rule r"])
    }
  }

  @Test("A source that fails leaves the cgroup to its labelled ancestor, and is named")
  func failingSource() throws {
    try withSandbox { sandbox in
      var tracker = WorkloadTracker(root: sandbox.cgroup, sources: [Fixed(problem: "hangs")])
      let cgroup = try sandbox.makeCgroup("x")
      #expect(try tracker.rescan().changes.isEmpty)
      #expect(tracker.warnings == ["\(cgroup.path): fixed: \(cgroup.path): hangs"])
    }
  }

  @Test("Ignored are cgroups that a source alone labels, not those that a rule or a tag does")
  func ignored() throws {
    try withSandbox { sandbox in
      let source = Fixed(local: SourceLabels(try Self.labels("container.image=pause")))
      let rule = WorkloadRule(
        name: "r", labels: try Self.labels("app=x"), match: .init(cgroups: [Glob("/**/rx")]))
      let classifier = Classifier(rules: [rule], ignoring: try Selector(parsing: "container.image=pause"))
      var tracker = WorkloadTracker(root: sandbox.cgroup, classifier: classifier, sources: [source])
      _ = try sandbox.makeCgroup("x")
      let ruled = try sandbox.makeCgroup("rx")
      _ = try tracker.rescan()
      #expect(tracker.workloads.map(\.cgroup) == [ruled.id])
    }
  }

  @Test("A path that is no cgroup is refused with the mount point as the remedy")
  func notACgroup() {
    let error = #expect(throws: KernelError.self) { try CgroupHierarchy.find().directory(mountedAt: "/etc") }
    #expect(error?.remedy?.contains("where cgroup v2 is mounted") == true)
  }
}
