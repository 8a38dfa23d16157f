// Contestants that are BPF programs: empty ones, and Sallyport's.

internal import BPF
internal import Benchmark
internal import Enforcement
internal import Kernel
internal import SystemPackage

/// Programs on a cgroup, attached for the time of a batch.
struct CgroupPrograms: Contestant {
  /// Every hook that the datapath uses, with its program.
  static let hooks: [(program: String, type: AttachType, kind: ProgramType)] = [
    ("sp_post_bind4", .cgroupPostBind4, .cgroupSocket), ("sp_post_bind6", .cgroupPostBind6, .cgroupSocket),
    ("sp_sock_ops", .cgroupSockOps, .sockOps), ("sp_egress", .cgroupEgress, .cgroupSKB),
    ("sp_connect4", .cgroupConnect4, .cgroupSocketAddress), ("sp_connect6", .cgroupConnect6, .cgroupSocketAddress),
    ("sp_sendmsg4", .cgroupSendmsg4, .cgroupSocketAddress), ("sp_sendmsg6", .cgroupSendmsg6, .cgroupSocketAddress),
    ("sp_ingress", .cgroupIngress, .cgroupSKB),
  ]

  let entrant: Entrant
  let refuses: Bool?
  private let programs: [Attachable]

  /// Programs that only return, at every hook: the floor of any check.
  static func empty() throws -> CgroupPrograms {
    CgroupPrograms(
      entrant: Entrant(name: "empty programs", role: .floor), refuses: false,
      programs: try hooks.map { hook in
        Attachable("empty \(hook.program)", try emptyProgram(hook.kind, hook.type), .cgroup(hook.type))
      })
  }

  /// Sallyport's programs over the tables of an instance.
  static func sallyport(_ entrant: Entrant, _ instance: Instance) throws -> CgroupPrograms {
    CgroupPrograms(
      entrant: entrant, refuses: true,
      programs: try hooks.map { Attachable($0.program, try instance.program($0.program), .cgroup($0.type)) })
  }

  func engage(on cgroup: CgroupDirectory) throws -> [Attachment] {
    try programs.compactMap { try $0.attach(to: cgroup) }
  }
  func programCounts() throws -> [ProgramCount] { try programs.map { try $0.count } }

  /// `return 1`.
  static func emptyProgram(_ kind: ProgramType, _ type: AttachType) throws -> BPFProgram {
    try BPFProgram.load(kind, attach: type, name: "bench_empty", instructions: [.move(0, 1), .exit])
  }
}

/// Sallyport's rules in a namespace, and its tracepoint for the time of a batch: that one would see everybody's sockets.
struct NetfilterPrograms: Contestant {
  let entrant: Entrant
  let refuses: Bool? = true
  let hasRules = true
  private let instance: Instance
  private let programs: [Attachable]

  init(_ entrant: Entrant, _ instance: Instance) throws {
    self.entrant = entrant
    self.instance = instance
    programs = [
      Attachable("sp_nf_output", try instance.program("sp_nf_output"), .rules),
      Attachable("sp_nf_input", try instance.program("sp_nf_input"), .rules),
      Attachable("sp_nf_state", try instance.program("sp_nf_state"), .tracepoint("inet_sock_set_state")),
    ]
  }

  func install(in lane: Lane) throws -> [any Ending] {
    try instance.datapath.police([lane.namespace])
    return []
  }

  func engage(on cgroup: CgroupDirectory) throws -> [Attachment] {
    try programs.compactMap { try $0.attach(to: cgroup) }
  }
  func programCounts() throws -> [ProgramCount] { try programs.map { try $0.count } }
}

extension Instance {
  /// The programs of another build of the same object, over this instance's tables: they take the place of its own.
  ///
  /// The maps, and the constants that the verifier sees, are those that are pinned; an object with other maps is refused
  /// with their differences.
  func replacePrograms(from file: String, _ bytes: [UInt8]) throws {
    let opened = try BPFObject.open(bytes: bytes, name: "sp")
    for name in opened.mapNames {
      if name.hasSuffix(".rodata.config") {
        try opened.reusePinnedMap(name, path: "\(datapath.pins)/maps/sp_config")
      } else if !name.contains(".") {
        try opened.reusePinnedMap(name, path: "\(datapath.pins)/maps/\(name)")
      }
    }
    let loaded = try opened.load()
    for hook in CgroupPrograms.hooks {
      guard loaded.programNames.contains(hook.program) else {
        throw KernelError(
          "take programs from", file, .noSuchFileOrDirectory,
          remedy: "it has no \(hook.program): name an object that was built from bpf/cgroup.bpf.c")
      }
      let path = "\(datapath.pins)/programs/\(hook.program)"
      try removePin(at: path)
      try loaded.pinProgram(named: hook.program, at: path)
    }
  }
}
