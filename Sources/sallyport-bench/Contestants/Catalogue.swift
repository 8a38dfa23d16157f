// Who takes part in which part of a run, and what must be made for it first.

internal import BPF
internal import Benchmark
internal import Enforcement
internal import Kernel
internal import SystemPackage

/// Makes contestants; who cannot be made is named with the reason.
final class Catalogue {
  /// Which and how many contestants.
  struct Wishes: Sendable {
    /// Only those whose name contains one of these; empty = all.
    var names: [String] = []
    /// Fewer of each kind.
    var isQuick = false
    /// How many rules rivals have where the size of the policy changes.
    var rivalSizes: [Int] = [10, 100, 1000]
    /// How many compiled entries Sallyport has there.
    var sizes: [Int] = []
    /// Another build of bpf/cgroup.bpf.c, whose programs take the place of Sallyport's.
    var object: String?
    /// More builds of it, each measured beside Sallyport's own.
    var beside: [String] = []
  }

  private let arena: Arena
  private let wishes: Wishes
  private let object: [UInt8]?
  private let beside: [(file: String, bytes: [UInt8])]
  private var instances: [Instance] = []
  /// Who could not be made.
  private(set) var leftOut: [Entrant] = []

  /// Reads the objects that are wished for.
  init(in arena: Arena, _ wishes: Wishes) throws {
    self.arena = arena
    self.wishes = wishes
    object = try wishes.object.map(Self.read)
    beside = try wishes.beside.map { (file: $0, bytes: try Self.read($0)) }
  }

  /// Now, and not when half of the run is over.
  private static func read(_ file: String) throws -> [UInt8] {
    let bytes = try readKernelBytes(FilePath(file))
    do throws(BPFError) { _ = try BPFObject.open(bytes: bytes, name: "sp") } catch {
      throw KernelError("read programs from", file, error.errno, remedy: "name an object built from bpf/cgroup.bpf.c")
    }
    return bytes
  }

  /// Ends everything that was made.
  func close() async {
    for instance in instances {
      do { try await instance.close() } catch { writeError("sallyport-bench: clean up: \(error)\n") }
    }
    instances = []
  }

  /// Reads no more records than the agent would leave unread: without a reader the ring fills, as it never does there.
  private func keep(_ instance: Instance) throws {
    instances.append(instance)
    try instance.datapath.startEvents { _ in }
    guard let object, let file = wishes.object, instance.datapath.kind == .cgroup else { return }
    try instance.replacePrograms(from: file, object)
  }

  // MARK: Parts

  /// Both datapaths and everybody else, each with one policy.
  func mechanisms() async throws -> [any Contestant] {
    var found: [any Contestant] = [Nothing.here]
    try await add(Entrant(name: "empty programs", role: .floor), &found) { _ in try CgroupPrograms.empty() }
    if !wishes.isQuick { try await add(Nothing.elsewhere.entrant, &found) { _ in Nothing.elsewhere } }
    let policy = SyntheticPolicy(rules: 1000, identityCount: 1000, cells: 25_000, seed: 1)
    let name = "1000 rules"
    try await add(own(name, Targets.Names.own, 25_000), &found) { entrant in
      try CgroupPrograms.sallyport(entrant, try await self.instance("mechanisms", policy))
    }
    for (index, object) in beside.enumerated() {
      let entrant = Entrant(name: "sallyport cgroup by \(object.file)", role: .own, family: "beside")
      try await add(entrant, &found) { entrant in
        let instance = try await self.instance("beside-\(index)", policy)
        try instance.replacePrograms(from: object.file, object.bytes)
        return try CgroupPrograms.sallyport(entrant, instance)
      }
    }
    for variant in variants {
      var made: Instance?
      let family = "sallyport netfilter (\(variant.rawValue))"
      try await add(own(name, family, 25_000), &found) { entrant in
        let instance = try await self.instance("netfilter-\(variant.rawValue)", policy, .netfilter, variant)
        made = instance
        return try NetfilterPrograms(entrant, instance)
      }
      if let made {
        let entrant = Entrant(name: "xt_bpf, empty programs (\(variant.rawValue))", role: .rival)
        try await add(entrant, &found) { _ in try Rules.emptyProgram(variant, made) }
      }
    }
    for variant in variants { try await add(&found, Rules.iptables(variant, rules(100))) }
    try await add(&found, Rules.nftLinear(rules(100), in: arena))
    try await add(&found, Rules.nftSet(rules(1000), in: arena))
    for every in [false, true] { try await add(&found, Rules.queue(everyPacket: every, rules(100), in: arena)) }
    return found
  }

