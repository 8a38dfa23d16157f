// Does each check of the host find what its files say, with the right remedy, and never guess?
import Enforcement
import Glibc
import Kernel
import Preflight
import SystemPackage
import Testing

@Suite struct HostCheckTests {
  @Test func nothingStandsInTheWayOnAWholeHost() throws {
    let tree = try Tree()
    for check in Check.all where [.host, .capability].contains(check.group) {
      let finding = check.find(in: tree.host)
      #expect([.pass, .notApplicable].contains(finding.outcome), "\(check.name): \(finding.found)")
      #expect(!finding.how.isEmpty, "\(check.name)")
    }
  }

  @Test(arguments: [
    (["/proc/self/status": "Cpus_allowed_list:\t3\n"], "let the agent run on 2 CPUs"),
    (["/sys/devices/system/cpu/online": "0\n"], "give the machine a second CPU"),
    (["/sys/fs/cgroup/system.slice/cpu.max": "150000 100000\n"], "raise the CPU quota"),
    (["/sys/fs/cgroup/cpu.max": "100000 100000\n"], "raise the CPU quota"),
  ])
  func oneProcessorIsFoundWhereverItIsDecided(_ changes: [String: String], _ remedy: String) throws {
    let finding = try Tree(changes).find("host.cpus")
    #expect(finding.outcome == .fail, "\(finding.found)")
    #expect(finding.remedy.hasPrefix(remedy), "\(finding.remedy)")
  }

  @Test(arguments: [
    (["/proc/meminfo": "MemTotal:        1013000 kB\n"], "give the machine"),
    (
      ["/sys/fs/cgroup/system.slice/sallyport.service/memory.max": "1073741824\n"], "raise /sys/fs/cgroup/system.slice/"
    ),
    (["/sys/fs/cgroup/memory.max": "1073741824\n"], "raise /sys/fs/cgroup/memory.max"),
  ])
  func oneGigabyteIsFoundWhereverItIsDecided(_ changes: [String: String], _ remedy: String) throws {
    let finding = try Tree(changes).find("host.memory")
    #expect(finding.outcome == .fail, "\(finding.found)")
    #expect(finding.remedy.hasPrefix(remedy), "\(finding.remedy)")
  }

  /// Two hierarchies of version 1, as on CentOS 7.
  private static let older: [String: String] = [
    "/proc/self/cgroup": "4:memory:/limited\n3:cpu,cpuacct:/limited/inner\n1:name=systemd:/user.slice\n",
    "/proc/self/mountinfo": """
    22 27 0:21 / /proc rw,relatime - proc proc rw
    30 23 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
    31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
    32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory

    """,
  ]

  @Test func limitsOfVersion1Count() throws {
    let tree = try Tree(
      Self.older.merging([
        "/sys/fs/cgroup/cpu,cpuacct/limited/cpu.cfs_quota_us": "100000\n",
        "/sys/fs/cgroup/cpu,cpuacct/limited/cpu.cfs_period_us": "100000\n",
        "/sys/fs/cgroup/cpu,cpuacct/limited/inner/cpu.cfs_quota_us": "-1\n",
        "/sys/fs/cgroup/memory/limited/memory.limit_in_bytes": "1073741824\n",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
      ]) { $1 })
    #expect(try tree.find("host.cpus").found.contains("cpu,cpuacct/limited/cpu.cfs_quota_us allows 1"))
    #expect(try tree.find("host.memory").found.contains("memory/limited/memory.limit_in_bytes allows 1.1 GB"))
    let layout = try tree.find("host.cgroups")
    #expect(layout.outcome == .warn && layout.found == "version 1 alone, in 3 hierarchies", "\(layout)")
  }

  @Test func eachLayoutOfCgroupsIsTold() throws {
    #expect(try Tree().find("host.cgroups").found == "version 2 alone, at /sys/fs/cgroup")
    let hybrid = try Tree([
      "/proc/self/mountinfo": (Self.older["/proc/self/mountinfo"] ?? "")
        + "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
    ])
    #expect(try hybrid.find("host.cgroups").found.hasPrefix("hybrid: version 2 at /sys/fs/cgroup/unified"))
    let none = try Tree(["/proc/self/mountinfo": "22 27 0:21 / /proc rw,relatime - proc proc rw\n"])
    let finding = try none.find("host.cgroups")
    #expect(finding.outcome == .fail && finding.commands == ["mount -t cgroup2 none /sys/fs/cgroup"])
    let ancient = try Tree(Self.older.merging(["/proc/filesystems": "nodev\tcgroup\n"]) { $1 })
    #expect(try ancient.find("host.cgroups").outcome == .fail)
  }

