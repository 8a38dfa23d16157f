// The tools of the published list, and those that other checks use.

/// The checks of programs and libraries.
let toolChecks: [Check] = [
  tool(.iptables, [.netfilter], "writes the rules of the netfilter datapath; the cgroup datapath does without"),
  tool(.ip6tables, [.netfilter], "the same for IPv6"),
  tool(.ipset, [.published], "sets of addresses: Sallyport keeps them in its own maps"),
  tool(.conntrack, [.published], "shows and ends tracked connections by hand: Sallyport asks the kernel itself"),
  tool(.libelf, [.agent], "reads the prebuilt programs (elfutils)"),
  tool(.modprobe, [.published], "loads the modules that rules of iptables need, when the kernel asks for them"),
]

private func tool(_ tool: Tool, _ features: [Purpose], _ purpose: String) -> Check {
  Check(
    tool.rawValue, .tool, requires: tool == .libelf ? "libelf of elfutils" : "the program \(tool.rawValue)",
    by: features,
    purpose: purpose,
    method: tool == .libelf
      ? "/proc/self/maps: the library that this process has loaded"
      : "looked for where root looks, and asked for its version",
    remedy: "install \(tool.debian) (Debian), \(tool.redHat) (RHEL) or \(tool.suse) (SLES)", probes: [.tools]
  ) { host, results in
    let how = tool == .libelf ? "/proc/self/maps" : "\(tool.rawValue) --version"
    switch results.tools {
    case .unseen(let why): return .unknown(why, how: how)
    case .absent: return .unknown("nobody looked", how: how)
    case .seen(let tools):
      let isVital = features.contains(.netfilter)
      if let fact = tools[tool] {
        guard let fault = fact.fault else { return .pass("\(fact.version) (\(fact.path))", how: how) }
        return Finding(
          outcome: isVital ? .fail : .warn, found: "\(fact.path) is there, and cannot be run: \(fault)", how: how,
          meaning: isVital ? "there is no netfilter datapath without it: \(purpose)" : purpose,
          remedy: "run `\(fact.path) --version` by hand, and install the package anew",
          commands: ["\(fact.path) --version"])
      }
      return Finding(
        outcome: isVital ? .fail : .warn, found: "not installed", how: how,
        meaning: isVital ? "there is no netfilter datapath without it: \(purpose)" : purpose,
        remedy: "install it", commands: host.packageFamily.install(tool).map { [$0] } ?? [])
    }
  }
}