  /// The same mechanisms with ever more rules.
  func sizes() async throws -> [any Contestant] {
    var found: [any Contestant] = [Nothing.here]
    try await add(Entrant(name: "empty programs", role: .floor), &found) { _ in try CgroupPrograms.empty() }
    for size in wishes.sizes {
      let policy = SyntheticPolicy.compiling(to: size)
      let count = "\(policy.identityCount) identities"
      try await add(own("\(size) entries, \(count)", Targets.Names.own, size), &found) { entrant in
        try CgroupPrograms.sallyport(entrant, try await self.instance("size-\(size)", policy))
      }
    }
    for size in wishes.rivalSizes {
      for variant in variants { try await add(&found, Rules.iptables(variant, rules(size))) }
      try await add(&found, Rules.nftLinear(rules(size), in: arena))
      try await add(&found, Rules.nftSet(rules(size), in: arena))
    }
    return found
  }

  /// Those of `all` that stand for their kind, where a batch takes long.
  func representatives(of all: [any Contestant]) -> [any Contestant] {
    let few = ["nothing", "empty programs", Targets.Names.own, "sallyport netfilter (nft)"]
    let more = few + ["xt_cgroup + ipset (nft)", "nft socket cgroupv2, linear", Targets.Names.queue]
    let families = wishes.isQuick ? Array(few.prefix(3)) : more
    return all.filter { families.contains($0.entrant.family) }
  }

  /// What Sallyport's programs take for single packets; nothing if they could not be made.
  func testRuns(rounds: Int, cpu: Int) throws -> [ProgramMeasurement] {
    guard let instance = instances.first(where: { $0.datapath.kind == .cgroup }) else { return [] }
    return try TestRuns(rounds: rounds, cpu: cpu).measure(arena, instance, named: Targets.Names.own)
  }

  // MARK: Making

  private var variants: [IptablesVariant] { wishes.isQuick ? [.nft] : [.nft, .legacy] }

  private func own(_ what: String, _ family: String, _ size: Int) -> Entrant {
    Entrant(name: "\(family), \(what)", role: .own, size: size, family: family)
  }

  private func rules(_ count: Int) -> RivalRules {
    RivalRules(
      count: count, client: arena.client.path.components.map(\.string).joined(separator: "/"), level: arena.client.level
    )
  }

  private func instance(
    _ name: String, _ policy: SyntheticPolicy, _ kind: DatapathKind = .cgroup, _ variant: IptablesVariant = .automatic
  ) async throws -> Instance {
    let instance = try await BenchPolicy.instance(named: name, in: arena, policy, kind: kind, variant: variant)
    try keep(instance)
    return instance
  }

  private func add(_ found: inout [any Contestant], _ contestant: Rules) async throws {
    try await add(contestant.entrant, &found) { _ in contestant }
  }

  private func add(
    _ entrant: Entrant, _ found: inout [any Contestant], _ make: (Entrant) async throws -> any Contestant
  ) async throws {
    try Interruption.check()
    // What everything is divided by is always there.
    let isWished = wishes.names.isEmpty || wishes.names.contains { entrant.name.contains($0) }
    guard isWished || [.baseline, .floor].contains(entrant.role) else { return }
    do { found.append(try await make(entrant)) } catch let error as Interrupted { throw error } catch {
      var entrant = entrant
      entrant.leftOut = "\(error)"
      leftOut.append(entrant)
    }
  }
}
