// Do readers find what is in force, whoever writes the file and whenever?

import FoundationEssentials
import JSON
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
    var text = JSONWriter()
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
    var member = JSONWriter()
    member.array([odd, ""]) { $0.string($1) }
    #expect(try JSONDecoder().decode([String].self, from: Data(member.bytes)) == [odd, ""])
  }

  /// A snapshot that also names so many sets of labels that no workload has any more: `n=0` has number 1000.
  private func remember(_ count: Int, in state: StateDirectory) throws {
    let text = String(decoding: try Data(contentsOf: URL(filePath: state.snapshot)), as: UTF8.self)
    let more = try (0..<count).map { index in
      let identity = try LabelSet(parsing: "n=\(index)").identity
      return "{\"identity\":\"\(identity)\",\"labels\":{\"n\":\"\(index)\"},\"number\":\(1000 + index)},"
    }
    let place = try #require(text.firstRange(of: "\"identities\":["))
    try Data((text[..<place.upperBound] + more.joined() + text[place.upperBound...]).utf8)
      .write(to: URL(filePath: state.snapshot))
  }

  private func identities(in state: StateDirectory) throws -> [Snapshot.NumberedIdentity]? {
    try Snapshot.read(from: state.snapshot)?.identities.sorted { $0.number < $1.number }
  }

  @Test("names that nobody has now are read after the start, in pieces, and keep their numbers")
  func readLater() async throws {
    try await withState { state in
      let (_, model) = try await enforcing(state: state)
      try remember(10_000, in: state)
      let written = try identities(in: state)
      let successor = Enforcer(
        datapath: ModelDatapath(adopting: model), state: state, cgroup: "/test", logger: quiet)
      try await successor.start()
      #expect(await successor.hasUnreadNames)
      #expect(await successor.workloads.count == 2)
      // Nothing is lost if the agent dies now, or after some of them.
      let more = await successor.readMoreNames(4000)
      #expect(more)
      _ = try await successor.update(setting: [workload(101, "app=web", observe: true)])
      #expect(try identities(in: state) == written)
      while await successor.readMoreNames() {}
      #expect(await !successor.hasUnreadNames)
      await successor.flushSnapshot()
      #expect(try identities(in: state) == written)
      let last = try LabelSet(parsing: "n=9999")
      #expect(await successor.names.labels(of: IdentityNumber(rawValue: 10_999)) == last)
    }
  }

  @Test("a workload with labels that were not read yet gets their number; new labels get one that nobody had")
  func neededBeforeRead() async throws {
    try await withState { state in
      let (_, model) = try await enforcing(state: state)
      try remember(10_000, in: state)
      let next = ModelDatapath(adopting: model)
      let successor = Enforcer(datapath: next, state: state, cgroup: "/test", logger: quiet)
      try await successor.start()
      _ = try await successor.update(setting: [workload(103, "n=9000"), workload(104, "app=new")])
      #expect(next.workloads[CgroupID(rawValue: 103)]?.identity.rawValue == 10_000)
      #expect(next.workloads[CgroupID(rawValue: 104)]?.identity.rawValue == 11_000)
      #expect(await !successor.hasUnreadNames)
    }
  }

  @Test("few names are read at once, and whoever asks for the state gets all of them", arguments: [100, 5000])
  func asked(_ count: Int) async throws {
    try await withState { state in
      let (_, model) = try await enforcing(state: state)
      try remember(count, in: state)
      let successor = Enforcer(
        datapath: ModelDatapath(adopting: model), state: state, cgroup: "/test", logger: quiet)
      try await successor.start()
      #expect(await successor.hasUnreadNames == (count > 2048))
      // Three are reserved, two are in force.
      #expect(await successor.snapshot.identities.count == count + 5)
    }
  }
}
