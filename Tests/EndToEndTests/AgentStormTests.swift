// Ten thousand cgroups and processes that come and go: nothing missed, nothing left, nothing grown.
import Glibc
import Kernel
import SystemPackage
import TestSupport
import Testing

/// A number of the environment.
private func number(_ name: String, _ usual: Int) -> Int {
  unsafe getenv(name).flatMap { unsafe Int(String(cString: $0)) } ?? usual
}

@Suite(
  "Agent storm",
  .requires(.root, .cgroups, .bpf, .pins, .networkNamespaces, .product, .program("busybox"), .executionGuard))
struct AgentStormTests {
  @Test("[P9] After a storm of cgroups and processes exactly what lives is in force, and nothing failed")
  func storm() throws {
    let cgroups = number("SALLYPORT_STORM_CGROUPS", 600)
    let processes = number("SALLYPORT_STORM_PROCESSES", 300)
    try withAgent { bench in
      AgentBench.defaults + AgentBench.workload("storm", "app: storm", match: "cgroups: [\"/*/enforced/storm/*\"]")
        + AgentBench.workload("crowd", "app: crowd", match: "cgroups: [\"/*/enforced/crowd\"]")
        + AgentBench.workload(
          "client", "app: client", match: "executables: [\"\(try bench.program("client"))\"]", "placement: own-cgroup")
    } body: { bench in
      let storm = try bench.sandbox.makeCgroup("enforced/storm")
      let crowd = try bench.sandbox.makeCgroup("enforced/crowd")
      let agent = try #require(try bench.status().agentPid)
      let before = try Usage(of: agent)
      let began = Clock.monotonicNanoseconds()
      // Nine of ten processes run something that no rule names, one is placed in a cgroup of its own.
      let script = """
        i=0
        while [ $i -lt \(processes) ]; do
          if [ $((i % 10)) -eq 0 ]; then "$0" true; else /bin/busybox true; fi
          i=$((i+1))
        done
        """
      let child = try bench.sandbox.start(
        ["/bin/busybox", "sh", "-c", script, "\(bench.directory)/busybox-client"], cgroup: crowd)
      // Some live at any time, so that numbers are given and taken back while others are in use.
      var living: [CgroupDirectory] = []
      for index in 0..<cgroups {
        living.append(try storm.create(try #require(FilePath.Component("c\(index)"))))
        if living.count > 40 { try living.removeFirst().remove() }
      }
      #expect(try child.wait() == 0)
      for cgroup in living.prefix(living.count - 20) { try cgroup.remove() }
      living.removeFirst(living.count - 20)
      let expected = Set(living.map(\.id.rawValue) + [crowd.id.rawValue])
      try bench.workloads("exactly what lives is listed") { Set($0.map(\.cgroup)) == expected && $0.count == 21 }
      let caught = Clock.monotonicNanoseconds()
      try eventually("the kernel has exactly as many rows") { try bench.status().workloads == expected.count }
      let status = try bench.status()
      #expect(status.failures == 0, "\(bench.log)")
      #expect(status.warnings.isEmpty)
      let after = try Usage(of: agent)
      print(
        "storm: \(cgroups) cgroups and \(processes) processes in \((caught - began) / 1_000_000) ms;",
        "agent: peak \(after.peak) kB (\(before.peak) kB before), processor \(after.ticks - before.ticks) ticks of 10 ms,",
        "events lost \(status.eventsLost ?? 0), \(status.executions ?? "")")
      #expect(after.peak < before.peak + 131_072)
    }
  }
}

/// What a process has used.
private struct Usage {
  /// The most memory it ever had resident, in kB.
  var peak: Int
  /// User and system time, in ticks of 10 ms.
  var ticks: Int

  init(of process: Int32) throws {
    let status = try readKernelFile(FilePath("/proc/\(process)/status"))
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") } ?? ""
    peak = Int(line.split(whereSeparator: \.isWhitespace).dropFirst().first ?? "") ?? 0
    // proc_pid_stat(5): after the name in parentheses, field 3 is first.
    let fields = try readKernelFile(FilePath("/proc/\(process)/stat")).split(separator: ")").last?.split(separator: " ")
    ticks = (fields?.dropFirst(11).prefix(2) ?? []).compactMap { Int($0) }.reduce(0, +)
  }
}
