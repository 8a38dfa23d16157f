// `sallyport probe --programs`: each program of this binary, loaded by this kernel or refused, and at what cost.
internal import ArgumentParser
internal import Enforcement
internal import Evidence
internal import Kernel
internal import SystemPackage
internal import Workloads

extension ProbeCommand {
  /// What is printed as a document.
  struct ProgramsReport: Encodable {
    /// As `uname -r` says.
    var kernel: String
    /// Whether the kernel describes its own types.
    var hasBTF: Bool
    /// Whether everything that an agent needs can be loaded in some way.
    var isUsable: Bool
    var trials: [Trial]
  }

  /// One object with one choice of features.
  struct Trial: Encodable {
    var object: String
    var features: [String]
    var loaded: Bool
    var programs: [Program]
  }

  /// One program; what is nil is not known of a program that was refused.
  struct Program: Encodable {
    var name: String
    var loaded: Bool
    var tag: String?
    var instructions: Int?
    var verifiedInstructions: Int?
    var compiled: Bool
    var refusal: String?
  }

  /// Everything in this binary that a kernel has to accept.
  private static func trials(all: Bool) throws -> [ObjectTrial] {
    try DatapathKind.trials(all: all) + [KernelEvents.trial()]
  }

  func probePrograms() throws {
    try Capabilities.require([.bpf, .netAdmin])
    let trials = try Self.trials(all: all)
    let usable = Set(trials.filter(\.isLoaded).map(\.object))
    let report = ProgramsReport(
      kernel: String(try readKernelFile("/proc/sys/kernel/osrelease").prefix { $0 != "\n" }),
      hasBTF: isThere("/sys/kernel/btf/vmlinux"), isUsable: usable == Set(trials.map(\.object)),
      trials: trials.map(Trial.init))
    try options.print(report) { report.text(width: Terminal.width) }
    if !report.isUsable { throw ExitCode(ExitStatus.refused.rawValue) }
  }
}

extension ProbeCommand.Trial {
  init(_ trial: ObjectTrial) {
    object = trial.object
    features = trial.features
    loaded = trial.isLoaded
    programs = trial.programs.map { program in
      ProbeCommand.Program(
        name: program.name, loaded: program.refusal == nil, tag: program.tag, instructions: program.instructions,
        verifiedInstructions: program.verifiedInstructions, compiled: program.isCompiled, refusal: program.refusal)
    }
  }
}

extension ProbeCommand.ProgramsReport {
  func text(width: Int?) -> String {
    var table = Table(columns: [
      Table.Column("OBJECT"), Table.Column("PROGRAM"), Table.Column("TAG"),
      Table.Column("INSTRUCTIONS", rightAligned: true), Table.Column("VERIFIED", rightAligned: true),
      Table.Column("RUNS AS"), Table.Column("FEATURES OR REFUSAL", minimum: 20),
    ])
    for trial in trials {
      for program in trial.programs {
        let runs = program.loaded ? (program.compiled ? "machine code" : "interpreted") : ""
        table.add([
          trial.object, program.name, program.tag ?? "", program.instructions.map(String.init) ?? "",
          program.verifiedInstructions.map(String.init) ?? "", runs,
          program.refusal ?? trial.features.joined(separator: ", "),
        ])
      }
    }
    return "kernel \(kernel), \(hasBTF ? "with" : "without") BTF\n" + table.text(width: width)
  }
}
