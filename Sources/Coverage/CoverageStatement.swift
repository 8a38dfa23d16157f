// What the probes found out: the statement, one line for each class of traffic.
package import Enforcement

/// How far a class of traffic is covered.
package enum CoverageResult: String, Codable, Sendable, CaseIterable {
  /// What policy allows passes, and what it does not allow does not.
  case covered
  /// Some of what policy does not allow passes, or is refused in a way that its sender cannot notice.
  case partly
  /// What policy does not allow passes.
  case notCovered = "not covered"
  /// What policy allows does not pass either.
  case refused
  /// This kernel has no such traffic.
  case absent
  /// The probe could not be made.
  case unknown
}

/// What a datapath does with the traffic classes on this kernel, found out by trying.
package struct CoverageStatement: Codable, Sendable, Equatable {
  /// One class of traffic.
  package struct Line: Codable, Sendable, Equatable {
    /// Which.
    package var traffic: TrafficClass
    /// How far it is covered.
    package var result: CoverageResult
    /// What was tried and what became of it, one item for each attempt.
    package var seen: [String]
    /// Why it is so, as far as it is known.
    package var why: String

    package init(traffic: TrafficClass, result: CoverageResult, seen: [String] = [], why: String = "") {
      self.traffic = traffic
      self.result = result
      self.seen = seen
      self.why = why
    }
  }

  /// The kernel's release, as uname(2) says it.
  package var kernel: String
  /// The datapath that was probed.
  package var datapath: String
  /// The tags of the programs that were probed, by name; with `kernel` and `datapath` they say whether it still holds.
  package var programs: [String: String]
  /// How long it took, in milliseconds.
  package var milliseconds: Int
  /// Every class of traffic, in the order of `TrafficClass.allCases`.
  package var lines: [Line]

  package init(kernel: String, datapath: String, programs: [String: String], milliseconds: Int, lines: [Line]) {
    self.kernel = kernel
    self.datapath = datapath
    self.programs = programs
    self.milliseconds = milliseconds
    self.lines = lines
  }

  /// What was found out about a class; nil if it was not probed.
  package subscript(traffic: TrafficClass) -> Line? { lines.first { $0.traffic == traffic } }

  /// Whether the kernel that runs is the one that was probed.
  package var isOfThisKernel: Bool { kernel == CoverageProbe.kernelRelease() }

  /// Whether it still says what there is to say: same kernel, same kind of datapath, same programs, same classes.
  package func holds(for kind: DatapathKind, _ programs: [String: String]) -> Bool {
    isOfThisKernel && datapath == kind.rawValue && self.programs == programs && !programs.isEmpty
      && lines.map(\.traffic) == TrafficClass.allCases
  }

  /// How many lines have a result.
  package func count(_ result: CoverageResult) -> Int { lines.count { $0.result == result } }
}
