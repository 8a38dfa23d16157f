// What is compared: nothing, empty programs, Sallyport with some policy; attached to the same cgroup in turn.

internal import BPF
internal import Kernel

/// Something that can be attached to a cgroup for the time of a batch.
final class Contestant: Sendable {
  /// Every hook that the datapath uses, with its program.
  static let hooks: [(program: String, type: AttachType, kind: ProgramType)] = [
    ("sp_post_bind4", .cgroupPostBind4, .cgroupSocket), ("sp_post_bind6", .cgroupPostBind6, .cgroupSocket),
    ("sp_sock_ops", .cgroupSockOps, .sockOps), ("sp_egress", .cgroupEgress, .cgroupSKB),
    ("sp_connect4", .cgroupConnect4, .cgroupSocketAddress), ("sp_connect6", .cgroupConnect6, .cgroupSocketAddress),
    ("sp_sendmsg4", .cgroupSendmsg4, .cgroupSocketAddress), ("sp_sendmsg6", .cgroupSendmsg6, .cgroupSocketAddress),
    ("sp_ingress", .cgroupIngress, .cgroupSKB),
  ]

  /// A program with its hook.
  private final class Attachable: Sendable {
    let program: BPFProgram
    let type: AttachType
    init(_ program: consuming BPFProgram, _ type: AttachType) {
      self.program = program
      self.type = type
    }
  }

  /// An attachment that ends with this object.
  final class Attachment: Sendable {
    private let link: BPFLink
    init(_ link: consuming BPFLink) { self.link = link }
  }

  let name: String
  private let programs: [Attachable]

  private init(_ name: String, _ programs: [Attachable]) {
    self.name = name
    self.programs = programs
  }

  /// Nothing at all: the limit.
  static let nothing = Contestant("nothing", [])

  /// Programs that only return, at every hook: the floor of any check.
  static func empty() throws -> Contestant {
    try Contestant(
      "empty programs", hooks.map { Attachable(try emptyProgram($0.kind, $0.type), $0.type) })
  }

  /// Sallyport's programs over the tables of an instance.
  ///
  /// `only` puts empty programs at the other hooks, to see what each one costs.
  static func sallyport(
    _ name: String, _ instance: Instance, only: (String) -> Bool = { _ in true }
  ) throws -> Contestant {
    try Contestant(
      name,
      hooks.map { hook in
        let program = only(hook.program) ? try instance.program(hook.program) : try emptyProgram(hook.kind, hook.type)
        return Attachable(program, hook.type)
      })
  }

  /// `return 1`.
  static func emptyProgram(_ kind: ProgramType, _ type: AttachType) throws -> BPFProgram {
    try BPFProgram.load(kind, attach: type, name: "bench_empty", instructions: [.move(0, 1), .exit])
  }

  /// Attaches all programs; they go with the result.
  func attach(to cgroup: CgroupDirectory) throws -> [Attachment] {
    try programs.map { Attachment(try BPFLink.attach($0.program, cgroup: cgroup.descriptor, type: $0.type)) }
  }
}
