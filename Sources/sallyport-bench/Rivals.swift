// The policies under which sockets are measured: one rule, and as many as fit; the same meaning for the sockets.

internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage

/// Makes the instances whose programs are measured.
enum Rivals {
  /// Labels of the two cgroups under test.
  static func labels(_ role: String) throws -> LabelSet { try LabelSet([Label("bench", role)]) }

  /// The client may reach every port of the server but UDP and TCP port 9.
  static func ruleSet() throws -> RuleSet {
    let rule = Rule(
      name: "bench", action: .allow, peers: [.selector(try Selector(parsing: "bench=client"))],
      ports: [.ports(.tcp, PortRange(10, 65_535)), .ports(.udp, PortRange(10, 65_535))])
    return RuleSet(name: "bench", subject: try Selector(parsing: "bench=server"), incoming: [rule])
  }

  static let defaults = Defaults(workloads: Defaults.Actions(incoming: .reject, outgoing: .allow))

  /// One rule, two identities.
  static func small(in arena: Arena) async throws -> Instance {
    let instance = try Instance("small", in: arena, cells: 16)
    try await start(instance, try PolicySet(ruleSets: [ruleSet()], defaults: defaults), arena)
    return instance
  }

  /// The same rule beside those of a large policy; returns how many cells it has.
  static func large(in arena: Arena, _ synthetic: SyntheticPolicy) async throws -> (Instance, cells: Int) {
    var synthetic = synthetic
    synthetic.extra = [try ruleSet()]
    let generated = try synthetic.policy()
    let policy = try PolicySet(ruleSets: generated.ruleSets, networks: generated.networks, defaults: defaults)
    var allocator = IdentityAllocator()
    for labels in try synthetic.identities() { _ = try allocator.retain(labels, generation: 0) }
    let instance = try Instance("large", in: arena, cells: synthetic.cells * 3 / 2, allocator: allocator)
    try await start(instance, policy, arena)
    return (instance, try await instance.enforcer.tables?.cells.count ?? 0)
  }

  private static func start(_ instance: Instance, _ policy: PolicySet, _ arena: Arena) async throws {
    do {
      _ = try await instance.enforcer.apply(policy: policy, sources: [])
      let workloads = try [("client", arena.client), ("server", arena.server)].map { role, cgroup in
        WorkloadInstance(
          cgroup: cgroup.id, path: cgroup.path.string, level: cgroup.level, labels: try labels(role), source: "bench")
      }
      _ = try await instance.enforcer.update(workloads: workloads)
      try instance.endAttachments()
    } catch {
      try? await instance.close()
      throw error
    }
  }
}
