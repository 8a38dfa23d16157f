// Does no step of a start change a verdict, whatever the new agent knows?

import Kernel
import Policy
import SystemPackage
import TestSupport
import Testing

@testable import Enforcement

@Suite struct RestartModelTests {
  /// What the successor finds beside the rows.
  enum Left: CaseIterable {
    case everything, names, snapshot, nothing
  }

  private let web = CgroupID(rawValue: 101)
  private let api = CgroupID(rawValue: 102)
  private let evil = CgroupID(rawValue: 103)

  /// Three workloads in force, and a successor that finds what is left.
  private func restart(
    _ left: Left, _ body: (Enforcer, _ before: ModelDatapath, _ model: ModelDatapath) async throws -> Void
  ) async throws {
    try await TemporaryDirectory.with { path in
      let state = StateDirectory(path)
      let (former, model) = try await enforcing(state: state)
      _ = try await former.update(setting: [workload(103, "app=evil", level: 3)])
      await former.flushSnapshot()
      if left == .snapshot || left == .nothing { model.forgetNames() }
      if left == .names || left == .nothing { try removeFile(state.snapshot) }
      let before = ModelDatapath(adopting: model)
      let next = ModelDatapath(adopting: model)
      let successor = Enforcer(datapath: next, state: state, cgroup: "/test", logger: quiet)
      try await successor.start()
      #expect(next.log.isEmpty)
      try await body(successor, before, next)
    }
  }

  /// Makes the steps one by one, as if the agent died after each, and looks at verdicts and levels.
  private func replay(_ model: ModelDatapath, over before: ModelDatapath, levels: UInt32 = 0b1100, _ steps: String = "")
    throws
  {
    let copy = ModelDatapath(adopting: before)
    for change in model.log {
      try copy.apply(change)
      #expect(copy.incoming(102, from: 101, port: 80) == .allow, "\(change)")
      #expect(copy.incoming(102, from: 103, port: 80) == .reject, "\(change)")
      #expect(copy.levels & levels == levels, "\(change)")
    }
    #expect(copy.workloads == model.workloads)
  }

  @Test("policy and workloads given in either order change no verdict", arguments: Left.allCases)
  func same(_ left: Left) async throws {
    try await restart(left) { successor, before, next in
      _ = try await successor.update(
        workloads: [workload(101, "app=web"), workload(102, "app=api"), workload(103, "app=evil", level: 3)])
      _ = try await successor.apply(policy: policy(document(port: 80)), sources: [document(port: 80)])
      try replay(next, over: before)
      #expect(next.workloads == before.workloads)
    }
  }

  @Test("a policy before any workload is known leaves rows, levels and verdicts", arguments: Left.allCases)
  func policyFirst(_ left: Left) async throws {
    try await restart(left) { successor, before, next in
      _ = try await successor.apply(policy: policy(document(port: 80)), sources: [document(port: 80)])
      #expect(next.workloads == before.workloads)
      #expect(next.levels == before.levels)
      // Without names who was whom cannot be told for another policy: refused, and never the host.
      if left != .nothing { try replay(next, over: before) }
      #expect(next.incoming(102, from: 103, port: 80) == .reject)
    }
  }

  @Test("workloads that a source cannot name yet keep what they are", arguments: [Left.everything, .names, .snapshot])
  func kept(_ left: Left) async throws {
    try await restart(left) { successor, before, next in
      let kept = [KeptCgroup(cgroup: web, path: "/test/101", level: 2), KeptCgroup(cgroup: evil, path: "/e", level: 3)]
      _ = try await successor.update(workloads: [workload(102, "app=api")], keeping: kept)
      _ = try await successor.apply(policy: policy(document(port: 80)), sources: [document(port: 80)])
      try replay(next, over: before)
      #expect(next.workloads == before.workloads)
      let webLabels = try LabelSet(parsing: "app=web")
      #expect(await successor.workloads.first { $0.cgroup == web }?.labels == webLabels)
      // Their sources answered: they are something else.
      next.clearLog()
      _ = try await successor.update(workloads: [workload(102, "app=api"), workload(101, "app=evil")])
      #expect(next.incoming(102, from: 101, port: 80) == .reject)
      #expect(next.workloads[evil] == nil)
    }
  }

  @Test("without names a number whose cgroups are different things now is split before it is judged anew")
  func split() async throws {
    let (former, model) = try await enforcing()
    _ = try await former.update(setting: [workload(103, "app=evil"), workload(104, "app=evil")])
    model.forgetNames()
    let before = ModelDatapath(adopting: model)
    let next = ModelDatapath(adopting: model)
    let successor = Enforcer(datapath: next, state: nil, cgroup: "/test", logger: quiet)
    try await successor.start()
    // One of the two became a web server while no agent ran.
    _ = try await successor.update(
      workloads: [
        workload(101, "app=web"), workload(102, "app=api"), workload(103, "app=evil"), workload(104, "app=web"),
      ])
    _ = try await successor.apply(policy: policy(document(port: 80)), sources: [document(port: 80)])
    try replay(next, over: before, levels: 0b100)
    #expect(next.incoming(102, from: 104, port: 80) == .allow)
    #expect(next.workloads[CgroupID(rawValue: 104)]?.identity == next.workloads[web]?.identity)
  }

  @Test("a snapshot of another instance names nothing")
  func foreign() async throws {
    try await restart(.snapshot) { _, _, model in
      try await TemporaryDirectory.with { path in
        let state = StateDirectory(path)
        let (other, _) = try await enforcing(state: state)
        await other.flushSnapshot()
        let text = String(decoding: try readRegularFile(state.snapshot, limit: 1 << 20), as: UTF8.self)
        try replaceFile(.init(state.snapshot), with: Array(text.replacing("\"pins\":\"", with: "\"pins\":\"/x").utf8))
        let next = ModelDatapath(adopting: model)
        let successor = Enforcer(datapath: next, state: state, cgroup: "/test", logger: quiet)
        try await successor.start()
        #expect(await successor.workloads.isEmpty)
        #expect(await !successor.knowsPolicy)
      }
    }
  }

  @Test("after workloads came and went, a plain restart knows its policy, and applying it again is no surprise")
  func plain() async throws {
    try await TemporaryDirectory.with { path in
      let state = StateDirectory(path)
      let (former, model) = try await enforcing(state: state)
      _ = try await former.update(setting: [workload(104, "app=web,v=2"), workload(105, "app=odd")])
      _ = try await former.update(setting: [], removing: [CgroupID(rawValue: 104), CgroupID(rawValue: 105)])
      await former.flushSnapshot()
      let next = ModelDatapath(adopting: model)
      let successor = Enforcer(datapath: next, state: state, cgroup: "/test", logger: quiet)
      try await successor.start()
      #expect(await successor.recognisesPolicy)
      #expect(await successor.policySources == [document(port: 80)])
    }
  }

  @Test("beside a policy whose documents are lost, what comes is its equals or nobody")
  func unknownPolicy() async throws {
    try await restart(.names) { successor, _, next in
      let all = try [workload(101, "app=web"), workload(102, "app=api"), workload(103, "app=evil", level: 3)]
      _ = try await successor.update(workloads: all)
      #expect(next.log.isEmpty)
      _ = try await successor.update(workloads: all + [workload(104, "app=web"), workload(105, "app=new")])
      #expect(next.incoming(102, from: 104, port: 80) == .allow)
      #expect(next.incoming(102, from: 105, port: 80) == .reject)
      #expect(next.incoming(105, from: 101, port: 80) == .reject)
    }
  }
}
