// What the host itself must have: processors, memory, a distribution of the table, an architecture, the time.
internal import Kernel

/// The checks of the machine and its distribution.
let hostChecks: [Check] = [
  Check(
    "cpus", .host, requires: "at least 2 vCPU", by: [.agent],
    purpose: "the agent compiles policy and reads the kernel's records beside what the host is for",
    method: "Cpus_allowed_list of /proc/self/status (affinity and cpusets), and the CPU quota of every cgroup above",
    remedy: "give the machine, or the agent's cgroup, 2 CPUs"
  ) { host, _ in judgeProcessors(host) },
  Check(
    "memory", .host, requires: "at least 2 GB of memory", by: [.agent],
    purpose: "tables in the kernel are charged to the agent's cgroup, and policy is compiled in memory",
    method: "MemTotal of /proc/meminfo, and the memory limit of every cgroup above this process",
    remedy: "give the machine, or the agent's cgroup, 2 GB"
  ) { host, _ in judgeMemory(host) },
  Check(
    "distribution", .host, requires: "a distribution of the published table, or a release that succeeded one",
    by: [.agent], purpose: "on these the packages and kernels that Sallyport needs are known",
    method: "os-release(5), with the minor release from /etc/centos-release or /etc/debian_version",
    remedy: "upgrade the distribution"
  ) { host, _ in judgeDistribution(host) },
  Check(
    "windows", .host, requires: "\(Distribution.windows): a row of its own in the published table", by: [.published],
    purpose: "the published table lists hosts that no kernel of Linux runs on",
    method: "this program runs on Linux alone", remedy: "none"
  ) { _, _ in .notApplicable("this is a Linux host", how: "this program runs on Linux alone") },
  Check(
    "architecture", .host, requires: "x86_64 or aarch64", by: [.agent],
    purpose: "the prebuilt programs are little-endian, and nothing else was tried",
    method: "uname -m", remedy: "use a host of one of these architectures"
  ) { host, _ in judgeArchitecture(host) },
  Check(
    "time", .host, requires: "a clock that a time service keeps", by: [.agent],
    purpose: "flow records of two hosts are compared by time, and certificates are valid for a time",
    method: "adjtimex(2): the kernel's own word whether it is synchronized",
    remedy: "run a time service: chronyd, systemd-timesyncd or ntpd"
  ) { host, _ in judgeClock(host) },
  Check(
    "proc", .host, requires: "a /proc that shows every process", by: [.agent],
    purpose: "which executable a process runs, and which cgroup and network namespace it is in, is read there",
    method: "the mount options of /proc in /proc/self/mountinfo",
    remedy: "mount proc on /proc; with hidepid= give the agent CAP_SYS_PTRACE"
  ) { host, _ in judgeProc(host) },
  Check(
    "container", .host, requires: "the host's own namespaces", by: [.agent],
    purpose: "inside a container most of what is found is the container's and not the host's",
    method:
      "/run/.containerenv, /.dockerenv, the serviceaccount of a pod, `container=` of process 1, and /proc/self/ns",
    remedy: "run it on the host, or in a container with the host's pid, network and cgroup namespaces"
  ) { host, _ in judgeContainer(host) },
]

// MARK: Processors and memory

private func judgeProcessors(_ host: HostView) -> Finding {
  let how = "Cpus_allowed_list of /proc/self/status, cpu.max of the cgroups above"
  let online = host.text("/sys/devices/system/cpu/online").value.flatMap { countList($0.trimmed) }
  let allowed: Int
  switch host.text("/proc/self/status") {
  case .unseen(let why):
    guard let online else { return .unknown(why, how: how, remedy: "mount /proc, or look at `nproc`") }
    allowed = online
  case .absent: return .unknown("/proc/self/status is not there", how: how)
  case .seen(let status):
    let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
    guard let count = line.flatMap({ countList(String($0.dropFirst(18)).trimmed) }) else {
      return .unknown("/proc/self/status has no Cpus_allowed_list", how: how)
    }
    // The mask names CPUs that could be plugged in too.
    allowed = min(count, online ?? count)
  }
  var parts = ["\(allowed) to run on"]
  if let online, online != allowed { parts.append("\(online) online") }
  var usable = Double(allowed)
  switch host.cpuLimit {
  case .seen(let limit):
    usable = min(usable, limit.amount)
    parts.append("\(limit.file) allows \(short(limit.amount))")
  case .unseen(let why): parts.append("limits of cgroups unseen: \(why)")
  case .absent: break
  }
  let found = parts.joined(separator: ", ")
  guard usable < 2 else { return .pass(found, how: how) }
  return .fail(
    found, how: how,
    meaning: "the published minimum is 2 vCPU: under load the agent and the workloads wait for each other",
    remedy: usable < Double(allowed)
      ? "raise the CPU quota of that cgroup to 2 CPUs or more"
      : online ?? 1 >= 2
        ? "let the agent run on 2 CPUs: CPUAffinity= and AllowedCPUs= of the unit, cpuset of the cgroup"
        : "give the machine a second CPU")
}

