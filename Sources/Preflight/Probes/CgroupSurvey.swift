// Who else has programs on the cgroups, at the hooks that the cgroup datapath uses.
package import BPF
internal import Enforcement
internal import Kernel
internal import SystemPackage

/// What was found on the cgroups of this host.
package struct CgroupSurvey: Sendable {
  /// Programs of somebody at a hook of a cgroup.
  package struct Entry: Sendable, Equatable {
    /// The cgroup's path in the hierarchy.
    package let cgroup: String
    /// The hook.
    package let hook: String
    /// Whether others can be attached beside them.
    package let mode: CgroupAttachments.Mode
    /// What the programs are called; a number for one that could not be opened.
    package let programs: [String]

    /// States an entry.
    package init(cgroup: String, hook: String, mode: CgroupAttachments.Mode, programs: [String]) {
      self.cgroup = cgroup
      self.hook = hook
      self.mode = mode
      self.programs = programs
    }
  }

  /// Cgroups that have programs of their own.
  package let entries: [Entry]
  /// How many cgroups were looked at.
  package let looked: Int
  /// Whether there were more than could be looked at in time.
  package let isComplete: Bool

  /// States a survey.
  package init(entries: [Entry], looked: Int, isComplete: Bool) {
    self.entries = entries
    self.looked = looked
    self.isComplete = isComplete
  }

  /// Whose a program is, by the names that its owner gives; nil for one that nobody here knows.
  static func owner(of program: String) -> String? {
    let prefixes = [
      ("sd_", "systemd"), ("cil_", "Cilium"), ("cali_", "Calico"), ("sp_", "Sallyport"), ("calico_", "Calico"),
      ("kepler_", "Kepler"), ("tetragon_", "Tetragon"), ("falco_", "Falco"), ("restrict_", "systemd"),
    ]
    // Cilium's load balancer of sockets: cil_sock4_connect and the like, and older names of it.
    if program.hasPrefix("sock4_") || program.hasPrefix("sock6_") { return "Cilium" }
    return prefixes.first { program.hasPrefix($0.0) }?.1
  }
}

extension Probe {
  /// Asks every cgroup, in less than half of `total`: on a host with many the first ones are told, and that there are more.
  static func cgroupPrograms(of total: Duration) -> Probe {
    Probe("programs on cgroups", within: .seconds(5)) {
      $0.cgroupPrograms = $1
    } _: {
      try Capabilities.require([.netAdmin, .bpf])
      return try ScratchCgroup.inVersion2 { try survey(of: $0, until: ContinuousClock.now + total * 4 / 10) }
    }
  }

  private static func survey(
    of hierarchy: CgroupHierarchy, until end: ContinuousClock.Instant
  ) throws(KernelError) -> CgroupSurvey {
    var entries: [CgroupSurvey.Entry] = []
    var looked = 0
    var isLate = false
    do throws(KernelError) {
      try hierarchy.root().walk { cgroup throws(KernelError) in
        // Walking on would cost what is left of the time: the error ends the walk, and is not told.
        if ContinuousClock.now >= end {
          isLate = true
          throw KernelError("walk", "cgroups", .timedOut)
        }
        looked += 1
        entries += Self.entries(of: cgroup)
      }
    } catch {
      guard isLate else { throw error }
    }
    return CgroupSurvey(entries: entries, looked: looked, isComplete: !isLate)
  }

  private static func entries(of cgroup: CgroupDirectory) -> [CgroupSurvey.Entry] {
    HookTrial.hooks.compactMap { hook in
      guard let found = try? CgroupAttachments.query(cgroup.descriptor, hook) else { return nil }
      // Beside this attempt others make theirs.
      guard cgroup.path.lastComponent?.string.hasPrefix(ScratchCgroup.prefix) != true else { return nil }
      let names = found.programs.map { number in (try? BPFProgram.numbered(number).name) ?? "program \(number)" }
      return CgroupSurvey.Entry(
        cgroup: cgroup.path.string, hook: hook.name, mode: found.mode,
        programs: names.map { $0.isEmpty ? "unnamed" : $0 })
    }
  }
}
