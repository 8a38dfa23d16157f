// Whose a cgroup was stays known after its removal, and an end is told apart from a change of labels.
import Enforcement
import Kernel
import Policy
import Synchronization
import SystemPackage
import TestSupport
import Testing
import Workloads

@Suite(.requires(.root, .cgroups)) struct EndedCgroupTests {
  private static func row(_ number: UInt32, strict: Bool = false) -> WorkloadRow {
    WorkloadRow(identity: IdentityNumber(rawValue: number), observe: false, rejectsUnlabelledChildren: strict)
  }

  private static func label(_ sandbox: Sandbox, _ cgroup: CgroupDirectory, _ labels: String) throws {
    try CgroupTags(root: sandbox.cgroup).write(
      WorkloadTag(labels: LabelSet(parsing: labels)), on: cgroup.path.description)
  }

  @Test("What was below a workload belongs to it after both are gone, and not to what has its path now")
  func below() throws {
    try withSandbox { sandbox in
      let child = try sandbox.makeCgroup("a/b/c")
      let parent = try sandbox.cgroup.child("a")
      let middle = try parent.child("b")
      let stranger = try sandbox.makeCgroup("stranger")
      try Self.label(sandbox, parent, "app=a")
      var tracker = WorkloadTracker(root: sandbox.cgroup)
      _ = try tracker.rescan()
      let workload = try #require(tracker.workloads.first)
      let rows = [parent.id: Self.row(300)]
      try parent.remove()
      try stranger.remove()
      let update = try tracker.apply([
        .removed(child.id), .removed(middle.id), .removed(parent.id), .removed(stranger.id),
      ])
      #expect(update.changes == [.ended(workload)])
      let again = try sandbox.makeCgroup("a/b/c")
      try Self.label(sandbox, try sandbox.cgroup.child("a"), "app=other")
      _ = try tracker.rescan()
      let other = try sandbox.cgroup.child("a").id
      let subjects = tracker.policed(by: rows.merging([other: Self.row(301)]) { $1 })
      for id in [child.id, middle.id, parent.id] { #expect(subjects[id]?.workload == parent.id) }
      #expect(subjects[again.id]?.workload == other)
      #expect(subjects[stranger.id] == .host)
      #expect(tracker.isEnded(child.id) && !tracker.isEnded(again.id) && !tracker.isEnded(sandbox.cgroup.id))
      #expect(tracker.below([workload]).isSuperset(of: [child.id, middle.id, parent.id]))
      #expect(!tracker.below([workload]).contains(stranger.id))
      // A strict workload's children were nobody, and are.
      #expect(tracker.policed(by: [parent.id: Self.row(300, strict: true)])[child.id]?.isUnlabelled == true)
      let released = try tracker.apply([.released(child.id), .released(parent.id)])
      #expect(released.released == [child.id, parent.id] && released.changes.isEmpty)
      #expect(tracker.policed(by: rows)[child.id] == nil)
      #expect(tracker.policed(by: rows)[middle.id]?.workload == parent.id)
      // Not known any more, and gone all the same.
      #expect(tracker.isEnded(child.id))
    }
  }

  @Test("A workload by its executable ends with its last process; who comes later is somebody else")
  func executable() throws {
    try withSandbox { sandbox in
      let cgroup = try sandbox.makeCgroup("a")
      let rule = WorkloadRule(
        name: "r", labels: try LabelSet(parsing: "app=x"), match: .init(executables: [Glob("/**/sleep")]))
      var tracker = WorkloadTracker(root: sandbox.cgroup, classifier: Classifier(rules: [rule]))
      _ = try tracker.rescan()
      func told() -> [WorkloadEvent] {
        [.executed(ProcessStart(process: .current, cgroup: cgroup.id, time: 0, path: nil))]
      }
      func ended() -> [WorkloadEvent] {
        [.exited(cgroup.id, ProcessEnd(process: ProcessID(rawValue: 1), time: 0))]
      }
      let first = try sandbox.start(["sleep", "30"], cgroup: cgroup)
      let second = try sandbox.start(["sleep", "30"], cgroup: cgroup)
      // Until its exec the child still has this process's image.
      for _ in 0..<200 where tracker.workloads.isEmpty { _ = try tracker.apply(told()) }
      let workload = try #require(tracker.workloads.first)
      try first.handle.send(signal: 9)
      _ = try first.wait()
      var update = try tracker.apply(ended())
      #expect(update.changes.isEmpty)
      try second.handle.send(signal: 9)
      _ = try second.wait()
      update = try tracker.apply(ended())
      #expect(update.changes == [.ended(workload)] && tracker.workloads.isEmpty)
      // Its own row may still be in force: this is the same workload again.
      let third = try sandbox.start(["sleep", "30"], cgroup: cgroup)
      for _ in 0..<200 where tracker.workloads.isEmpty { _ = try tracker.apply(told()) }
      #expect(tracker.workloads.map(\.cgroup) == [cgroup.id])
      try third.handle.send(signal: 9)
      _ = try third.wait()
      update = try tracker.apply(ended())
      #expect(update.changes.map(\.isEndOfAll) == [true] && tracker.workloads.isEmpty)
      #expect(try tracker.apply(ended()).changes.isEmpty)
      let last = try sandbox.start(["tail", "-f", "/dev/null"], cgroup: cgroup)
      update = try tracker.apply(told())
      #expect(update.changes.map(\.isRemoval) == [true])
      try last.handle.send(signal: 9)
      _ = try last.wait()
    }
  }

  @Test("An engine that forgets a container which has ended relabels nothing; a file that people write does")
  func engine() throws {
    final class Engine: LabelSource {
      let name = "engine"
      let describesProcesses: Bool
      let labels = Mutex<SourceLabels?>(nil)
      init(_ describes: Bool) { describesProcesses = describes }
      func claims(_ place: CgroupPlace) -> Bool { place.path.hasSuffix("/a") }
      func labels(of place: CgroupPlace) throws(SourceFault) -> SourceLabels? { labels.withLock { $0 } }
    }
    try withSandbox { sandbox in
      let cgroup = try sandbox.makeCgroup("a")
      for describes in [true, false] {
        let engine = Engine(describes)
        let found = SourceLabels(try LabelSet(parsing: "app=x"))
        engine.labels.withLock { $0 = found }
        var tracker = WorkloadTracker(root: sandbox.cgroup, sources: [engine])
        _ = try tracker.rescan()
        let workload = try #require(tracker.workloads.first)
        engine.labels.withLock { $0 = nil }
        let update = tracker.look(at: cgroup.id)
        #expect(update.changes == [describes ? .ended(workload) : .removed(workload)])
      }
    }
  }
}

extension WorkloadChange {
  fileprivate var isEndOfAll: Bool { if case .ended = self { true } else { false } }
  fileprivate var isRemoval: Bool { if case .removed = self { true } else { false } }
}
