// The policies under which sockets are measured: two rules, and as many as fit; the same meaning for the sockets.

internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage

/// Makes the instances whose programs are measured.
enum Rivals {
  /// Labels of the two cgroups under test.
  static func labels(_ role: String) throws -> LabelSet { try LabelSet([Label("bench", role)]) }

  /// The client may reach every TCP and UDP port of the server, and nobody's TCP port 9.
  static func ruleSets() throws -> [RuleSet] {
    let (client, server) = (try Selector(parsing: "bench=client"), try Selector(parsing: "bench=server"))
    let allow = Rule(
      name: "bench", action: .allow, peers: [.selector(client)],
      ports: [.ports(.tcp, PortRange(10, 65_535)), .ports(.udp, PortRange(10, 65_535))])
    let reject = Rule(name: "discard", action: .reject, ports: [.ports(.tcp, PortRange(9, 9))])
    return [
      RuleSet(name: "bench-server", subject: server, incoming: [allow]),
      RuleSet(name: "bench-client", subject: client, outgoing: [reject]),
    ]
  }

  static let defaults = Defaults(workloads: Defaults.Actions(incoming: .reject, outgoing: .allow))

  /// The same, but what no rule decides is allowed.
  static let openDefaults = Defaults(workloads: Defaults.Actions(incoming: .allow, outgoing: .allow))

  /// Two rules, two identities.
  static func small(in arena: Arena, defaults: Defaults = Rivals.defaults) async throws -> Instance {
    let instance = try Instance("small", in: arena, cells: 16)
    try await start(instance, try PolicySet(ruleSets: ruleSets(), defaults: defaults), arena)
    return instance
  }

  /// The same rule beside those of a large policy; returns how many cells it has.
  static func large(
    in arena: Arena, _ synthetic: SyntheticPolicy, named name: String = "large", kind: DatapathKind = .cgroup,
    variant: IptablesVariant = .automatic
  ) async throws -> (Instance, cells: Int) {
    var synthetic = synthetic
    synthetic.extra = try ruleSets()
    let generated = try synthetic.policy()
    let policy = try PolicySet(ruleSets: generated.ruleSets, networks: generated.networks, defaults: defaults)
    var allocator = IdentityAllocator()
    for labels in try synthetic.identities() { _ = try allocator.retain(labels, generation: 0) }
    let instance = try Instance(
      name, in: arena, cells: synthetic.cells * 3 / 2, allocator: allocator, kind: kind, variant: variant)
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
