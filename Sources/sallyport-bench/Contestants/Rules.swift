// Contestants that are rules: iptables with ipset, nft, and a queue to a program in user space.

internal import BPF
internal import Benchmark
internal import Enforcement
internal import Glibc
internal import Kernel
internal import SystemPackage

/// Rules that are written once into a namespace.
struct Rules: Contestant {
  let entrant: Entrant
  let refuses: Bool?
  let hasRules = true
  private let write: @Sendable (Lane) throws -> [any Ending]

  init(_ entrant: Entrant, refuses: Bool = true, _ write: @escaping @Sendable (Lane) throws -> [any Ending]) {
    self.entrant = entrant
    self.refuses = refuses
    self.write = write
  }

  func install(in lane: Lane) throws -> [any Ending] { try write(lane) }

  private static func rival(_ family: String, _ size: Int, _ word: String) -> Entrant {
    Entrant(name: "\(family), \(size) \(word)", role: .rival, size: size, family: family)
  }

  /// xt_cgroup for who sends, ipset for whom to: one set for each rule, as in a policy of many parts.
  static func iptables(_ variant: IptablesVariant, _ rules: RivalRules) -> Rules {
    Rules(rival("xt_cgroup + ipset (\(variant.rawValue))", rules.count, "rules")) { lane in
      let ipset = try SystemProgram("ipset", package: "ipset")
      let restore = try SystemProgram("iptables-\(variant.rawValue)-restore", package: "iptables")
      try ipset.run(["restore"], in: lane.namespace, input: rules.sets)
      try restore.run([], in: lane.namespace, input: rules.iptables)
      return []
    }
  }

  /// One rule after the other.
  static func nftLinear(_ rules: RivalRules, in arena: Arena) -> Rules {
    Rules(rival("nft socket cgroupv2, linear", rules.count, "rules")) { lane in
      try nft(rules.nft, lane, arena)
      return []
    }
  }

  /// The same peers in one set: what somebody writes who knows nft.
  static func nftSet(_ rules: RivalRules, in arena: Arena) -> Rules {
    Rules(rival("nft socket cgroupv2, set", rules.count, "elements")) { lane in
      try nft(rules.nftSet, lane, arena)
      return []
    }
  }

  /// nft looks a cgroup's path up below /sys/fs/cgroup: where cgroup v2 is mounted elsewhere, it gets a view of its own.
  private static func nft(_ text: String, _ lane: Lane, _ arena: Arena) throws {
    let mount = arena.cgroup.hierarchy.mount.mountPoint.string
    let nft = try SystemProgram("nft", package: "nftables")
    guard mount != "/sys/fs/cgroup" else { return try nft.run(["-f", "-"], in: lane.namespace, input: text) }
    let unshare = try SystemProgram("unshare", package: "util-linux")
    let script = "mount --bind \"$0\" /sys/fs/cgroup && exec nft -f -"
    try unshare.run(["--mount", "/bin/sh", "-c", script, mount], in: lane.namespace, input: text)
  }

  /// The floor of a datapath of rules: Sallyport's rules call a program that only returns.
  ///
  /// Its pin goes with those of `instance`.
  static func emptyProgram(_ variant: IptablesVariant, _ instance: Instance) throws -> Rules {
    let pin = "\(instance.datapath.pins)/programs/bench_empty"
    try BPFProgram.load(.socketFilter, name: "bench_empty", instructions: [.move(0, 0), .exit]).pin(at: pin)
    let entrant = Entrant(name: "xt_bpf, empty programs (\(variant.rawValue))", role: .rival)
    return Rules(entrant, refuses: false) { lane in
      let restore = try SystemProgram("iptables-\(variant.rawValue)-restore", package: "iptables")
      try restore.run([], in: lane.namespace, input: RivalRules.calling(pin))
      return []
    }
  }

  /// A C program judges in user space: the first packet of each conversation, or every packet.
  static func queue(everyPacket: Bool, _ rules: RivalRules, in arena: Arena) -> Rules {
    let name = everyPacket ? "NFQUEUE, every packet" : Targets.Names.queue
    return Rules(Entrant(name: name, role: .rival)) { lane in
      let restore = try SystemProgram("iptables-nft-restore", package: "iptables")
      try restore.run([], in: lane.namespace, input: rules.queue(everyPacket: everyPacket))
      return [try QueueHelper(in: lane, arena)]
    }
  }
}

/// The running program behind a queue; its processor time counts as the contestant's.
private final class QueueHelper: Ending {
  private let process: ChildProcess

  init(in lane: Lane, _ arena: Arena) throws {
    let path = try SystemProgram.beside("queue-verdict", remedy: "scripts/bench builds it from Sources/queue-verdict")
    let pipe = try Pipe.make()
    process = try ChildProcess.start(
      "/usr/bin/taskset",
      ["-c", "\(lane.cpu)", path, "\(RivalRules.queueNumber)", "\(Loopback.forbiddenPort)"], cgroup: arena.helpers,
      namespace: lane.namespace, output: pipe.writing.raw)
    let reading = pipe.onlyReading()
    var byte: UInt8 = 0
    // It says so when it is bound to the queue; before, packets would be dropped.
    guard unsafe read(reading.raw, &byte, 1) == 1 else {
      throw KernelError("start", path, .canceled, remedy: "it ended before it was bound to its queue")
    }
  }

  func end() {
    // It may have ended by itself; nobody is left to tell.
    try? process.handle.send(signal: SIGTERM)
    _ = try? process.wait()
  }
}
