// What the kernel and its mounts must offer, as files tell it; what programs it takes is tried by the bpf checks.
internal import Enforcement
internal import Kernel
internal import SystemPackage

/// The checks of the kernel's settings and mounts.
let kernelChecks: [Check] = [
  Check(
    "kernel", .host, requires: "Linux 5.10 or later", by: [.cgroup, .netfilter],
    purpose: "older ones lack links, ring buffers or header options; distributions carry much of it back",
    method: "/proc/sys/kernel/osrelease; a hint only: bpf.programs tries what counts",
    remedy: "install a newer kernel of the distribution"
  ) { host, results in judgeKernel(host, results) },
  Check(
    "cgroups", .host, requires: "a cgroup v2 hierarchy, alone or beside version 1", by: [.agent],
    purpose: "a workload is a cgroup; on a host with version 1 alone the agent mounts version 2 itself and mirrors it",
    method: "the cgroup and cgroup2 lines of /proc/self/mountinfo", remedy: "mount -t cgroup2 none /sys/fs/cgroup"
  ) { host, _ in judgeCgroups(host) },
  Check(
    "net-cls", .host, requires: "no use of net_cls and net_prio on kernels that then forget a socket's cgroup",
    by: [.agent],
    purpose: "before 5.15 the first use of either makes every later socket one of the root cgroup: nothing is policed",
    method: "a socket made in a scratch cgroup, whose owner the kernel is asked for; else the mounts and the version",
    remedy: "boot with cgroup_no_v1=net_cls,net_prio", probes: [.sockets]
  ) { host, results in judgeSocketOwnership(host, results) },
  Check(
    "bpffs", .host, requires: "a BPF file system at /sys/fs/bpf", by: [.agent],
    purpose: "what is enforced is pinned there, so that it outlives the agent",
    method: "the bpf lines of /proc/self/mountinfo", remedy: "mount -t bpf bpf /sys/fs/bpf, or run with --mount-bpffs"
  ) { host, _ in judgeBPFFilesystem(host) },
  Check(
    "btf", .host, requires: "a kernel that describes its types (BTF)", by: [.cgroup],
    purpose: "the programs on tracepoints and sockets find fields by it; the mark view of netfilter does without",
    method: "/sys/kernel/btf/vmlinux", remedy: "use a kernel with CONFIG_DEBUG_INFO_BTF"
  ) { host, _ in judgeBTF(host) },
  Check(
    "jit", .host, requires: "programs that run as machine code", by: [.agent],
    purpose: "interpreted programs cost each packet several times as much",
    method: "/proc/sys/net/core/bpf_jit_enable, or else a program that was loaded",
    remedy: "sysctl -w net.core.bpf_jit_enable=1", probes: [.programs]
  ) { host, results in judgeJIT(host, results) },
  Check(
    "lockdown", .host, requires: "no lockdown for confidentiality", by: [.agent],
    purpose: "under it programs may not read kernel memory: who runs in which cgroup cannot be followed",
    method: "/sys/kernel/security/lockdown, and whether programs load that read kernel memory",
    remedy: "boot without lockdown=confidentiality", probes: [.programs]
  ) { host, results in judgeLockdown(host, results) },
  Check(
    "lsm", .host, requires: "nothing: the list of security modules is shown because they can refuse bpf(2)",
    by: [.published], purpose: "a policy of SELinux or AppArmor that confines the agent may refuse what root may do",
    method: "/sys/kernel/security/lsm", remedy: "allow the agent bpf, net_admin and sys_admin in that policy"
  ) { host, _ in judgeSecurityModules(host) },
  Check(
    "unprivileged-bpf", .host, requires: "bpf(2) refused to users without privileges", by: [.agent],
    purpose: "nobody but root should be able to load programs beside those that enforce",
    method: "/proc/sys/kernel/unprivileged_bpf_disabled", remedy: "sysctl -w kernel.unprivileged_bpf_disabled=1"
  ) { host, _ in judgeUnprivilegedBPF(host) },
  Check(
    "limits", .host, requires: "4,096 open files, and locked memory without limit before kernel 5.11", by: [.agent],
    purpose: "the agent holds descriptors for cgroups and programs; older kernels charge maps to RLIMIT_MEMLOCK",
    method: "/proc/self/limits", remedy: "LimitNOFILE= and LimitMEMLOCK= of the unit, or ulimit in the shell"
  ) { host, _ in judgeLimits(host) },
]