/// How many numbers a list such as `0-3,8` has; nil if it is none.
func countList(_ text: String) -> Int? {
  var count = 0
  for part in text.split(separator: ",") {
    let ends = part.split(separator: "-").map { Int($0) }
    switch ends.count {
    case 1:
      guard ends[0] != nil else { return nil }
      count += 1
    case 2:
      guard let first = ends[0], let last = ends[1], first <= last else { return nil }
      count += last - first + 1
    default: return nil
    }
  }
  return count > 0 ? count : nil
}

/// One digit after the point, and none where it would be 0.
private func short(_ number: Double) -> String {
  let tenths = Int((number * 10).rounded())
  return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
}

private func judgeMemory(_ host: HostView) -> Finding {
  let how = "MemTotal of /proc/meminfo, memory.max of the cgroups above"
  guard case .seen(let text) = host.text("/proc/meminfo") else {
    return .unknown(
      host.text("/proc/meminfo").obstacle ?? "/proc/meminfo is not there", how: how, remedy: "mount /proc")
  }
  let line = text.split(separator: "\n").first { $0.hasPrefix("MemTotal:") }
  guard let kilobytes = line?.split(separator: " ").dropFirst().first.flatMap({ Double($0) }) else {
    return .unknown("/proc/meminfo has no MemTotal", how: how)
  }
  let total = kilobytes * 1024
  var found = "\(short(total / 1e9)) GB"
  // MemTotal leaves out what the kernel and the firmware keep for themselves: a machine of 2 GB shows at least 1.8.
  var isEnough = total >= 1.8e9
  var remedy = "give the machine 2 GB of memory"
  switch host.memoryLimit {
  case .seen(let limit) where limit.amount < total:
    found += ", \(limit.file) allows \(short(limit.amount / 1e9)) GB"
    if isEnough { remedy = "raise \(limit.file) to 2 GB or more (MemoryMax= of the unit)" }
    isEnough = isEnough && limit.amount >= 2e9
  case .unseen(let why): found += ", limits of cgroups unseen: \(why)"
  default: break
  }
  guard !isEnough else { return .pass(found, how: how) }
  return .fail(
    found, how: how,
    meaning: "the published minimum is 2 GB: tables for many workloads may not fit, and the agent may be killed first",
    remedy: remedy)
}

// MARK: The rest

private func judgeArchitecture(_ host: HostView) -> Finding {
  switch host.machine {
  case "x86_64", "aarch64": .pass(host.machine, how: "uname -m")
  case "": .unknown("the kernel did not say", how: "uname -m")
  case "s390x", "ppc64", "mips", "mips64", "sparc64":
    .fail(
      host.machine, how: "uname -m", meaning: "the prebuilt programs are little-endian: this kernel cannot run them",
      remedy: "use a host with x86_64 or aarch64")
  default:
    .warn(
      host.machine, how: "uname -m",
      meaning: "nobody has tried Sallyport on it; bpf.programs says what the kernel takes",
      remedy: "none is needed if bpf.programs passes")
  }
}

private func judgeClock(_ host: HostView) -> Finding {
  let how = "adjtimex(2)"
  let commands = host.isThere("/run/systemd/system") ? ["timedatectl set-ntp true"] : ["chronyd -q"]
  switch host.clock {
  case .unseen(let why): return .unknown(why, how: how)
  case .absent: return .unknown("the kernel did not say", how: how)
  case .seen(let state) where state.isSynchronized:
    let milliseconds = Double(state.maximumError) / 1000
    guard milliseconds > 1000 else { return .pass("synchronized, at most \(short(milliseconds)) ms off", how: how) }
    return .warn(
      "synchronized, but up to \(short(milliseconds / 1000)) s off", how: how,
      meaning: "records of two hosts are out of order by that much", remedy: "look at the time service's sources",
      commands: ["chronyc sources"])
  case .seen:
    return .warn(
      "not synchronized", how: how,
      meaning: "no time service has set this clock: times in flow records may be wrong, certificates may seem expired",
      remedy: "run a time service, or ignore this where the hypervisor keeps the clock", commands: commands)
  }
}

