// Do readers find what is in force, whoever writes the file and whenever?

import FoundationEssentials
import Kernel
import Policy
import TestSupport
import Testing

@testable import Enforcement

@Suite struct SnapshotTests {
  private func withState<T>(_ body: (StateDirectory) async throws -> T) async throws -> T {
    try await TemporaryDirectory.with { try await body(StateDirectory($0)) }
  }

  @Test("after a policy, after flushing and after asking for the state, readers find it")
  func found() async throws {
    try await withState { state in
      let (enforcer, _) = try await enforcing(state: state)
      let applied = try #require(try Snapshot.read(from: state.snapshot))
      #expect(applied.generation == (await enforcer.generation))
      #expect(applied.workloads.count == 2)
      _ = try await enforcer.update(setting: [workload(103, "app=web")])
      await enforcer.flushSnapshot()
      #expect(try Snapshot.read(from: state.snapshot)?.workloads.count == 3)
      _ = try await enforcer.update(workloads: [workload(103, "app=web")])
      let asked = await enforcer.snapshot
      #expect(try Snapshot.read(from: state.snapshot) == asked)
      #expect(asked == (await enforcer.currentState))
      #expect(asked.workloads.map(\.path) == ["/test/103"])
    }
  }

  @Test("of many changes in a row the last one is what readers find")
  func coalesced() async throws {
    try await withState { state in
      let (enforcer, _) = try await enforcing(state: state)
      for number in 200..<400 { _ = try await enforcer.update(setting: [workload(UInt64(number), "n=\(number)")]) }
      await enforcer.flushSnapshot()
      let read = try #require(try Snapshot.read(from: state.snapshot))
      #expect(read == (await enforcer.currentState))
      #expect(read.workloads.count == 202)
    }
  }

  @Test("a failed change is told to readers too")
  func failed() async throws {
    try await withState { state in
      let (enforcer, model) = try await enforcing(state: state)
      model.fail(step: 0)
      await #expect(throws: DatapathError.self) { try await enforcer.update(setting: [workload(103, "app=web")]) }
      await enforcer.flushSnapshot()
      let read = try #require(try Snapshot.read(from: state.snapshot))
      #expect(read.lastError?.contains("injected failure") == true)
      #expect(read.workloads.count == 2)
    }
  }

  @Test("after detaching there is no file, also while one was being written")
  func detached() async throws {
    try await withState { state in
      let (enforcer, _) = try await enforcing(state: state)
      _ = try await enforcer.update(setting: [workload(103, "app=web")])
      try await enforcer.detach()
      #expect(try Snapshot.read(from: state.snapshot) == nil)
    }
  }

  @Test("text of every kind comes back as it was: quotes, control characters, other scripts")
  func text() throws {
    let odd = "a\"b\\c\u{1}\u{1f}\n\t\u{7f}/ü漢🙂\u{2028}"
    var text = JSONText()
    text.object { text in
      text.member("k\"", odd)
      text.key("list")
      text.array([1, -2]) { $0.number($1) }
      text.key("empty")
      text.array([Int]()) { $0.number($1) }
      text.key("nested")
      text.object { $0.member("yes", true) }
      text.member("no", false)
    }
    struct Read: Decodable, Equatable {
      var list: [Int]
      var empty: [Int]
      var nested: [String: Bool]
      var no: Bool
    }
    let read = try JSONDecoder().decode(Read.self, from: Data(text.bytes))
    #expect(read == Read(list: [1, -2], empty: [], nested: ["yes": true], no: false))
    var member = JSONText()
    member.array([odd, ""]) { $0.string($1) }
    #expect(try JSONDecoder().decode([String].self, from: Data(member.bytes)) == [odd, ""])
  }
}
