// Who else works on the same cgroups and packets, and whether both can.
internal import BPF
internal import Kernel

/// The checks of programs that others run.
let neighbourChecks: [Check] = [
  Check(
    "cgroup-programs", .neighbour, requires: "no program on a cgroup that excludes others", by: [.cgroup],
    purpose: "programs that were attached for several run side by side; one that was attached alone refuses ours",
    method: "bpf(BPF_PROG_QUERY) of every cgroup at each hook of the cgroup datapath",
    remedy: "attach that program with BPF_F_ALLOW_MULTI or by a link, or detach it", probes: [.cgroupPrograms]
  ) { _, results in judgeCgroupPrograms(results) },
  Check(
    "firewalls", .neighbour, requires: "nothing: other firewalls are named, and stay as they are", by: [.published],
    purpose: "a packet passes only if every firewall lets it: what Sallyport allows another may still drop",
    method: "the names of nf_tables' chains and of ip_tables' tables, /etc/ufw/ufw.conf, /etc/firewalld, processes",
    remedy: "none is needed; rules of others are neither read nor changed", probes: [.packetFilters]
  ) { host, results in judgeFirewalls(host, results) },
]

private func judgeCgroupPrograms(_ results: ProbeResults) -> Finding {
  let how = "bpf(BPF_PROG_QUERY) of every cgroup"
  guard case .seen(let survey) = results.cgroupPrograms else {
    return .unknown(results.cgroupPrograms.obstacle ?? "nobody looked", how: how, remedy: "look as root")
  }
  let scope = "\(survey.looked) cgroups looked at" + (survey.isComplete ? "" : ", and there are more")
  let details = survey.entries.map { entry in
    "\(entry.cgroup) \(entry.hook) \(entry.mode.rawValue): \(entry.programs.joined(separator: ", "))"
  }
  // Nothing below hinders: a link of ours above goes on running beside it (compute_effective_progs() in kernel/bpf/cgroup.c).
  let excluding = survey.entries.filter { $0.mode == .exclusive }
  if let first = excluding.first {
    return .fail(
      "\(first.programs.joined(separator: ", ")) at \(first.hook) of \(first.cgroup) excludes others", how: how,
      meaning: "nothing of Sallyport can be attached to \(first.cgroup) or below it at that hook (EPERM)",
      remedy: "have its owner attach it with BPF_F_ALLOW_MULTI, or detach it; or enforce on a cgroup beside it",
      commands: ["bpftool cgroup show \(first.cgroup)"], details: details)
  }
  if let first = survey.entries.first(where: { $0.mode == .overridable }) {
    return .warn(
      "\(first.programs.joined(separator: ", ")) at \(first.hook) of \(first.cgroup) gives way to others", how: how,
      meaning: "enforcing below it ends that program there, and nothing can be attached to \(first.cgroup) itself",
      remedy: "have its owner attach it with BPF_F_ALLOW_MULTI", details: details)
  }
  guard survey.isComplete else {
    return Finding(
      outcome: .unknown, found: "none that excludes others so far; \(scope)", how: how,
      remedy: "give it longer: --timeout 60", details: details)
  }
  guard !survey.entries.isEmpty else { return .pass("nobody; \(scope)", how: how) }
  var owners: [String: Int] = [:]
  for name in survey.entries.flatMap(\.programs) {
    owners[CgroupSurvey.owner(of: name) ?? "unknown (\(name))", default: 0] += 1
  }
  let list = owners.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
  return .pass(
    "\(list.prefix(5).joined(separator: ", ")) programs, all beside others; \(scope)", how: how, details: details)
}

private func judgeFirewalls(_ host: HostView, _ results: ProbeResults) -> Finding {
  let how = "chains of nf_tables, tables of ip_tables, files in /etc"
  var found: [String] = []
  if host.text("/etc/ufw/ufw.conf").value?.split(separator: "\n").contains("ENABLED=yes") == true {
    found.append("ufw")
  }
  if host.isThere("/run/firewalld") || host.isThere("/run/firewalld.pid") { found.append("firewalld") }
  guard case .seen(let tables) = results.packetFilters else {
    let obstacle = results.packetFilters.obstacle ?? "nobody looked"
    guard found.isEmpty else { return told(found, how, ["chains unseen: \(obstacle)"]) }
    return .unknown(obstacle, how: how, remedy: "look as root")
  }
  let signs = [
    ("DOCKER", "Docker"), ("KUBE-", "kube-proxy"), ("cali-", "Calico"), ("CILIUM_", "Cilium"), ("ufw-", "ufw"),
    ("f2b-", "fail2ban"), ("LIBVIRT_", "libvirt"), ("CNI-", "a CNI plugin"), ("SP-", "Sallyport"), ("ISTIO_", "Istio"),
    ("netavark", "podman"), ("NETAVARK", "podman"),
  ]
  for chain in tables.chains {
    if chain.table == "firewalld" { found.append("firewalld") }
    for (prefix, owner) in signs where chain.name.hasPrefix(prefix) { found.append(owner) }
  }
  let legacy = tables.legacy.values.reduce(Set<String>()) { $0.union($1) }
  var details = Set(tables.chains.map { "nf_tables: table \($0.table)" }).sorted()
  details += legacy.sorted().map { "ip_tables: table \($0)" }
  if found.isEmpty, !tables.chains.isEmpty { found.append("rules of nf_tables that nobody here knows") }
  if !legacy.isEmpty { found.append("tables of ip_tables (\(legacy.sorted().joined(separator: ", ")))") }
  return told(found, how, details)
}

private func told(_ found: [String], _ how: String, _ details: [String]) -> Finding {
  guard !found.isEmpty else { return .pass("none", how: how, details: details) }
  let names = Set(found).sorted().joined(separator: ", ")
  var finding = Finding.pass("\(names): we coexist", how: how, details: details)
  finding.meaning = "a packet passes only if every one of them lets it"
  return finding
}
