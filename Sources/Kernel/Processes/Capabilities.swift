// Which capabilities this thread has, and errors that name those it lacks.
internal import CLinux
internal import SystemPackage

/// A capability, by the kernel's number.
package struct Capability: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  /// The kernel's number, which is the bit in the sets.
  package let rawValue: UInt8

  /// Wraps the kernel's number.
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Bypasses read permission checks, and opens files by handle.
  package static let dacReadSearch = Capability(rawValue: 2)
  /// Interfaces, routes, iptables, attaching network programs, destroying sockets.
  package static let netAdmin = Capability(rawValue: 12)
  /// Raw and packet sockets.
  package static let netRaw = Capability(rawValue: 13)
  /// Loads kernel modules.
  package static let sysModule = Capability(rawValue: 16)
  /// Reads other processes' /proc entries.
  package static let sysPtrace = Capability(rawValue: 19)
  /// Mounts, namespaces, trusted attributes; everything BPF before kernel 5.8.
  package static let sysAdmin = Capability(rawValue: 21)
  /// Raises resource limits.
  package static let sysResource = Capability(rawValue: 24)
  /// BPF programs that read kernel memory.
  package static let perfmon = Capability(rawValue: 38)
  /// Makes maps and loads programs.
  package static let bpf = Capability(rawValue: 39)

  private static let names: [UInt8: String] = [
    2: "CAP_DAC_READ_SEARCH", 12: "CAP_NET_ADMIN", 13: "CAP_NET_RAW", 16: "CAP_SYS_MODULE", 19: "CAP_SYS_PTRACE",
    21: "CAP_SYS_ADMIN", 24: "CAP_SYS_RESOURCE", 38: "CAP_PERFMON", 39: "CAP_BPF",
  ]

  /// The name in capitals, or the number.
  package var description: String { Self.names[rawValue] ?? "capability \(rawValue)" }
}

/// The sets of capabilities of the calling thread.
package struct Capabilities: Equatable, Sendable {
  /// What it may do now, a bit for each capability.
  package let effective: UInt64

  /// States a set.
  package init(effective: UInt64) { self.effective = effective }

  /// Asks the kernel.
  package static func current() throws(KernelError) -> Capabilities {
    var effective: UInt64 = 0
    var permitted: UInt64 = 0
    try check(unsafe sp_capget(&effective, &permitted), "read", "capabilities")
    return Capabilities(effective: effective)
  }

  /// Whether it may do what `capability` stands for; CAP_SYS_ADMIN counts for CAP_BPF and CAP_PERFMON.
  package func contains(_ capability: Capability) -> Bool {
    if effective >> capability.rawValue & 1 == 1 { return true }
    return [.bpf, .perfmon].contains(capability) && effective >> Capability.sysAdmin.rawValue & 1 == 1
  }

  /// Those of `wanted` that are lacking, in that order.
  package func missing(_ wanted: [Capability]) -> [Capability] {
    wanted.filter { !contains($0) }
  }

  /// Throws EPERM that names everything that is lacking.
  package func require(_ wanted: [Capability]) throws(KernelError) {
    let missing = missing(wanted)
    guard !missing.isEmpty else { return }
    let names = missing.map(\.description).joined(separator: ", ")
    throw KernelError(
      "require", names, .notPermitted, remedy: "run as root, or add them to AmbientCapabilities= of the unit")
  }

  /// Takes every other effective capability from the calling thread, and from threads that it starts later.
  ///
  /// Threads that run already keep theirs: call it first thing. What is lacking is not given. The permitted set stays,
  /// and a program that root executes has all of it again: a guard against mistakes, not against an attacker.
  package static func keepOnly(_ kept: [Capability]) throws(KernelError) {
    let wanted = kept.reduce(UInt64(0)) { $0 | 1 << $1.rawValue }
    try check(sp_capset_effective(try current().effective & wanted), "limit", "capabilities")
  }

  /// Throws EPERM that names every wanted capability which the calling thread lacks.
  package static func require(_ wanted: [Capability]) throws(KernelError) {
    try current().require(wanted)
  }
}
