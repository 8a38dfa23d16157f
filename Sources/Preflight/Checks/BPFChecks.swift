// What this kernel takes of BPF, found by loading and attaching and never by its version.
internal import BPF
internal import Enforcement

/// The checks of programs, hooks, helpers and maps.
let bpfChecks: [Check] =
  [
    programs("cgroup", [.cgroup], "the programs of the cgroup datapath"),
    programs("netfilter", [.netfilter], "the programs that rules of iptables run, in the exact or else the mark view"),
    programs(
      "workload", [.published], "the programs on tracepoints that tell of cgroups and processes; else inotify does"),
  ] + HookTrial.hooks.map(hook) + [
    Check(
      "maps", .bpf, requires: "every kind of map that the programs keep", by: [.cgroup, .netfilter],
      purpose: "policy, identities and flows are in maps", method: "the smallest map of each kind is made",
      remedy: "use a newer kernel", probes: [.features, .programs]
    ) { _, results in judge(results.features.map(\.maps), "kinds of maps", how: "bpf(BPF_MAP_CREATE)", results) },
    Check(
      "helpers", .bpf, requires: "every helper that the programs call", by: [.cgroup, .netfilter],
      purpose: "what programs ask of the kernel; some are used only where they are there",
      method: "a program of each kind that calls it is loaded, for each call found in the objects of this binary",
      remedy: "use a newer kernel", probes: [.features, .programs]
    ) { _, results in judge(results.features.map(\.helpers), "helpers", how: "bpf(BPF_PROG_LOAD)", results) },
  ]

// MARK: Programs

private func programs(_ object: String, _ features: [Purpose], _ purpose: String) -> Check {
  Check(
    "programs-\(object)", .bpf, requires: "a kernel that takes \(purpose)", by: features, purpose: purpose,
    method: "every program is loaded, with fewer and fewer optional features until the kernel takes them",
    remedy: "see `sallyport probe --programs` for what the verifier says; use a newer kernel", probes: [.programs]
  ) { host, results in judgePrograms(object, isVital: features != [.published], host, results) }
}

private func judgePrograms(
  _ object: String, isVital: Bool, _ host: HostView, _ results: ProbeResults
) -> Finding {
  let how = "bpf(BPF_PROG_LOAD)"
  guard case .seen(let all) = results.programs else {
    return .unknown(results.programs.obstacle ?? "nobody tried", how: how, remedy: "look as root")
  }
  // The netfilter datapath has a second object, for kernels that do not take the first.
  let trials = all.filter { $0.object == object || object == "netfilter" && $0.object == "netfilter-mark" }
  let refusals = trials.flatMap { trial in
    trial.programs.compactMap { program in program.refusal.map { "\(program.name) (\(trial.object)): \($0)" } }
  }
  if let taken = trials.first(where: \.isLoaded) {
    let interpreted = taken.programs.filter { !$0.isCompiled }
    let view = taken.object == "netfilter-mark" ? ", in the mark view" : ""
    let features = taken.features.isEmpty ? "" : " with \(taken.features.joined(separator: ", "))"
    let found = "\(taken.programs.count) of \(taken.programs.count) loaded\(view)\(features)"
    guard interpreted.isEmpty else {
      return .warn(
        "\(found), \(interpreted.count) interpreted", how: how, meaning: "every packet costs several times as much",
        remedy: "see host.jit", details: refusals)
    }
    return .pass(found, how: how, details: refusals)
  }
  let first = refusals.first ?? "there is no such object"
  // libbpf finds the kernel's types there: without it what they are needed for does not load anywhere.
  if host.names("/sys/kernel").value == nil {
    let why = host.names("/sys/kernel").obstacle ?? "there is no /sys/kernel"
    return .unknown(
      "\(why), and programs find the kernel's types there: \(first)", how: how, remedy: "mount -t sysfs sysfs /sys")
  }
  let tried = results.features.value.map { $0.helpers + $0.maps } ?? []
  let missing = tried.filter { if case .unsupported = $0.support { true } else { false } }.map(\.name)
  let newer = host.distribution.value?.row?.newerKernel ?? "use a kernel of 5.10 or later"
  guard isVital else {
    return .warn(
      first, how: how, meaning: "new cgroups are seen by inotify, and processes by looking again and again",
      remedy: newer, details: refusals)
  }
  return .fail(
    first, how: how,
    meaning: "the \(object) datapath does not work on this kernel"
      + (missing.isEmpty ? "" : ", which lacks \(missing.prefix(3).joined(separator: ", "))"), remedy: newer,
    commands: ["sallyport probe --programs --all"], details: refusals)
}

