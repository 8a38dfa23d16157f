// What is compared: something that is put in force for the time of a batch, and taken away again.

internal import BPF
internal import Benchmark
internal import Kernel

/// A mechanism that enforces the bench's policy, or something to compare one with.
///
/// Programs are attached for the time of a batch. Rules stay where they are: in a network namespace in which nobody else
/// is measured.
protocol Contestant: Sendable {
  /// Who it is.
  var entrant: Entrant { get }
  /// Whether the forbidden port is refused while it is in force; nil if that is not to be told.
  var refuses: Bool? { get }
  /// Whether it needs a network namespace to itself.
  var hasRules: Bool { get }
  /// Writes rules and starts helpers in a namespace that it has to itself; what must end with the namespace is the result.
  func install(in lane: Lane) throws -> [any Ending]
  /// Puts in force what is for the time of a batch only; it ends with the result.
  func engage(on cgroup: CgroupDirectory) throws -> [Attachment]
  /// What the kernel has counted of its programs so far; empty if it has none.
  func programCounts() throws -> [ProgramCount]
}

extension Contestant {
  var hasRules: Bool { false }
  func install(in lane: Lane) throws -> [any Ending] { [] }
  func engage(on cgroup: CgroupDirectory) throws -> [Attachment] { [] }
  func programCounts() throws -> [ProgramCount] { [] }
}

/// Something that must be ended, such as a helper process.
protocol Ending {
  func end()
}

/// An attachment that ends with this object.
final class Attachment: Sendable {
  private let link: BPFLink
  init(_ link: consuming BPFLink) { self.link = link }
}

/// The run-time statistics of one program.
struct ProgramCount: Sendable {
  let program: String
  let statistics: ProgramStatistics
}

/// A program with its place.
final class Attachable: Sendable {
  /// Where a program is attached.
  enum Place {
    case cgroup(AttachType)
    case tracepoint(String)
    /// Rules call it.
    case rules
  }

  let name: String
  private let program: BPFProgram
  private let place: Place

  init(_ name: String, _ program: consuming BPFProgram, _ place: Place) {
    self.name = name
    self.program = program
    self.place = place
  }

  /// Attaches it; nil if rules do that.
  func attach(to cgroup: CgroupDirectory) throws -> Attachment? {
    switch place {
    case .cgroup(let type): Attachment(try BPFLink.attach(program, cgroup: cgroup.descriptor, type: type))
    case .tracepoint(let name): Attachment(try BPFLink.attach(program, rawTracepoint: name))
    case .rules: nil
    }
  }

  var count: ProgramCount {
    get throws { ProgramCount(program: name, statistics: try program.statistics()) }
  }
}

/// Nothing at all: the limit; or nothing in a namespace of its own, to see what that alone makes.
struct Nothing: Contestant {
  let entrant: Entrant
  let hasRules: Bool
  let refuses: Bool? = false

  static let here = Nothing(entrant: Entrant(name: "nothing", role: .baseline), hasRules: false)
  static let elsewhere = Nothing(
    entrant: Entrant(name: "nothing, another namespace", role: .control), hasRules: true)
}