  @Test func aMissingBPFFileSystemIsMountedByTheRepair() throws {
    let mounts = Tree.whole["/proc/self/mountinfo"]?.split(separator: "\n").filter { !$0.contains(" bpf ") } ?? []
    let finding = try Tree(["/proc/self/mountinfo": mounts.joined(separator: "\n") + "\n"]).find("host.bpffs")
    #expect(finding.outcome == .fail)
    #expect(finding.repairs == [.mountBPF("/sys/fs/bpf")] && finding.commands == ["mount -t bpf bpf /sys/fs/bpf"])
  }

  @Test func netClsBefore515IsAWarningUntilItWasTried() throws {
    let mounts =
      (Tree.whole["/proc/self/mountinfo"] ?? "") + "50 23 0:50 / /sys/fs/cgroup/net_cls rw - cgroup cgroup rw,net_cls\n"
    let old = try Tree(["/proc/self/mountinfo": mounts, "/proc/sys/kernel/osrelease": "5.10.0-8-amd64\n"])
    let guessed = try old.find("host.net-cls")
    #expect(guessed.outcome == .warn && guessed.remedy.contains("cgroup_no_v1"), "\(guessed)")
    var results = ProbeResults()
    results.sockets = .seen(nil)
    #expect(try old.find("host.net-cls", results).outcome == .pass)
    #expect(try Tree(["/proc/self/mountinfo": mounts]).find("host.net-cls").outcome == .pass)
  }

  @Test(arguments: [
    ("host.lockdown", "/sys/kernel/security/lockdown", "none integrity [confidentiality]\n", Outcome.fail),
    ("host.lockdown", "/sys/kernel/security/lockdown", "none [integrity] confidentiality\n", .pass),
    ("host.lockdown", "/sys/kernel/security/lockdown", "none integrity\n", .unknown),
    ("host.jit", "/proc/sys/net/core/bpf_jit_enable", "0\n", .warn),
    ("host.unprivileged-bpf", "/proc/sys/kernel/unprivileged_bpf_disabled", "0\n", .warn),
    ("host.kernel", "/proc/sys/kernel/osrelease", "4.18.0-305.el8.x86_64\n", .warn),
    ("host.kernel", "/proc/sys/kernel/osrelease", "5.10.0\n", .pass),
    ("host.kernel", "/proc/sys/kernel/osrelease", "gibberish\n", .unknown),
    ("host.limits", "/proc/self/limits", Tree.limits(files: "1024", memory: "unlimited"), .fail),
    ("host.container", "/run/.containerenv", "", .warn),
    ("host.container", "/proc/1/environ", "PATH=/bin\0container=podman\0", .warn),
    ("host.proc", "/proc/self/mountinfo", "22 27 0:21 / /proc rw - proc proc rw,hidepid=invisible\n", .pass),
    ("host.cpus", "/proc/self/status", "nothing of use\n", .unknown),
    ("host.memory", "/proc/meminfo", "MemTotal: much\n", .unknown),
  ])
  func aFileIsJudged(_ name: String, _ path: String, _ text: String, _ outcome: Outcome) throws {
    let finding = try Tree([path: text]).find(name)
    #expect(finding.outcome == outcome, "\(finding)")
    #expect(finding.outcome == .pass || finding.outcome == .unknown || !finding.remedy.isEmpty, "\(finding)")
  }

  @Test func theModeOfLockdownIsTheOneInBrackets() throws {
    #expect(try Tree().find("host.lockdown").found == "none")
    let integrity = ["/sys/kernel/security/lockdown": "none [integrity] confidentiality\n"]
    #expect(try Tree(integrity).find("host.lockdown").found == "integrity")
  }

  @Test func aSettingIsPutRightByTheRepair() throws {
    let tree = try Tree([
      "/proc/sys/net/core/bpf_jit_enable": "0\n", "/proc/self/limits": Tree.limits(files: "1024", memory: "0"),
    ])
    let rows = try ["host.jit", "host.limits"].map { name in
      Survey.Row(check: try Check.named(name), finding: try tree.find(name))
    }
    let survey = Survey(rows: rows)
    #expect(survey.repairs.map(\.repair.command).first == "sysctl -w net.core.bpf_jit_enable=1")
    #expect(survey.repair(below: tree.root).allSatisfy { $0.failure == nil } == false, "no such directory is there")
    try tree.write("/etc/systemd/system/x", "")
    #expect(survey.repair(below: tree.root).allSatisfy { $0.failure == nil })
    #expect(try tree.find("host.jit").outcome == .pass)
    let dropIn = try readKernelFile(FilePath("\(tree.root)/etc/systemd/system/sallyport.service.d/50-limits.conf"))
    #expect(dropIn == "[Service]\nLimitNOFILE=65536\n")
    // What the unit is given counts from its next start: there is nothing left to repair.
    let limits = try tree.find("host.limits")
    #expect(limits.outcome == .warn && limits.repairs.isEmpty && limits.found.contains("50-limits.conf"), "\(limits)")
  }

