// The embedded programs tried on this kernel: which load, with which optional features, and at what cost.

package import BPF
internal import Kernel

/// One object of this binary, in one of the ways in which an agent may load it, and what the kernel made of it.
package struct ObjectTrial: Sendable {
  /// Which one, such as `cgroup` or `workload`.
  package let object: String
  /// The optional features of the kernel that its programs were to use.
  package let features: [String]
  /// What became of each program, in the order of the file.
  package let programs: [Program]

  /// What became of one program.
  package struct Program: Sendable {
    /// Its name.
    package let name: String
    /// A hash of its instructions, as 16 hexadecimal digits; nil if it was refused.
    package let tag: String?
    /// How many instructions it has in the kernel; nil if it was refused.
    package let instructions: Int?
    /// How many instructions the verifier walked over, of at most 1,000,000; nil if it was refused.
    package let verifiedInstructions: Int?
    /// Whether it runs as machine code and not in the interpreter.
    package let isCompiled: Bool
    /// Why the kernel refused it, or nil.
    package let refusal: String?

    /// States what became of a program of which nothing more is known.
    package init(name: String, isCompiled: Bool, refusal: String?) {
      self.name = name
      self.isCompiled = isCompiled
      self.refusal = refusal
      tag = nil
      instructions = nil
      verifiedInstructions = nil
    }
  }

  /// States a trial.
  package init(object: String, features: [String] = [], programs: [Program]) {
    self.object = object
    self.features = features
    self.programs = programs
  }

  /// Whether an agent could use the object this way.
  package var isLoaded: Bool { programs.allSatisfy { $0.refusal == nil } }

  /// Tries an object that `open` parses and configures; nothing stays in the kernel.
  package init(object: String, features: [String] = [], open: () throws(BPFError) -> OpenObject) throws(BPFError) {
    self.object = object
    self.features = features
    programs = try BPFObject.verify(open).map(Program.init)
  }
}

extension ObjectTrial.Program {
  fileprivate init(_ verification: Verification) {
    name = verification.program
    switch verification.outcome {
    case .success(let program):
      tag = program.tag
      instructions = program.instructions
      verifiedInstructions = program.verifiedInstructions
      isCompiled = program.isCompiled
      refusal = nil
    case .failure(let error):
      tag = nil
      instructions = nil
      verifiedInstructions = nil
      isCompiled = false
      refusal = error.reason
    }
  }
}

extension DatapathKind {
  /// Tries the programs of each kind as an agent would: with fewer and fewer features until they load.
  ///
  /// `all` goes on after that: each choice then has its trial.
  package static func trials(all: Bool = false) throws(BPFError) -> [ObjectTrial] {
    var trials: [ObjectTrial] = []
    for object in allCases.flatMap({ EmbeddedObject.of($0) }) {
      let isLoaded = trials.contains { $0.object == object.name && $0.isLoaded }
      if isLoaded && !all { continue }
      for features in KernelFeatures.choices {
        let trial = try object.trial(features)
        trials.append(trial)
        if trial.isLoaded && !all { break }
      }
    }
    return trials
  }
}

extension EmbeddedObject {
  fileprivate func trial(_ features: UInt32) throws(BPFError) -> ObjectTrial {
    let own = supersededBy.map { ["before \($0)"] } ?? []
    return try ObjectTrial(object: name, features: own + KernelFeatures.names(features)) { () throws(BPFError) in
      let object = try withBytes { bytes throws(BPFError) in
        try BPFObject.open(bytes: bytes, name: "sp")
      }
      try object.setReadOnlyData(".rodata.config", Rows.config(DatapathOptions(cgroup: ""), features: features))
      if view == .exact { try object.setReadOnlyData(".rodata.netfilter", Rows.scope(CgroupID(rawValue: 1), level: 0)) }
      if view == .mark, let layout = MarkLayout(mask: NetfilterSettings.standardMarkMask) {
        try object.setReadOnlyData(".rodata.mark", Rows.mark(layout))
      }
      // The size of this map is of no interest to the verifier.
      try object.setMaxEntries(map: "sp_policy", 1024)
      return object
    }
  }
}
