// The contestants of a comparison with iptables and nft, and how their rules get into a namespace.

internal import Enforcement
internal import Kernel
internal import SystemPackage

/// Both datapaths with a policy of as many rules as the largest of the others have, and those others.
struct RivalField {
  private(set) var contestants: [Contestant] = []
  private let arena: Arena
  private let counts: [Int]

  /// `counts` says how many rules the others have.
  init(in arena: Arena, counts: [Int]) {
    self.arena = arena
    self.counts = counts
  }

  /// Makes them; whoever holds `instances` closes them, also when this fails.
  mutating func assemble(_ instances: inout [Instance]) async throws {
    contestants = [.nothing, try .empty(), .nothingElsewhere]
    let synthetic = SyntheticPolicy(rules: counts.max() ?? 1000, identityCount: 1000, cells: 25_000, seed: 1)
    let (cgroup, _) = try await Rivals.large(in: arena, synthetic)
    instances.append(cgroup)
    contestants.append(try .sallyport("sallyport cgroup, \(synthetic.rules) rules", cgroup))
    for variant in [IptablesVariant.nft, .legacy] {
      let (instance, _) = try await Rivals.large(
        in: arena, synthetic, named: "netfilter-\(variant.rawValue)", kind: .netfilter, variant: variant)
      instances.append(instance)
      let name = "sallyport netfilter (\(variant.rawValue)), \(synthetic.rules) rules"
      contestants.append(try .netfilter(name, instance))
    }
    for variant in [IptablesVariant.nft, .legacy] {
      for count in counts { contestants.append(try iptables(variant, rules(count))) }
    }
    for count in counts { contestants.append(try nft(rules(count))) }
  }

  private func rules(_ count: Int) -> RivalRules {
    let client = arena.client.path
    return RivalRules(
      count: count, client: client.components.map(\.string).joined(separator: "/"), level: arena.client.level)
  }

  private func iptables(_ variant: IptablesVariant, _ rules: RivalRules) throws -> Contestant {
    let restore = try SystemProgram("iptables-\(variant.rawValue)-restore", package: "iptables")
    let ipset = try SystemProgram("ipset", package: "ipset")
    return .rules("xt_cgroup + ipset (\(variant.rawValue)), \(rules.count) rules") { namespace in
      try ipset.run(["restore"], in: namespace, input: rules.sets)
      try restore.run([], in: namespace, input: rules.iptables)
    }
  }

  /// nft looks a cgroup's path up below /sys/fs/cgroup: where cgroup v2 is mounted elsewhere, it gets a view of its own.
  private func nft(_ rules: RivalRules) throws -> Contestant {
    let mount = arena.cgroup.hierarchy.mount.mountPoint.string
    let name = "nft socket cgroupv2, \(rules.count) rules"
    guard mount != "/sys/fs/cgroup" else {
      let nft = try SystemProgram("nft", package: "nftables")
      return .rules(name) { try nft.run(["-f", "-"], in: $0, input: rules.nft) }
    }
    let unshare = try SystemProgram("unshare", package: "util-linux")
    return .rules(name) { namespace in
      let script = "mount --bind \"$0\" /sys/fs/cgroup && exec nft -f -"
      try unshare.run(["--mount", "/bin/sh", "-c", script, mount], in: namespace, input: rules.nft)
    }
  }
}