private func judgeKernel(_ host: HostView, _ results: ProbeResults) -> Finding {
  let how = "/proc/sys/kernel/osrelease"
  guard case .seen(let release) = host.release else {
    return .unknown(host.release.obstacle ?? "there is no such file", how: how)
  }
  let version = host.kernelVersion
  guard version.count == 2 else { return .unknown("\(release) is no version of Linux", how: how) }
  guard version.lexicographicallyPrecedes([5, 10]) else { return .pass(release, how: how) }
  if let trials = results.programs.value, trials.contains(where: { $0.object == "cgroup" && $0.isLoaded }) {
    return .pass("\(release): older than 5.10, and it takes the programs all the same", how: how + ", and bpf.programs")
  }
  let row = host.distribution.value?.row
  return .warn(
    release, how: how,
    meaning: "older than any kernel that Sallyport was tried on; bpf.programs says what it really takes",
    remedy: row?.newerKernel ?? "install a kernel of 5.10 or later", commands: row?.kernelCommand.map { [$0] } ?? [])
}

/// Where cgroups are mounted, as `run` needs them.
func judgeCgroups(_ host: HostView) -> Finding {
  let how = "/proc/self/mountinfo"
  guard case .seen(let text) = host.text("/proc/self/mountinfo") else {
    return .unknown(host.text("/proc/self/mountinfo").obstacle ?? "it is not there", how: how, remedy: "mount /proc")
  }
  let mountinfo = Array(text.utf8)
  let mount = try? CgroupHierarchy.find(mountinfo: mountinfo).mount
  let place = mount.map { $0.mountPoint.string + ($0.root == "/" ? "" : ", which shows \($0.root)") } ?? ""
  switch CgroupLayout.parse(mountinfo: mountinfo) {
  case .v2: return .pass("version 2 alone, at \(place)", how: how)
  case .hybrid: return .pass("hybrid: version 2 at \(place), controllers in version 1", how: how)
  case .v1(let mounts, let mirror):
    let kernelHasIt = host.text("/proc/filesystems").value.map { $0.contains("cgroup2") }
    if kernelHasIt == false {
      return .fail(
        "version 1 alone, in \(mounts.count) hierarchies", how: how + ", /proc/filesystems",
        meaning: "this kernel has no cgroup2 at all", remedy: "use kernel 4.5 or later")
    }
    return .warn(
      "version 1 alone, in \(mounts.count) hierarchies" + (mirror.map { "; mirrored at \($0.mountPoint)" } ?? ""),
      how: how,
      meaning:
        "`sallyport run` mounts version 2 for itself and mirrors processes there: a new process is policed only once "
        + "it has been moved", remedy: "boot with systemd.unified_cgroup_hierarchy=1 where the distribution can")
  case .none:
    return .fail(
      "no cgroup hierarchy is mounted", how: how, meaning: "there is nothing that a workload could be",
      remedy: "mount version 2, or run where the host's cgroups are visible",
      commands: ["mount -t cgroup2 none /sys/fs/cgroup"])
  }
}

private func judgeSocketOwnership(_ host: HostView, _ results: ProbeResults) -> Finding {
  switch results.sockets {
  case .seen(nil): return .pass("a socket belongs to the cgroup that made it", how: "tried in a scratch cgroup")
  case .seen(let refusal?):
    return .fail(
      refusal.reason, how: "tried in a scratch cgroup",
      meaning: "this kernel gives new sockets to the root cgroup: no program on a cgroup sees them",
      remedy: refusal.remedy)
  case .absent, .unseen: break
  }
  let how = "/proc/sys/kernel/osrelease, /proc/self/mountinfo"
  let version = host.kernelVersion
  guard version.count == 2 else {
    return .unknown(results.sockets.obstacle ?? "the kernel's version is not known", how: how)
  }
  guard version.lexicographicallyPrecedes([5, 15]) else {
    return .pass("since 5.15 the two do not touch each other", how: how)
  }
  guard let text = host.text("/proc/self/mountinfo").value else {
    return .unknown(host.text("/proc/self/mountinfo").obstacle ?? "no mountinfo", how: how)
  }
  let used = CgroupV1Mount.parse(mountinfo: Array(text.utf8)).flatMap(\.names).filter { $0.hasPrefix("net_") }
  guard !used.isEmpty else { return .pass("neither is mounted", how: how) }
  return .warn(
    "\(used.sorted().joined(separator: " and ")) mounted, on a kernel before 5.15", how: how,
    meaning:
      "once a class is set there, new sockets belong to the root cgroup and are policed no more (some kernels have "
      + "the change of 5.15 carried back: run this as root, and it is tried)",
    remedy: "boot with cgroup_no_v1=net_cls,net_prio, or use kernel 5.15 or later")
}

