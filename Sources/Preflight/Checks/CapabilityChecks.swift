// Each capability, of this process and of what bounds the agent's unit.
internal import Kernel

/// The checks of capabilities(7), one each.
let capabilityChecks: [Check] = [
  capability(
    .sysPtrace, [.agent], "reads /proc/PID/root, exe and ns of every process: without it workloads are not classified"),
  capability(
    .netAdmin, [.agent], "attaches programs, changes iptables, cuts live flows: without it nothing can be enforced"),
  capability(
    .netRaw, [.netfilter], "raw sockets: iptables itself and the diagnostic ping; the cgroup datapath does without"),
  capability(
    .sysResource, [.published],
    "raises resource limits: needed before kernel 5.11 alone, where maps are charged to them",
    isVital: false),
  capability(.sysAdmin, [.agent], "mounts bpffs and cgroup2, enters network namespaces, opens programs by number"),
  capability(.bpf, [.agent], "makes maps and loads programs (before kernel 5.8 CAP_SYS_ADMIN does)"),
  capability(.perfmon, [.agent], "lets programs read kernel memory, as those on tracepoints do"),
  capability(
    .sysModule, [.published], "loads the kernel modules below: needed only where one is neither built in nor loaded",
    isVital: false),
  capability(
    .dacReadSearch, [.agent], "opens a cgroup by its number: without it records may lack the workload's name",
    isVital: false),
]

private func capability(
  _ capability: Capability, _ features: [Purpose], _ purpose: String, isVital: Bool = true
) -> Check {
  let word = capability.description.dropFirst("CAP_".count).lowercased().split(separator: "_").joined(separator: "-")
  return Check(
    word, .capability, requires: "\(capability)", by: features, purpose: purpose,
    method:
      "capget(2) and prctl(PR_CAPBSET_READ) of this process, its user namespace; CapabilityBoundingSet= of sallyport.service",
    remedy: "run as root, or add it to AmbientCapabilities= and CapabilityBoundingSet= of the unit"
  ) { host, _ in judge(capability, purpose, isVital: isVital, host) }
}

private func judge(_ capability: Capability, _ purpose: String, isVital: Bool, _ host: HostView) -> Finding {
  let how = "capget(2), prctl(PR_CAPBSET_READ)"
  guard case .seen(let sets) = host.capabilities else {
    return .unknown(host.capabilities.obstacle ?? "the kernel did not say", how: how)
  }
  func has(_ set: UInt64, _ wanted: Capability = capability) -> Bool { set >> wanted.rawValue & 1 == 1 }
  let details = [
    "effective \(has(sets.effective) ? "yes" : "no"), permitted \(has(sets.permitted) ? "yes" : "no"), bounding "
      + (has(sets.bounding) ? "yes" : "no")
  ]
  let effect = purpose.split(separator: ":").last.map { String($0).trimmed } ?? purpose
  let bounded = host.unitBounds.flatMap { unit -> Finding? in
    let isCovered = [.bpf, .perfmon].contains(capability) && unit.names.contains(.sysAdmin)
    guard !unit.names.contains(capability), !isCovered else { return nil }
    return Finding(
      outcome: isVital ? .fail : .warn, found: "\(unit.file) does not grant \(capability)", how: unit.file,
      meaning: effect, remedy: "add \(capability) to CapabilityBoundingSet= there", details: details)
  }
  if has(sets.effective), host.isInUserNamespace == true {
    return Finding(
      outcome: isVital ? .fail : .warn, found: "held in a user namespace, and not in the host's",
      how: "/proc/self/uid_map",
      meaning: "the kernel asks for it in the host's own: \(effect)",
      remedy: "run as root of the host, or in a container that shares the host's user namespace", details: details)
  }
  if has(sets.effective) { return bounded ?? .pass("held", how: how, details: details) }
  if [.bpf, .perfmon].contains(capability), has(sets.effective, .sysAdmin), host.isInUserNamespace != true {
    return bounded ?? .pass("CAP_SYS_ADMIN stands for it", how: how, details: details)
  }
  var finding = Finding(
    outcome: isVital ? .fail : .warn, found: "this process does not have it", how: how, meaning: effect,
    details: details)
  if !has(sets.bounding) {
    finding.found = "this process does not have it, and no program that it starts can"
    finding.remedy =
      "add it to CapabilityBoundingSet= and AmbientCapabilities= of the unit, or to the container's securityContext"
  } else if host.user == 0 {
    finding.remedy = "add it to AmbientCapabilities= of the unit, or start the agent without dropping it"
  } else {
    finding.remedy = "run as root"
    finding.commands = ["sudo sallyport preflight"]
  }
  return finding
}

extension HostView {
  /// What the agent's unit may have at most, and the file that says so.
  struct UnitBounds: Sendable {
    let file: String
    let names: Set<Capability>
  }

  /// `CapabilityBoundingSet=` of sallyport.service and its drop-ins; nil where no file sets it.
  var unitBounds: UnitBounds? {
    let directories = ["/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/system", "/etc/systemd/system"]
    guard asksUnit else { return nil }
    // The last one hides the others.
    var files = directories.map { "\($0)/sallyport.service" }.filter(isThere).suffix(1)
    for directory in directories {
      files += (names("\(directory)/sallyport.service.d").value ?? []).filter { $0.hasSuffix(".conf") }
        .map { "\(directory)/sallyport.service.d/\($0)" }
    }
    var bounds: UnitBounds?
    for file in files {
      for line in lines(file).value ?? [] where line.hasPrefix("CapabilityBoundingSet=") {
        let value = String(line.dropFirst("CapabilityBoundingSet=".count)).trimmed
        // A list that begins with ~ takes away; an empty one begins anew (systemd.exec(5)).
        let isTaken = value.hasPrefix("~")
        let named = Set(value.drop { $0 == "~" }.split(separator: " ").compactMap { Capability(name: String($0)) })
        let before = bounds?.names ?? (isTaken ? Set(Capability.all) : [])
        bounds = UnitBounds(
          file: file, names: value.isEmpty ? [] : isTaken ? before.subtracting(named) : before.union(named))
      }
    }
    return bounds
  }
}
