// Whatever write fails, and however far it got: is the state before in force, and does the next attempt succeed?

import Kernel
import Policy
import Testing

@testable import Enforcement

@Suite struct FaultTests {
  /// Everything that a packet may read.
  struct Force: Equatable, CustomStringConvertible {
    var description: String { "\(slot), \(workloads.count) workloads" }

    var slot: SlotContents
    var workloads: [CgroupID: WorkloadRow]
    var levels: UInt32

    init(_ model: ModelDatapath) {
      slot = model.active
      workloads = model.workloads
      levels = model.levels
    }
  }

  /// A change that needs every kind of step, and what it is to lead to.
  private func change(_ enforcer: Enforcer) async throws {
    let next = document(port: 8443, from: "tier=edge")
    _ = try await enforcer.apply(policy: policy(next), sources: [next])
    _ = try await enforcer.update(workloads: [
      workload(102, "app=api", addresses: ["10.0.0.2"]), workload(107, "app=x,tier=edge", level: 4),
      workload(101, "app=web,v=2", observe: true),
    ])
  }

  private func reference() async throws -> (steps: Int, force: Force) {
    let (enforcer, model) = try await enforcing()
    let before = model.steps
    try await change(enforcer)
    return (model.steps - before, Force(model))
  }

  @Test("a failure at any step, after any number of its rows, leaves the state before in force")
  func everyStep() async throws {
    let (steps, wanted) = try await reference()
    #expect(steps > 10)
    for step in 0..<steps {
      for rows in [0, 1, 2, Int.max] {
        let (enforcer, model) = try await enforcing()
        model.fail(step: step, afterRows: rows)
        let policyBefore = Force(model)
        let next = document(port: 8443, from: "tier=edge")
        var failed = false
        do {
          _ = try await enforcer.apply(policy: policy(next), sources: [next])
        } catch {
          failed = true
          #expect(Force(model) == policyBefore, "step \(step), rows \(rows)")
        }
        let labelsBefore = Force(model)
        do {
          _ = try await enforcer.update(workloads: [
            workload(102, "app=api", addresses: ["10.0.0.2"]), workload(107, "app=x,tier=edge", level: 4),
            workload(101, "app=web,v=2", observe: true),
          ])
        } catch {
          failed = true
          #expect(model.workloads == labelsBefore.workloads, "step \(step), rows \(rows)")
          #expect(model.levels == labelsBefore.levels, "step \(step), rows \(rows)")
          #expect(model.incoming(102, from: 101, port: 8443) == .reject)
        }
        #expect(failed, "step \(step) was to fail")
        model.heal()
        try await change(enforcer)
        #expect(Force(model).workloads.count == wanted.workloads.count)
        #expect(model.active.cells == wanted.slot.cells)
        #expect(model.active.portClasses == wanted.slot.portClasses)
        #expect(model.levels == wanted.levels)
        #expect(model.incoming(102, from: 107, port: 8443) == .allow, "step \(step), rows \(rows)")
        #expect(model.incoming(102, from: 101, port: 8443) == .reject)
      }
    }
  }

  @Test("when taking back fails too, the error says so, and the next change reads the tables back and repairs them")
  func uncertain() async throws {
    let (steps, wanted) = try await reference()
    for step in 0..<steps {
      let (enforcer, model) = try await enforcing()
      model.fail(step: step, afterRows: 1, forever: true)
      await #expect(throws: (any Error).self) { try await change(enforcer) }
      model.heal()
      try await change(enforcer)
      #expect(model.active.cells == wanted.slot.cells, "step \(step)")
      #expect(model.active.networks.count == wanted.slot.networks.count, "step \(step)")
      #expect(model.workloads.count == wanted.workloads.count, "step \(step)")
      #expect(model.incoming(102, from: 107, port: 8443) == .allow, "step \(step)")
      #expect(model.incoming(102, from: 101, port: 8443) == .reject, "step \(step)")
    }
  }

  @Test("failures are counted and named until a change succeeds")
  func counted() async throws {
    let (enforcer, model) = try await enforcing()
    model.fail(step: 0)
    await #expect(throws: DatapathError.self) { try await change(enforcer) }
    var snapshot = await enforcer.snapshot
    #expect(snapshot.failures == 1)
    #expect(snapshot.lastError?.contains("injected failure") == true)
    model.heal()
    try await change(enforcer)
    snapshot = await enforcer.snapshot
    #expect(snapshot.failures == 1)
    #expect(snapshot.lastError == nil)
  }
}
