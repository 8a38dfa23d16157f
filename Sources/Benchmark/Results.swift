// Everything that a run found, with every batch: two runs can be compared without running again.

/// A fact about a run, such as a setting or a property of the machine.
package struct Fact: Sendable, Codable, Equatable {
  /// What it is about.
  package let name: String
  /// What it is.
  package let value: String

  package init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// One mechanism that was to be measured.
package struct Entrant: Sendable, Codable, Equatable {
  /// What it is to the others.
  package enum Role: String, Sendable, Codable {
    /// Nothing in force: what everything is divided by.
    case baseline
    /// Programs that only return.
    case floor
    /// Sallyport's own.
    case own
    /// What others use.
    case rival
    /// Nothing in force, measured as the rivals are: how much of a difference is not the mechanism's.
    case control
  }

  /// Unique in a run; the same in every run.
  package let name: String
  /// What it is to the others.
  package let role: Role
  /// How many rules or compiled entries it has; nil if it has none.
  package let size: Int?
  /// Contestants of one family differ in size alone.
  package let family: String
  /// Why there are no figures of it; nil if there are.
  package var leftOut: String?

  package init(name: String, role: Role, size: Int? = nil, family: String? = nil, leftOut: String? = nil) {
    self.name = name
    self.role = role
    self.size = size
    self.family = family ?? name
    self.leftOut = leftOut
  }
}

/// The batches of one contestant at one workload.
package struct Measurement: Sendable, Codable, Equatable {
  /// Which part of the run it belongs to: baselines are shared within a part.
  package let section: String
  /// Who.
  package let contestant: String
  /// At what.
  package let workload: String
  /// What was counted, such as `round trip`.
  package let unit: String
  /// Nanoseconds per unit by the clock on the wall.
  package var wall: Batches
  /// Nanoseconds of processor time per unit, of everybody who works for it.
  package var cpu: Batches
  /// Instructions per unit, kernel and user; empty where the machine does not count them.
  package var instructions: Batches

  /// Nothing measured yet.
  package init(section: String, contestant: String, workload: String, unit: String) {
    self.section = section
    self.contestant = contestant
    self.workload = workload
    self.unit = unit
    wall = []
    cpu = []
    instructions = []
  }
}

/// What the kernel says of one program during one workload.
package struct ProgramMeasurement: Sendable, Codable, Equatable {
  /// Whose program.
  package let contestant: String
  /// During what; `test run` for the kernel's own.
  package let workload: String
  /// The program's name.
  package let program: String
  /// Nanoseconds per run.
  package var nanoseconds: Batches
  /// Runs per unit of the workload; 0 for test runs.
  package var runsPerUnit: Double

  /// Nothing measured yet.
  package init(contestant: String, workload: String, program: String) {
    self.contestant = contestant
    self.workload = workload
    self.program = program
    nanoseconds = []
    runsPerUnit = 0
  }
}

/// One figure of the control plane, such as the time to publish.
package struct Quantity: Sendable, Codable, Equatable {
  /// Unique in a run; the same in every run.
  package let name: String
  /// Its unit.
  package let unit: String
  /// Each measurement.
  package var values: [Double]

  package init(_ name: String, unit: String, _ values: [Double]) {
    self.name = name
    self.unit = unit
    self.values = values
  }
}

/// Everything that a run found.
package struct Results: Sendable, Codable, Equatable {
  /// The version of this format.
  package static let currentFormat = 1

  /// The version in which it was written.
  package var format = Results.currentFormat
  /// The machine.
  package var machine: [Fact]
  /// How the run was made.
  package var settings: [Fact]
  /// What disturbed it; nil if the kernel does not say.
  package var disturbance: Disturbance?
  /// Who was to be measured.
  package var entrants: [Entrant] = []
  /// What their work cost.
  package var measurements: [Measurement] = []
  /// What single programs cost.
  package var programs: [ProgramMeasurement] = []
  /// The control plane.
  package var quantities: [Quantity] = []
  /// What else there is to say.
  package var notes: [String] = []

  /// A run that has found nothing yet.
  package init(machine: [Fact], settings: [Fact]) {
    self.machine = machine
    self.settings = settings
  }

  /// The batches of a contestant at a workload.
  package func measurement(_ contestant: String, _ workload: String, in section: String) -> Measurement? {
    measurements.first { $0.contestant == contestant && $0.workload == workload && $0.section == section }
  }

  /// A figure of the control plane.
  package func quantity(_ name: String) -> Quantity? { quantities.first { $0.name == name } }

  /// The parts of the run, in order.
  package var sections: [String] { distinct(measurements.map(\.section)) }

  /// The workloads of a part, in order.
  package func workloads(of section: String) -> [String] {
    distinct(measurements.filter { $0.section == section }.map(\.workload))
  }

  /// The contestant that others of a part are divided by.
  package func baseline(of section: String) -> String? { first(.baseline, of: section) }

  /// The empty programs of a part.
  package func floor(of section: String) -> String? { first(.floor, of: section) }

  private func first(_ role: Entrant.Role, of section: String) -> String? {
    let present = Set(measurements.filter { $0.section == section }.map(\.contestant))
    return entrants.first { $0.role == role && present.contains($0.name) }?.name
  }

  /// How many times the baseline's processor time a contestant's is.
  package func ratio(
    _ contestant: String, _ workload: String, in section: String, level: Double = Estimate.usualLevel
  ) -> Estimate? {
    guard let base = baseline(of: section), let own = measurement(contestant, workload, in: section),
      let other = measurement(base, workload, in: section)
    else { return nil }
    return Paired.ratio(own.cpu, to: other.cpu, level: level)
  }

  /// How many times as much as the empty programs a contestant adds to the baseline.
  package func added(_ contestant: String, _ workload: String, in section: String) -> Estimate? {
    guard let base = baseline(of: section).flatMap({ measurement($0, workload, in: section) }),
      let floor = floor(of: section).flatMap({ measurement($0, workload, in: section) }),
      let own = measurement(contestant, workload, in: section)
    else { return nil }
    return Paired.added(own.cpu, over: floor.cpu, base: base.cpu)
  }

  /// How many times the floor's processor time a contestant's is.
  package func ratioToFloor(_ contestant: String, _ workload: String, in section: String) -> Estimate? {
    guard let floor = floor(of: section).flatMap({ measurement($0, workload, in: section) }),
      let own = measurement(contestant, workload, in: section)
    else { return nil }
    return Paired.ratio(own.cpu, to: floor.cpu)
  }
}

/// The values without repetitions, in the order of their first.
func distinct<T: Hashable>(_ values: [T]) -> [T] {
  var seen: Set<T> = []
  return values.filter { seen.insert($0).inserted }
}
