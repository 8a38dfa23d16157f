// On what a figure was measured: without it no figure can be read.

internal import Glibc
internal import Kernel
internal import SystemPackage

/// The machine at the time of a run.
struct MachineFacts: Sendable {
  let kernel: String
  let cpu: String
  let cores: Int
  let memory: String
  let load: String
  let isRelease: Bool

  /// Looks at this machine; what cannot be read is `unknown`.
  static func read() -> MachineFacts {
    let cpuinfo = text("/proc/cpuinfo")
    let memory = line("MemTotal", in: text("/proc/meminfo")).split(separator: " ").first.flatMap { Int($0) }
    return MachineFacts(
      kernel: text("/proc/sys/kernel/osrelease").trimmed, cpu: line("model name", in: cpuinfo),
      cores: Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))),
      memory: memory.map { "\($0 / 1024) MiB" } ?? "unknown",
      load: text("/proc/loadavg").split(separator: " ").prefix(3).joined(separator: " "), isRelease: isReleaseBuild)
  }

  /// What a run says of itself, in order.
  var fields: [(String, String)] {
    [
      ("kernel", kernel), ("cpu", cpu), ("cores", "\(cores)"), ("memory", memory), ("load average", load),
      ("build", isRelease ? "release" : "debug: figures of the agent's own work mean nothing"),
    ]
  }

  private static var isReleaseBuild: Bool {
    #if DEBUG
      false
    #else
      true
    #endif
  }

  private static func text(_ path: FilePath) -> String { (try? readKernelFile(path)) ?? "" }

  private static func line(_ key: String, in text: String) -> String {
    let found = text.split(separator: "\n").first { $0.hasPrefix(key) }
    return found?.split(separator: ":", maxSplits: 1).last.map { String($0).trimmed } ?? "unknown"
  }
}

extension String {
  /// Without blanks and line ends on either side.
  var trimmed: String {
    let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\n" }
    return String(reversed().drop(while: isBlank).reversed().drop(while: isBlank))
  }
}

/// The most memory this process ever had resident, in KiB.
func peakResidentKiB() -> Int {
  var usage = rusage()
  unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
  return usage.ru_maxrss
}
