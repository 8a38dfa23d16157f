// On what a figure was measured: without it no figure can be read.

internal import Benchmark
internal import Glibc
internal import Kernel
internal import SystemPackage

/// The machine at the time of a run.
enum MachineFacts {
  /// Processors that are online.
  static let processors = max(Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))), 1)

  /// What a run says of its machine, in order; what cannot be read is `unknown`.
  static func read(revision: String? = nil) -> [Fact] {
    let cpuinfo = text("/proc/cpuinfo")
    let memory = line("MemTotal", in: text("/proc/meminfo")).split(separator: " ").first.flatMap { Int($0) }
    let version = text("/proc/sys/kernel/version").trimmed
    return [
      Fact("kernel", text("/proc/sys/kernel/osrelease").trimmed), Fact("kernel build", version),
      Fact("cpu", line("model name", in: cpuinfo)), Fact("microcode", line("microcode", in: cpuinfo)),
      Fact("virtual machine", hasFlag("hypervisor", cpuinfo) ? "yes" : "no"), Fact("cores", "\(processors)"),
      Fact(
        "governor", optional("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") ?? "none: not scaled from here"),
      Fact("turbo", turbo), Fact("idle states", optional("/sys/devices/system/cpu/cpuidle/current_driver") ?? "none"),
      Fact("clock", optional("/sys/devices/system/clocksource/clocksource0/current_clocksource") ?? "unknown"),
      Fact("mitigations", mitigations), Fact("JIT", optional("/proc/sys/net/core/bpf_jit_enable") ?? "unknown"),
      Fact("JIT hardening", optional("/proc/sys/net/core/bpf_jit_harden") ?? "unknown"),
      Fact("instructions", countsInstructions ? "counted" : "not counted: no counters here (perf_event_open)"),
      Fact("memory", memory.map { "\($0 / 1024) MiB" } ?? "unknown"),
      Fact("load average", text("/proc/loadavg").split(separator: " ").prefix(3).joined(separator: " ")),
      Fact("runnable", text("/proc/loadavg").split(separator: " ").dropFirst(3).first.map(String.init) ?? "unknown"),
      Fact("build", isRelease ? "release" : "debug: figures of the agent's own work mean nothing"),
      Fact("revision", revision ?? "unknown"),
    ]
  }

  /// What the kernel counts of its processors' time; `own` is the cgroup of the run, beside this process.
  static func processorTimes(_ own: CgroupDirectory?) -> ProcessorTimes? {
    let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
    var times = ProcessorTimes(
      stat: text("/proc/stat"), pressure: optional("/proc/pressure/cpu"), ticks: ticks)
    times?.own = ProcessorTime.process.microseconds / 1e6
    if let own, let nanoseconds = try? ProcessorTime.of(own) { times?.own += Double(nanoseconds) / 1e9 }
    times?.wall = Double(Clock.monotonicNanoseconds()) / 1e9
    return times
  }

  /// The load average of the last minute.
  static var load: Double { text("/proc/loadavg").split(separator: " ").first.flatMap { Double($0) } ?? 0 }

  private static var countsInstructions: Bool {
    guard let counter = InstructionCounter.ofThisThread() else { return false }
    return counter.count != nil
  }

  private static var isRelease: Bool {
    #if DEBUG
      false
    #else
      true
    #endif
  }

  /// What the kernel does against faults of the processor, shortened to what is not harmless.
  private static var mitigations: String {
    let folder = "/sys/devices/system/cpu/vulnerabilities"
    guard let names = try? directoryNames(folder) else { return "unknown" }
    let told = names.sorted().compactMap { name -> String? in
      guard let state = optional("\(folder)/\(name)"), state != "Not affected" else { return nil }
      return "\(name): \(state)"
    }
    return told.isEmpty ? "none needed" : told.joined(separator: "; ")
  }

  private static var turbo: String {
    if let boost = optional("/sys/devices/system/cpu/cpufreq/boost") { return boost == "1" ? "on" : "off" }
    if let off = optional("/sys/devices/system/cpu/intel_pstate/no_turbo") { return off == "1" ? "off" : "on" }
    return "not told"
  }

  private static func hasFlag(_ flag: String, _ cpuinfo: String) -> Bool {
    line("flags", in: cpuinfo).split(separator: " ").contains { $0 == flag }
  }

  private static func optional(_ path: String) -> String? { (try? readKernelFile(FilePath(path)))?.trimmed }

  private static func text(_ path: FilePath) -> String { (try? readKernelFile(path)) ?? "" }

  private static func line(_ key: String, in text: String) -> String {
    let found = text.split(separator: "\n").first { $0.hasPrefix(key) }
    return found?.split(separator: ":", maxSplits: 1).last.map { String($0).trimmed } ?? "unknown"
  }
}

/// The most memory this process ever had resident, in KiB.
func peakResidentKiB() -> Int {
  var usage = rusage()
  unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
  return usage.ru_maxrss
}
