// What a fork, an execution and an exit cost with and without somebody being told.

internal import BPF
internal import Benchmark
internal import Glibc
internal import Kernel
internal import SystemPackage
internal import Workloads

/// The same work in turn: nobody follows, somebody follows cgroups, processes elsewhere, these processes.
struct ForkCost {
  let rounds: Int
  /// Processes of one turn.
  private static let batch = 300

  init(rounds: Int) { self.rounds = max(rounds, 2) }

  /// Starts programs that end at once, one after the other, from a shell in a cgroup.
  static func runProcesses(_ count: Int, in cgroup: CgroupDirectory) throws {
    let loop = "i=0; while [ $i -lt \(count) ]; do /bin/true; i=$((i + 1)); done"
    let shell = try ChildProcess.start("/bin/sh", ["-c", loop], cgroup: cgroup)
    guard try shell.wait() == 0 else { throw KernelError("run", "processes", .canceled) }
  }

  /// Processor time of all children so far, and of theirs: what others do on this machine hardly shows in it.
  private static func childMicroseconds() -> Double {
    var usage = rusage()
    unsafe getrusage(__rusage_who_t(RUSAGE_CHILDREN.rawValue), &usage)
    return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6
      + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
  }

  func run(in arena: Arena) throws -> ReportTable {
    let inside = try arena.cgroup.create("told")
    let outside = try arena.cgroup.create("untold")
    let ignore: @Sendable ([WorkloadEvent]) -> Void = { _ in }
    let contestants: [(name: String, follow: () throws -> KernelEvents?)] = [
      ("nobody follows", { nil }),
      ("cgroups are followed", { try KernelEvents.start(root: inside, handler: ignore) }),
      ("processes elsewhere too", { try KernelEvents.start(root: outside, processes: true, handler: ignore) }),
      ("these processes too", { try KernelEvents.start(root: inside, processes: true, handler: ignore) }),
    ]
    var times = contestants.map { _ in [Double]() }
    for round in 0..<rounds {
      // The order turns by one each round, so that none is always first after a pause.
      for turn in contestants.indices {
        try Interruption.check()
        let index = (turn + round) % contestants.count
        let events = try contestants[index].follow()
        let began = Self.childMicroseconds()
        try Self.runProcesses(Self.batch, in: inside)
        times[index].append((Self.childMicroseconds() - began) / Double(Self.batch))
        events?.stop()
      }
    }
    var table = ReportTable(
      "fork + exec + exit of /bin/true from a shell, processor µs; ratios round by round",
      columns: ["contestant", "min", "median", "ratio (min)", "ratio (median)"])
    for (index, contestant) in contestants.enumerated() {
      let samples = Samples(times[index])
      let ratios = Samples(zip(times[index], times[0]).map { $0 / $1 })
      let ofMinimum = samples.minimum.flatMap { own in Samples(times[0]).minimum.map { own / $0 } }
      table.rows.append([
        .text(contestant.name), .number(samples.minimum, digits: 1), .number(samples.median, digits: 1),
        .number(ofMinimum, digits: 3), .number(ratios.median, digits: 3),
      ])
    }
    return table
  }
}
