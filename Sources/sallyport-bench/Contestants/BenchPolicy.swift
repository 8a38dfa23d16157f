// The policies under which work is measured: two rules, and as many as fit; the same meaning for the sockets.

internal import Enforcement
internal import Kernel
internal import Policy
internal import SystemPackage

/// Makes the instances whose programs are measured.
enum BenchPolicy {
  /// Labels of the two cgroups under test.
  private static func labels(_ role: String) throws -> LabelSet { try LabelSet([Label("bench", role)]) }

  /// The client may reach every TCP and UDP port of the server, and nobody's TCP port 9.
  private static func ruleSets() throws -> [RuleSet] {
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

  private static let defaults = Defaults(workloads: Defaults.Actions(incoming: .reject, outgoing: .allow))

  /// The bench's rules alone; `allowing: false` refuses what they allow.
  static func small(allowing: Bool = true) throws -> PolicySet {
    try PolicySet(ruleSets: ruleSets().filter { allowing || $0.name != "bench-server" }, defaults: defaults)
  }

  /// The two cgroups under test, with their labels.
  static func workloads(in arena: Arena) throws -> [WorkloadInstance] {
    try [("client", arena.client), ("server", arena.server)].map { role, cgroup in
      WorkloadInstance(
        cgroup: cgroup.id, path: cgroup.path.string, level: cgroup.level, labels: try labels(role), source: "bench")
    }
  }

  /// The bench's two rules beside those of a policy; its programs are loaded, and attached nowhere.
  static func instance(
    named name: String, in arena: Arena, _ synthetic: SyntheticPolicy, kind: DatapathKind = .cgroup,
    variant: IptablesVariant = .automatic
  ) async throws -> Instance {
    var synthetic = synthetic
    synthetic.extra = try ruleSets()
    let generated = try synthetic.policy()
    let policy = try PolicySet(ruleSets: generated.ruleSets, networks: generated.networks, defaults: defaults)
    var allocator = IdentityAllocator()
    for labels in try synthetic.identities() { _ = try allocator.retain(labels, generation: 0) }
    let instance = try Instance(
      name, in: arena, cells: synthetic.cells * 3 / 2, allocator: allocator, kind: kind, variant: variant)
    do {
      _ = try await instance.enforcer.apply(policy: policy, sources: [])
      _ = try await instance.enforcer.update(workloads: try workloads(in: arena))
      try instance.endAttachments()
      return instance
    } catch {
      try? await instance.close()
      throw error
    }
  }
}

extension SyntheticPolicy {
  /// One that compiles to about so many entries, with as many identities as such a policy has.
  static func compiling(to entries: Int) -> SyntheticPolicy {
    let rules = entries < 100 ? 0 : min(entries / 9, 10_000)
    var policy = SyntheticPolicy(
      rules: rules, identityCount: min(max(entries / 10, 2), 100_000), cells: entries, seed: 1)
    policy.isWide = entries >= 100_000
    return policy
  }
}