  @Test func hidepidWithoutTheCapabilityHidesProcesses() throws {
    let tree = try Tree(["/proc/self/mountinfo": "22 27 0:21 / /proc rw - proc proc rw,hidepid=2\n"])
    var host = tree.host
    host.capabilities = .seen(CapabilitySets(effective: 0, permitted: 0, bounding: 0))
    let finding = try Check.named("host.proc").find(in: host)
    #expect(finding.outcome == .warn && finding.remedy.contains("CAP_SYS_PTRACE"), "\(finding)")
  }

  @Test func namespacesOfItsOwnAreASign() throws {
    for (target, outcome) in [("pid:[4026531836]", Outcome.pass), ("pid:[4026532199]", .warn)] {
      let tree = try Tree(["/proc/self/ns/user": "", "/proc/1/environ": "PATH=/bin\0"])
      #expect(unsafe symlink(target, "\(tree.root)/proc/self/ns/pid") == 0)
      let finding = try tree.find("host.container")
      #expect(finding.outcome == outcome, "\(finding)")
    }
  }

  @Test func whetherProgramsAreCompiledIsToldByOneWhereNoFileDoes() throws {
    let tree = try Tree(["/proc/sys/net/core/bpf_jit_enable": nil])
    #expect(try tree.find("host.jit").outcome == .unknown)
    for isCompiled in [true, false] {
      var results = ProbeResults()
      let program = ObjectTrial.Program(name: "sp_egress", isCompiled: isCompiled, refusal: nil)
      results.programs = .seen([ObjectTrial(object: "cgroup", programs: [program])])
      #expect(try tree.find("host.jit", results).outcome == (isCompiled ? .pass : .warn))
    }
  }

  @Test func aProcessThatMayNotBeReadIsNoSign() throws {
    // A directory cannot be read as a file, not even by root.
    let tree = try Tree(["/proc/1/environ/x": ""])
    let finding = try tree.find("host.container")
    #expect(finding.outcome == .unknown && finding.remedy == "look as root", "\(finding)")
    #expect(try Tree(["/proc/1/environ": "PATH=/bin\0"]).find("host.container").outcome == .pass)
  }

  @Test func aClockThatNobodyKeepsIsAWarning() throws {
    var host = try Tree().host
    host.clock = .seen(ClockState(isSynchronized: false, maximumError: 16_000_000, offset: 0))
    #expect(try Check.named("host.time").find(in: host).outcome == .warn)
    host.clock = .seen(ClockState(isSynchronized: true, maximumError: 3_500_000, offset: 0))
    let finding = try Check.named("host.time").find(in: host)
    #expect(finding.outcome == .warn && finding.found.contains("3.5 s"), "\(finding)")
  }

  @Test func withoutProcNothingIsGuessed() throws {
    let tree = try Tree([:], on: Tree.whole.filter { !$0.key.hasPrefix("/proc") })
    for check in Check.all where check.name != "host.proc" {
      let finding = check.find(in: tree.host)
      guard finding.outcome == .fail else { continue }
      Issue.record("\(check.name) fails without having looked: \(finding.found)")
    }
    #expect(try tree.find("host.proc").found == "no /proc is mounted")
    #expect(try tree.find("host.memory").found == "no /proc is mounted")
    #expect(try tree.find("host.cgroups").outcome == .unknown)
  }

  @Test func aProcOfAnotherPidNamespaceIsNamed() throws {
    let tree = try Tree([:], on: Tree.whole.filter { !$0.key.hasPrefix("/proc/self") })
    #expect(try tree.find("host.proc").found.contains("of another pid namespace"))
    #expect(try tree.find("host.limits").outcome == .unknown)
  }

  @Test func anEmptyRootIsNoReasonToCrash() throws {
    let tree = try Tree([:], on: [:])
    for check in Check.all {
      let finding = check.find(in: tree.host)
      #expect(!finding.found.isEmpty && !finding.how.isEmpty, "\(check.name)")
    }
  }
}
