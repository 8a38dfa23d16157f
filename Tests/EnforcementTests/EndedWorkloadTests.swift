// A workload whose cgroup was removed stays in force until nothing refers to it.
import Kernel
import Policy
import TestSupport
import Testing

@testable import Enforcement

@Suite struct EndedWorkloadTests {
  private static func id(_ number: UInt64) -> CgroupID { CgroupID(rawValue: number) }

  @Test("its end writes nothing but its addresses; policy goes on judging it by the labels that it had")
  func end() async throws {
    let (enforcer, model) = try await enforcing()
    let address = IPPrefix(try IPAddress(parsing: "192.0.2.7"))
    _ = try await enforcer.update(setting: [workload(103, "app=web,tier=one", addresses: ["192.0.2.7"])])
    let generation = model.generation
    model.clearLog()
    _ = try await enforcer.update(setting: [], ended: [Self.id(101)])
    #expect(model.log.isEmpty && model.generation == generation)
    _ = try await enforcer.update(setting: [], ended: [Self.id(103)])
    // Whoever has the address now is not the one that ended.
    #expect(model.active.networks[address]?.workload != Self.id(103))
    #expect(Set(model.workloads.keys.map(\.rawValue)) == [101, 102, 103])
    #expect(await enforcer.snapshot.workloads.map(\.cgroup.rawValue) == [102])
    #expect(await enforcer.snapshot.ended?.map(\.cgroup.rawValue) == [101, 103])
    #expect(model.incoming(102, from: 101, port: 80) == .allow)
    let other = document(port: 80, from: "tier=one")
    _ = try await enforcer.apply(policy: policy(other), sources: [other])
    #expect(model.incoming(102, from: 101, port: 80) == .reject)
    #expect(model.incoming(102, from: 103, port: 80) == .allow)
    // A full list has it no more, and does not remove it.
    _ = try await enforcer.update(workloads: [workload(102, "app=api")])
    #expect(Set(model.workloads.keys.map(\.rawValue)) == [101, 102, 103])
    #expect(model.levels == 1 << 2)
  }

  @Test("its number is nobody else's until it is let go, and then rests")
  func number() async throws {
    let model = ModelDatapath()
    let end = IdentityNumber(rawValue: IdentityNumber.firstAllotted.rawValue + 3)
    let allocator = IdentityAllocator(quarantine: 0, end: end)
    let enforcer = Enforcer(datapath: model, state: nil, cgroup: "/test", logger: quiet, allocator: allocator)
    try await enforcer.start()
    _ = try await enforcer.update(workloads: [workload(101, "app=web"), workload(102, "app=api")])
    _ = try await enforcer.apply(policy: policy(document(port: 80)), sources: [])
    _ = try await enforcer.update(setting: [workload(103, "app=c")])
    _ = try await enforcer.update(setting: [], ended: [Self.id(101)])
    let held = try #require(model.workloads[Self.id(101)])
    let refused = try workload(104, "app=d")
    await #expect(throws: IdentityError.self) { try await enforcer.update(setting: [refused]) }
    let generation = model.generation
    try await enforcer.letGo([Self.id(101), Self.id(102)])
    #expect(model.workloads[Self.id(101)] == nil)
    // It never ended: it is not let go.
    #expect(model.workloads[Self.id(102)] != nil)
    // No verdict changed.
    #expect(model.generation == generation)
    #expect(model.counted.contains(Self.id(101)) == false)
    _ = try await enforcer.update(setting: [refused])
    #expect(model.workloads[Self.id(104)]?.identity == held.identity)
  }

  @Test("they have a share of the rows: the oldest without sockets goes first, and it is counted")
  func share() async throws {
    let limits = DatapathLimits(cells: 262_144, networks: 131_072, workloads: 8)
    let (enforcer, model) = try await enforcing(on: ModelDatapath(limits: limits))
    for number in UInt64(110)...113 {
      _ = try await enforcer.update(setting: [workload(number, "app=web")])
      _ = try await enforcer.update(setting: [], ended: [Self.id(number)])
      await enforcer.noteHeld([Self.id(110)])
    }
    // One of four rows: two. The oldest has sockets.
    #expect(Set(await enforcer.endedWorkloads.keys.map(\.rawValue)) == [110, 113])
    #expect(Set(model.workloads.keys.map(\.rawValue)) == [101, 102, 110, 113])
    #expect(await enforcer.endedLetGoEarly == 2)
    // The living need the room more.
    _ = try await enforcer.update(setting: (120...125).map { try workload($0, "app=web") })
    #expect(await enforcer.endedWorkloads.isEmpty)
    #expect(model.workloads.count == 8)
    #expect(await enforcer.endedLetGoEarly == 4)
  }

  @Test("an agent that takes over keeps those that had ended, and those that ended meanwhile")
  func takeover() async throws {
    let directory = try TemporaryDirectory()
    defer { withExtendedLifetime(directory) {} }
    let state = StateDirectory(directory.path)
    let (enforcer, model) = try await enforcing(state: state)
    _ = try await enforcer.update(setting: [workload(103, "app=web,tier=one")])
    _ = try await enforcer.update(setting: [], ended: [Self.id(101)])
    await enforcer.flushSnapshot()
    let next = ModelDatapath(adopting: model)
    let later = Enforcer(datapath: next, state: state, cgroup: "/test", logger: quiet)
    try await later.start()
    #expect(await later.workloads.map(\.cgroup.rawValue).sorted() == [102, 103])
    #expect(Set(await later.endedWorkloads.keys.map(\.rawValue)) == [101])
    let rows = next.workloads
    _ = try await later.update(workloads: [workload(102, "app=api")], ended: [Self.id(103)])
    #expect(next.workloads == rows)
    #expect(Set(await later.endedWorkloads.keys.map(\.rawValue)) == [101, 103])
    #expect(next.incoming(102, from: 103, port: 80) == .allow)
    // One whose labels were taken away while its cgroup is there is not an ended one.
    _ = try await later.update(workloads: [])
    #expect(Set(next.workloads.keys.map(\.rawValue)) == [101, 103])
    // A cgroup that was thought to have ended is there again, as after a lost event.
    _ = try await later.update(workloads: [workload(103, "app=web,tier=one")])
    #expect(Set(await later.endedWorkloads.keys.map(\.rawValue)) == [101])
  }

  @Test("a failed write takes nothing from it", arguments: 0..<2)
  func fault(step: Int) async throws {
    let (enforcer, model) = try await enforcing()
    _ = try await enforcer.update(setting: [workload(103, "app=web", addresses: ["192.0.2.7"])])
    model.fail(step: 0)
    await #expect(throws: DatapathError.self) { try await enforcer.update(setting: [], ended: [Self.id(103)]) }
    model.heal()
    #expect(await enforcer.endedWorkloads.isEmpty)
    _ = try await enforcer.update(setting: [], ended: [Self.id(103)])
    model.fail(step: step)
    await #expect(throws: DatapathError.self) { try await enforcer.letGo([Self.id(103)]) }
    model.heal()
    #expect(Set(await enforcer.endedWorkloads.keys.map(\.rawValue)) == [103])
    #expect(model.workloads[Self.id(103)] != nil)
    try await enforcer.letGo([Self.id(103)])
    #expect(model.workloads[Self.id(103)] == nil)
  }
}