private func judgeProc(_ host: HostView) -> Finding {
  let how = "/proc/self/mountinfo"
  if let problem = host.procProblem {
    return .fail(
      problem, how: "/proc/self/status",
      meaning: "no process can be classified, and most checks have nothing to look at",
      remedy: "mount the proc file system of this pid namespace", commands: ["mount -t proc proc /proc"])
  }
  guard let mounts = host.mounts.value, let mount = mounts.last(where: { $0.mountPoint == "/proc" }) else {
    return .unknown(host.mounts.obstacle ?? "mountinfo has no line for /proc", how: how)
  }
  guard let hiding = mount.hiding else { return .pass("every process is shown", how: how) }
  guard host.hiddenProcesses != nil else {
    return .pass("mounted with \(hiding), which CAP_SYS_PTRACE sees through", how: how)
  }
  return .warn(
    "mounted with \(hiding)", how: how,
    meaning: "processes of other users are not seen: their workloads cannot be classified",
    remedy: "run as root with CAP_SYS_PTRACE, or mount /proc without hidepid",
    commands: ["mount -o remount,hidepid=0 /proc"])
}

extension FilesystemMount {
  /// The option of proc(5) by which it hides processes, or nil.
  fileprivate var hiding: String? {
    options.first { $0.hasPrefix("hidepid=") && !["hidepid=0", "hidepid=off"].contains($0) }
  }
}

extension HostView {
  /// Why processes of others are not seen here; nil if they are, or if no /proc tells.
  var hiddenProcesses: String? {
    guard let hiding = mounts.value?.last(where: { $0.mountPoint == "/proc" })?.hiding else { return nil }
    let seesAll = capabilities.value.map { $0.effective >> Capability.sysPtrace.rawValue & 1 == 1 } ?? false
    let isAll = hiding.hasSuffix("ptraceable") || hiding.hasSuffix("=4")
    return seesAll && !isAll ? nil : "/proc is mounted with \(hiding), which hides processes"
  }
}

private func judgeContainer(_ host: HostView) -> Finding {
  let how = "/run/.containerenv, /.dockerenv, /proc/1/environ, /proc/self/ns"
  let files = ["/run/.containerenv", "/.dockerenv", "/var/run/secrets/kubernetes.io/serviceaccount"]
  var signs = files.filter(host.isThere).map { "\($0) is there" }
  let first = host.text("/proc/1/environ")
  let variable = first.value?.split(separator: "\0").first { $0.hasPrefix("container=") }
  if let variable { signs.append("process 1 has \(variable)") }
  let own = host.ownNamespaces
  if !own.isEmpty { signs.append("a \(own.joined(separator: " and a ")) namespace of its own") }
  guard let sign = signs.first else {
    // Engines that leave no file, such as LXC, say it there alone.
    if let why = host.procProblem ?? first.obstacle {
      return .unknown("no file is a sign of a container, and \(why)", how: how, remedy: "look as root")
    }
    return .pass("no sign of a container", how: how)
  }
  return .warn(
    sign, how: how, meaning: "this is a container: distribution, tools and limits below are its own, not the host's",
    remedy: "look again on the host, or share the host's pid, network and cgroup namespaces and its /lib/modules",
    details: signs)
}

extension HostView {
  /// Kinds of namespaces of which this process has another one than the host's first, as far as that can be told.
  ///
  /// The first ones have numbers of their own (`PROC_PID_INIT_INO` and the like in include/linux/proc_ns.h); that of the
  /// network is no constant.
  fileprivate var ownNamespaces: [String] {
    [("pid", "pid:[4026531836]"), ("cgroup", "cgroup:[4026531835]")].filter { kind, first in
      link("/proc/self/ns/\(kind)").map { $0 != first } ?? false
    }.map(\.0)
  }
}
