// What is compared: something that is put in force for the time of a batch, and taken away again.

internal import BPF
internal import Enforcement
internal import Kernel

/// Something that can be in force for the time of a batch.
///
/// Programs are attached for the batch. Rules stay where they are: in a namespace in which nobody else is measured.
final class Contestant: Sendable {
  /// Every hook that the datapath uses, with its program.
  static let hooks: [(program: String, type: AttachType, kind: ProgramType)] = [
    ("sp_post_bind4", .cgroupPostBind4, .cgroupSocket), ("sp_post_bind6", .cgroupPostBind6, .cgroupSocket),
    ("sp_sock_ops", .cgroupSockOps, .sockOps), ("sp_egress", .cgroupEgress, .cgroupSKB),
    ("sp_connect4", .cgroupConnect4, .cgroupSocketAddress), ("sp_connect6", .cgroupConnect6, .cgroupSocketAddress),
    ("sp_sendmsg4", .cgroupSendmsg4, .cgroupSocketAddress), ("sp_sendmsg6", .cgroupSendmsg6, .cgroupSocketAddress),
    ("sp_ingress", .cgroupIngress, .cgroupSKB),
  ]

  /// Where a program is attached.
  private enum Place {
    case cgroup(AttachType)
    case tracepoint(String)
  }

  /// A program with its place.
  private final class Attachable: Sendable {
    let program: BPFProgram
    let place: Place
    init(_ program: consuming BPFProgram, _ place: Place) {
      self.program = program
      self.place = place
    }
  }

  /// An attachment that ends with this object.
  final class Attachment: Sendable {
    private let link: BPFLink
    init(_ link: consuming BPFLink) { self.link = link }
  }

  let name: String
  /// Whether the forbidden port is refused while it is in force; nil if that is not to be told.
  let refuses: Bool?
  /// Writes its rules into a namespace that it has to itself; nil if it needs none.
  let rules: (@Sendable (NetworkNamespace) throws -> Void)?
  private let programs: [Attachable]

  private init(
    _ name: String, refuses: Bool?, _ programs: [Attachable] = [],
    rules: (@Sendable (NetworkNamespace) throws -> Void)? = nil
  ) {
    self.name = name
    self.refuses = refuses
    self.programs = programs
    self.rules = rules
  }

  /// Nothing at all: the limit.
  static let nothing = Contestant("nothing", refuses: false)

  /// Nothing in a namespace of its own: how much of a difference is the namespace's and the process's.
  static let nothingElsewhere = Contestant("nothing, another namespace", refuses: false) { _ in }

  /// Programs that only return, at every hook: the floor of any check.
  static func empty() throws -> Contestant {
    try Contestant(
      "empty programs", refuses: false,
      hooks.map { Attachable(try emptyProgram($0.kind, $0.type), .cgroup($0.type)) })
  }

  /// Sallyport's programs over the tables of an instance.
  ///
  /// `only` puts empty programs at the other hooks, to see what each one costs.
  static func sallyport(
    _ name: String, _ instance: Instance, only: ((String) -> Bool)? = nil
  ) throws -> Contestant {
    try Contestant(
      name, refuses: only == nil ? true : nil,
      hooks.map { hook in
        let isOurs = only?(hook.program) ?? true
        let program = isOurs ? try instance.program(hook.program) : try emptyProgram(hook.kind, hook.type)
        return Attachable(program, .cgroup(hook.type))
      })
  }

  /// Sallyport's rules, and its tracepoint for the time of a batch: that one would see everybody's sockets.
  static func netfilter(_ name: String, _ instance: Instance) throws -> Contestant {
    let tracepoint = Attachable(try instance.program("sp_nf_state"), .tracepoint("inet_sock_set_state"))
    return Contestant(name, refuses: true, [tracepoint]) { try instance.datapath.police([$0]) }
  }

  /// Somebody else's rules.
  static func rules(
    _ name: String, _ write: @escaping @Sendable (NetworkNamespace) throws -> Void
  ) -> Contestant {
    Contestant(name, refuses: true, rules: write)
  }

  /// `return 1`.
  static func emptyProgram(_ kind: ProgramType, _ type: AttachType) throws -> BPFProgram {
    try BPFProgram.load(kind, attach: type, name: "bench_empty", instructions: [.move(0, 1), .exit])
  }

  /// Attaches all programs; they go with the result.
  func attach(to cgroup: CgroupDirectory) throws -> [Attachment] {
    try programs.map { item in
      switch item.place {
      case .cgroup(let type):
        Attachment(try BPFLink.attach(item.program, cgroup: cgroup.descriptor, type: type))
      case .tracepoint(let name): Attachment(try BPFLink.attach(item.program, rawTracepoint: name))
      }
    }
  }
}