// MARK: Hooks

private func hook(_ hook: AttachType) -> Check {
  Check(
    "hook-\(hook.name)", .bpf, requires: "the hook \(hook.name) of cgroups", by: [.cgroup],
    purpose: "the cgroup datapath has a program there",
    method: "the smallest program of its kind is loaded, and attached to a scratch cgroup",
    remedy: "use a newer kernel, or detach what excludes others: `bpftool cgroup tree`", probes: [.hooks]
  ) { _, results in
    let how = "bpf(BPF_LINK_CREATE) on a scratch cgroup"
    guard case .seen(let trials) = results.hooks else {
      return .unknown(results.hooks.obstacle ?? "nobody tried", how: how, remedy: "look as root")
    }
    guard let trial = trials.first(where: { $0.hook == hook }) else { return .unknown("it was not tried", how: how) }
    switch (trial.load, trial.attach) {
    case (.inconclusive(let reason), _), (_, .inconclusive(let reason)?):
      return .unknown(
        reason, how: how,
        remedy: "look as root; a program above that excludes others is named by neighbour.cgroup-programs")
    case (.unsupported(let reason), _):
      return .fail(reason, how: how, meaning: "the cgroup datapath cannot be attached", remedy: "use a newer kernel")
    case (.supported, .unsupported(let reason)?):
      return .fail(
        reason, how: how, meaning: "the cgroup datapath cannot be attached",
        remedy: "use kernel 5.7 or later, which has links")
    case (.supported, nil):
      return .unknown(
        "it loads; there is no cgroup v2 here to attach it to", how: how, remedy: "mount -t cgroup2 none /sys/fs/cgroup"
      )
    case (.supported, .supported?): return .pass("loaded and attached", how: how)
    }
  }
}

// MARK: Helpers and maps

private func judge(_ look: Look<[FeatureTrials.Trial]>, _ what: String, how: String, _ results: ProbeResults) -> Finding
{
  guard case .seen(let trials) = look else {
    return .unknown(look.obstacle ?? "nobody tried", how: how, remedy: "look as root")
  }
  let missing = trials.filter { if case .unsupported = $0.support { true } else { false } }
  let unclear = trials.filter { if case .inconclusive = $0.support { true } else { false } }
  let details = trials.map { "\($0.name): \($0.support.reason ?? "there")" }
  let found = "\(trials.count - missing.count - unclear.count) of \(trials.count) \(what)"
  if missing.isEmpty, unclear.isEmpty { return .pass(found, how: how, details: details) }
  let names = (missing + unclear).map(\.name)
  let list = names.prefix(4).joined(separator: ", ") + (names.count > 4 ? " and \(names.count - 4) more" : "")
  if missing.isEmpty {
    return .unknown("\(found); not known: \(list)", how: how, remedy: unclear.first?.support.reason ?? "")
  }
  // What programs do without is no fault, and only loading them tells.
  guard case .seen(let programs) = results.programs else {
    return Finding(
      outcome: .unknown, found: "\(found); missing: \(list); whether programs load without was not seen", how: how,
      remedy: "give it longer: --timeout 60", details: details)
  }
  let loads = ["cgroup", "netfilter"].filter { object in
    programs.contains { $0.object.hasPrefix(object) && $0.isLoaded }
  }
  if !loads.isEmpty {
    return Finding(
      outcome: loads.count == 2 ? .pass : .warn, found: "\(found); without: \(list)", how: how,
      meaning: "the programs of \(loads.joined(separator: " and ")) load without them", details: details)
  }
  return .fail(
    "\(found); missing: \(list)", how: how, meaning: "programs that need them do not load",
    remedy: "use a newer kernel", details: details)
}