/// Whether pins have a place, as `run` needs it.
func judgeBPFFilesystem(_ host: HostView) -> Finding {
  let how = "/proc/self/mountinfo"
  guard let mounts = host.mounts.value else {
    return .unknown(host.mounts.obstacle ?? "it is not there", how: how, remedy: "mount /proc")
  }
  let found = mounts.filter { $0.type == "bpf" }
  if found.contains(where: { $0.mountPoint == BPFFilesystem.standard.path }) {
    return .pass("mounted at \(BPFFilesystem.standard.path)", how: how)
  }
  let elsewhere = found.first.map { ", but at \($0.mountPoint)" } ?? ""
  return .fail(
    "no BPF file system at \(BPFFilesystem.standard.path)\(elsewhere)", how: how,
    meaning: "programs and maps have no place to be pinned: enforcement could not outlive the agent",
    remedy: "mount it, or run with --mount-bpffs", repairs: [.mountBPF(BPFFilesystem.standard.path)])
}

private func judgeBTF(_ host: HostView) -> Finding {
  let path = "/sys/kernel/btf/vmlinux"
  switch host.names("/sys/kernel") {
  case .unseen(let why): return .unknown(why, how: path)
  case .absent: return .unknown("no /sys is mounted", how: path, remedy: "mount -t sysfs sysfs /sys")
  case .seen where host.isThere(path): return .pass("\(path) is there", how: path)
  case .seen:
    return .warn(
      "\(path) is not there", how: path,
      meaning: "the cgroup datapath does not load; netfilter takes the mark view, and new cgroups are seen by inotify",
      remedy: "use a kernel with CONFIG_DEBUG_INFO_BTF=y: those of current distributions have it")
  }
}

private func judgeJIT(_ host: HostView, _ results: ProbeResults) -> Finding {
  let path = "/proc/sys/net/core/bpf_jit_enable"
  switch host.text(path) {
  case .unseen(let why): return .unknown(why, how: path, remedy: "look as root")
  case .absent:
    // Network namespaces other than the first do not show it (net/core/sysctl_net_core.c): a loaded program tells.
    let how = "bpf(BPF_PROG_LOAD); \(path) is not there"
    guard let program = results.programs.value?.first(where: \.isLoaded)?.programs.first else {
      return .unknown("\(path) is not there, as in every network namespace but the host's", how: path)
    }
    if program.isCompiled { return .pass("programs are compiled", how: how) }
    return .warn(
      "programs are interpreted", how: how, meaning: "every packet costs several times as much",
      remedy: "use a kernel with CONFIG_BPF_JIT=y, and look in the host's network namespace")
  case .seen(let text) where text.trimmed == "0":
    return .warn(
      "0: programs are interpreted", how: path, meaning: "every packet costs several times as much",
      remedy: "switch the compiler on", repairs: [.setKernelParameter(path: path, value: "1")])
  case .seen(let text): return .pass("\(text.trimmed): programs are compiled", how: path)
  }
}

