// Does a new agent take over from a dead one without changing a verdict?

import FoundationEssentials
import Kernel
import Policy
import TestSupport
import Testing

@testable import Enforcement

@Suite struct AdoptionModelTests {
  private func withState<T>(_ body: (StateDirectory) async throws -> T) async throws -> T {
    try await TemporaryDirectory.with { try await body(StateDirectory($0)) }
  }

  @Test("a restart writes nothing, knows policy and workloads, and keeps every number")
  func restart() async throws {
    try await withState { state in
      let (_, model) = try await enforcing(state: state)
      let next = ModelDatapath(adopting: model)
      let enforcer = Enforcer(datapath: next, state: state, cgroup: "/test", logger: quiet)
      try await enforcer.start()
      _ = try await enforcer.apply(policy: policy(document(port: 80)), sources: [document(port: 80)])
      _ = try await enforcer.update(workloads: [workload(101, "app=web"), workload(102, "app=api")])
      #expect(next.log.isEmpty)
      #expect(next.workloads == model.workloads)
      #expect(next.generation == model.generation)
      let tables = try await enforcer.tables
      #expect(tables?.cells == model.active.cells)
    }
  }

  @Test("without a snapshot verdicts stay as they are until workloads and policy are given, and then are the same")
  func withoutSnapshot() async throws {
    let (_, model) = try await enforcing()
    let next = ModelDatapath(adopting: model)
    let enforcer = Enforcer(datapath: next, state: nil, cgroup: "/test", logger: quiet)
    try await enforcer.start()
    #expect(next.log.isEmpty)
    #expect(next.incoming(102, from: 101, port: 80) == .allow)
    _ = try await enforcer.update(workloads: [workload(101, "app=web"), workload(102, "app=api")])
    #expect(next.log.isEmpty)
    _ = try await enforcer.apply(policy: policy(document(port: 80)), sources: [document(port: 80)])
    #expect(next.incoming(102, from: 101, port: 80) == .allow)
    #expect(next.incoming(102, from: 101, port: 81) == .reject)
    // The rows that were there got their labels back: nobody was judged as somebody else in between.
    #expect(next.workloads == model.workloads)
    #expect(
      !next.log.contains {
        if case .setWorkloads = $0 { true } else { false }
      })
  }

  @Test("a crash between the flip and the snapshot leaves the newer policy in force")
  func staleSnapshot() async throws {
    try await withState { state in
      let (enforcer, model) = try await enforcing(state: state)
      let stale = try Data(contentsOf: URL(filePath: state.snapshot))
      _ = try await enforcer.apply(policy: policy(document(port: 99)), sources: [document(port: 99)])
      try stale.write(to: URL(filePath: state.snapshot))
      let next = ModelDatapath(adopting: model)
      let successor = Enforcer(datapath: next, state: state, cgroup: "/test", logger: quiet)
      try await successor.start()
      #expect(next.log.isEmpty)
      #expect(next.incoming(102, from: 101, port: 99) == .allow)
      #expect(next.incoming(102, from: 101, port: 80) == .reject)
      _ = try await successor.apply(policy: policy(document(port: 99)), sources: [document(port: 99)])
      #expect(next.incoming(102, from: 101, port: 99) == .allow)
    }
  }

  @Test("a damaged snapshot is of no consequence for what is in force")
  func damaged() async throws {
    try await withState { state in
      let (_, model) = try await enforcing(state: state)
      try Data("{\"version\": 1, \"workl".utf8).write(to: URL(filePath: state.snapshot))
      let next = ModelDatapath(adopting: model)
      let successor = Enforcer(datapath: next, state: state, cgroup: "/test", logger: quiet)
      try await successor.start()
      #expect(next.log.isEmpty)
      #expect(next.incoming(102, from: 101, port: 80) == .allow)
    }
  }

  @Test("the snapshot reads back as it was written, with odd names and all")
  func roundTrip() async throws {
    try await withState { state in
      let (enforcer, _) = try await enforcing(state: state)
      _ = try await enforcer.update(setting: [workload(103, "app=\"ünï, \\\"x\\\"\"", addresses: ["2001:db8::1"])])
      let state = (held: await enforcer.snapshot, read: try Snapshot.read(from: state.snapshot))
      let read = state.read
      #expect(read == state.held)
      #expect(read?.rule(1)?.name == "in")
      #expect(read?.externals.first?.networks == ["corp"])
    }
  }

  @Test("an adopted row keeps that it rejects unlabelled children, and that sockets were retagged")
  func flags() async throws {
    try await withState { state in
      let (enforcer, model) = try await enforcing(state: state)
      var strict = try workload(103, "app=strict")
      strict.rejectsUnlabelledChildren = true
      _ = try await enforcer.update(setting: [strict])
      try await enforcer.beginRetagging()
      let before = await enforcer.generation
      try await enforcer.rejudgeConversations()
      #expect(await enforcer.generation == before + 2)
      try await enforcer.beginRetagging()
      #expect(model.log.count { $0 == .heedRetags } == 1)
      await enforcer.flushSnapshot()
      let next = ModelDatapath(adopting: model)
      let successor = Enforcer(datapath: next, state: state, cgroup: "/test", logger: quiet)
      try await successor.start()
      #expect(next.workloads[CgroupID(rawValue: 103)]?.rejectsUnlabelledChildren == true)
      #expect(next.heedsRetags)
      #expect(await successor.currentState.workload(CgroupID(rawValue: 103)) == strict)
      _ = try await successor.update(setting: [strict])
      #expect(next.log.isEmpty)
      // The flag alone is a change.
      strict.rejectsUnlabelledChildren = false
      _ = try await successor.update(setting: [strict])
      #expect(next.workloads[CgroupID(rawValue: 103)]?.rejectsUnlabelledChildren == false)
    }
  }
}
