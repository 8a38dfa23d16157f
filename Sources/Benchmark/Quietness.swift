// Whether a machine was quiet enough for its figures to mean something.

/// How the machine's processors spent the time of a run.
package struct Disturbance: Sendable, Codable, Equatable {
  /// Share of all processor time that the hypervisor gave to others: 0…1.
  package var stolen: Double
  /// Share of all processor time that other processes of this machine used: 0…1.
  package var others: Double
  /// Share of the time in which some task waited for a processor; nil if the kernel does not say (no PSI).
  package var pressure: Double?
  /// The load average when the run began.
  package var loadBefore: Double

  package init(stolen: Double, others: Double, pressure: Double?, loadBefore: Double) {
    self.stolen = stolen
    self.others = others
    self.pressure = pressure
    self.loadBefore = loadBefore
  }

  /// The shares between two readings of all counters; nil if no time passed.
  package init?(from earlier: ProcessorTimes, to later: ProcessorTimes, loadBefore: Double) {
    let total = later.total - earlier.total
    guard total > 0 else { return nil }
    let busy = (later.busy - earlier.busy) - (later.own - earlier.own)
    var pressure: Double?
    if let before = earlier.waiting, let after = later.waiting, later.wall > earlier.wall {
      pressure = min(max((after - before) / (later.wall - earlier.wall), 0), 1)
    }
    self.init(
      stolen: max(later.stolen - earlier.stolen, 0) / total, others: min(max(busy / total, 0), 1),
      pressure: pressure, loadBefore: loadBefore)
  }

  /// What disturbed more than figures bear; empty if the machine was quiet.
  package var complaints: [String] {
    var found: [String] = []
    if stolen > 0.01 { found.append("the hypervisor took \(percent(stolen)) of the processors' time") }
    if others > 0.05 { found.append("other processes used \(percent(others)) of the processors' time") }
    return found
  }

  /// One sentence.
  package var verdict: String {
    complaints.isEmpty
      ? "quiet: stolen \(percent(stolen)), others \(percent(others))"
      : "noisy: \(complaints.joined(separator: ", ")); the spreads hold for this run only"
  }

  private func percent(_ share: Double) -> String { "\((share * 100).fixed(1)) %" }
}

/// The kernel's counters of processor time, in seconds since it started.
package struct ProcessorTimes: Sendable, Equatable {
  /// All processors together, idle or not.
  package var total = 0.0
  /// Not idle, not waiting for disks, not stolen.
  package var busy = 0.0
  /// Given to others by the hypervisor.
  package var stolen = 0.0
  /// Used by the run itself.
  package var own = 0.0
  /// In which some task waited for a processor; nil if the kernel does not say.
  package var waiting: Double?
  /// The time of day of the reading.
  package var wall = 0.0

  /// All zero.
  package init() {}

  /// Reads the first line of /proc/stat, in units of 1/`ticks` seconds, and /proc/pressure/cpu; nil if it is not that.
  package init?(stat: String, pressure: String?, ticks: Double) {
    let fields = stat.split(separator: "\n").first.map { $0.split(separator: " ") } ?? []
    guard fields.first == "cpu", fields.count >= 9 else { return nil }
    let values = fields.dropFirst().compactMap { Double($0) }.map { $0 / ticks }
    guard values.count >= 8 else { return nil }
    // user nice system idle iowait irq softirq steal; guest time is in user already.
    total = values[..<8].reduce(0, +)
    stolen = values[7]
    busy = total - values[3] - values[4] - stolen
    let some = pressure?.split(separator: "\n").first { $0.hasPrefix("some ") }
    let sum = some?.split(separator: " ").first { $0.hasPrefix("total=") }
    waiting = sum.flatMap { Double($0.dropFirst("total=".count)) }.map { $0 / 1e6 }
  }
}