private func judgeLockdown(_ host: HostView, _ results: ProbeResults) -> Finding {
  let path = "/sys/kernel/security/lockdown"
  // The verifier refuses them under confidentiality (bpf_base_func_proto() in kernel/bpf/helpers.c).
  let reads = results.programs.value?.contains { $0.object == "workload" && $0.isLoaded } ?? false
  if reads, host.text(path).value == nil {
    return .pass("programs that read kernel memory load", how: "bpf(BPF_PROG_LOAD); \(path) cannot be read")
  }
  switch host.text(path) {
  case .unseen(let why): return .unknown(why, how: path, remedy: "look as root")
  case .absent:
    guard host.names("/sys/kernel/security").value?.isEmpty == false else {
      return .unknown(
        "securityfs is not mounted", how: path, remedy: "mount -t securityfs securityfs /sys/kernel/security")
    }
    return .pass("this kernel has none", how: path)
  case .seen(let text):
    guard let open = text.firstIndex(of: "[") else {
      return .unknown("'\(text.trimmed)' marks no mode", how: path)
    }
    let mode = text[text.index(after: open)...].prefix { $0 != "]" }
    guard mode == "confidentiality" else { return .pass(String(mode), how: path) }
    return .fail(
      "confidentiality", how: path,
      meaning: "programs may not read kernel memory: new processes and cgroups cannot be followed by tracepoints",
      remedy: "boot with lockdown=integrity or without lockdown=")
  }
}

private func judgeSecurityModules(_ host: HostView) -> Finding {
  let path = "/sys/kernel/security/lsm"
  switch host.text(path) {
  case .unseen(let why): return .unknown(why, how: path)
  case .absent:
    return .unknown(
      "securityfs is not mounted", how: path, remedy: "mount -t securityfs securityfs /sys/kernel/security")
  case .seen(let text):
    let enforcing = host.text("/sys/fs/selinux/enforce").value?.trimmed == "1"
    return .pass(text.trimmed + (enforcing ? "; SELinux enforces" : ""), how: path)
  }
}

private func judgeUnprivilegedBPF(_ host: HostView) -> Finding {
  let path = "/proc/sys/kernel/unprivileged_bpf_disabled"
  switch host.text(path) {
  case .unseen(let why): return .unknown(why, how: path)
  case .absent: return .unknown("\(path) is not there", how: path)
  case .seen(let text) where text.trimmed == "0":
    return .warn(
      "0: any user may load programs", how: path, meaning: "a user's program can look for weaknesses of the verifier",
      remedy: "refuse it", repairs: [.setKernelParameter(path: path, value: "1")])
  case .seen(let text): return .pass("\(text.trimmed): refused", how: path)
  }
}

private func judgeLimits(_ host: HostView) -> Finding {
  let path = "/proc/self/limits"
  guard case .seen(let text) = host.text(path) else {
    return .unknown(host.text(path).obstacle ?? "\(path) is not there", how: path)
  }
  /// The hard limit, which the agent raises itself to; nil = unlimited.
  func hard(_ name: String) -> Int? {
    let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
    return line?.dropFirst(name.count).split(separator: " ").dropFirst().first.flatMap { Int($0) }
  }
  let files = hard("Max open files")
  let locked = hard("Max locked memory")
  let found =
    "open files \(files.map(String.init) ?? "unlimited"), locked memory \(locked.map { "\($0 >> 10) KiB" } ?? "unlimited")"
  let version = host.kernelVersion
  let needsMemory = version.count == 2 && version.lexicographicallyPrecedes([5, 11])
  var lines: [String] = []
  if let files, files < 4096 { lines.append("LimitNOFILE=65536") }
  // CAP_SYS_RESOURCE raises any hard limit.
  let raises = host.capabilities.value.map { $0.effective >> Capability.sysResource.rawValue & 1 == 1 } ?? false
  if needsMemory, let locked, locked < 1 << 30, !raises { lines.append("LimitMEMLOCK=infinity") }
  guard !lines.isEmpty else { return .pass(found, how: path) }
  let file = "/etc/systemd/system/sallyport.service.d/50-limits.conf"
  let repair = Repair.writeUnitDropIn(path: file, text: "[Service]\n\(lines.joined(separator: "\n"))\n")
  if case .seen(let kept) = host.lines(file), lines.allSatisfy({ kept.contains(Substring($0)) }) {
    return .warn(
      "\(found); \(file) raises them for the unit", how: path,
      meaning: "an agent that is started from here, and not by systemd, has no more than this process",
      remedy: "start it by its unit, or raise them with ulimit first")
  }
  return .fail(
    found, how: path,
    meaning:
      "the agent would run out of \(lines.count > 1 ? "both" : lines[0].hasSuffix("y") ? "locked memory" : "files")",
    remedy: "raise them in the unit, or with ulimit before the agent is started", repairs: [repair])
}
