// Each module tried by what it is for: a rule, a set or a filter, in a network namespace that nobody else uses.
internal import Enforcement
internal import Kernel
internal import SystemPackage

extension Probe {
  /// Tries what every module is for.
  ///
  /// Only where that loads nothing: a module that is neither built in nor loaded, but lies on the disk, is left alone, and
  /// its entry is missing. Where no list of modules can be read everything is tried, for nothing else would tell.
  static func rules(_ host: HostView, environment: [String] = []) -> Probe {
    Probe("rules of iptables", within: .seconds(8)) {
      $0.rules = $1
    } _: {
      // Without one of them iptables is refused, whatever the kernel has.
      try Capabilities.require([.sysAdmin, .netAdmin, .netRaw])
      let namespace = try NetworkNamespace.anonymous()
      try namespace.bringLoopbackUp()
      var found: [String: RuleTrial.Outcome] = [:]
      var useless: [String: RuleTrial.Outcome] = [:]
      for module in ModuleRequirement.all where !host.modules.isOnDiskAlone(module.names) {
        let outcome = useless[module.program] ?? module.attempt(in: namespace, host.modules, environment)
        guard let outcome else { continue }
        found[module.name] = outcome
        // A program that hangs, or waits for a lock, would do so for each of them.
        switch outcome {
        case .silent, .unclear: useless[module.program] = outcome
        case .taken, .refused, .noProgram: break
        }
      }
      return found
    }
  }
}

extension ModuleIndex {
  /// Whether a rule in a table can be tried by a variant of iptables without loading what carries its tables.
  fileprivate func mayTry(_ variant: String, _ table: String, _ family: IPFamily) -> Bool {
    let prefix = family == .ipv4 ? "ip" : "ip6"
    var carriers = variant == "nft" ? ["nf_tables", "nft_compat"] : ["\(prefix)_tables", "\(prefix)table_\(table)"]
    if variant == "nft", table == "nat" { carriers.append("nft_chain_nat") }
    return !carriers.contains { isOnDiskAlone([$0]) }
  }
}

extension ModuleRequirement {
  /// Modules that trying it may load besides, by the names of all kernels.
  private var besides: [String] {
    switch name {
    case "xt_limit": ["nft_limit"]
    case "xt_string": ["ts_kmp"]
    case "xt_LOG", "nf_log_common", "nf_log_ipv4": ["nft_log", "nf_log_syslog", "nf_log_common", "nf_log_ipv4"]
    case "xt_set": ["ip_set", "ip_set_hash_net"]
    case "cls_cgroup": ["sch_htb"]
    default: []
    }
  }

  /// What it is tried with.
  fileprivate var program: String {
    switch trial {
    case .rule, .setRule: "iptables"
    case .set: "ipset"
    case .classifier: "tc"
    }
  }

  /// Nil where trying would load something.
  fileprivate func attempt(
    in namespace: NetworkNamespace, _ modules: ModuleIndex, _ environment: [String]
  ) -> RuleTrial.Outcome? {
    guard !besides.contains(where: { modules.isOnDiskAlone([$0]) }) else { return nil }
    switch trial {
    case .rule(let rule, let table, let family, let wanted):
      guard family == .ipv4 || RuleTrial.families.contains(family) else {
        return .noProgram(reason: "this kernel has no IPv6", remedy: nil)
      }
      let variants = (wanted ?? ["nft", "legacy"]).filter { modules.mayTry($0, table, family) }
      guard !variants.isEmpty else { return nil }
      return RuleTrial.attempt(
        rule, table: table, family: family, variants: variants, in: namespace, environment: environment)
    case .set(let words): return Self.makeSet("sp-\(name)", words, in: namespace)
    case .setRule(let rule):
      let made = Self.makeSet("sp-preflight", ["hash:net"], in: namespace)
      guard case .taken = made else { return made }
      let variants = ["nft", "legacy"].filter { modules.mayTry($0, "filter", .ipv4) }
      guard !variants.isEmpty else { return nil }
      return RuleTrial.attempt(rule + " -j ACCEPT", variants: variants, in: namespace, environment: environment)
    case .classifier(let kind):
      let steps = [
        ["qdisc", "add", "dev", "lo", "root", "handle", "1:", "htb"],
        ["filter", "add", "dev", "lo", "parent", "1:", "handle", "1:", kind],
      ]
      var last = RuleTrial.Outcome.noProgram(reason: "tc is not installed", remedy: "install the package iproute2")
      for step in steps {
        last = Self.run("tc", step, in: namespace)
        guard case .taken = last else { return last }
      }
      return last
    }
  }

  private static func makeSet(_ name: String, _ words: [String], in namespace: NetworkNamespace) -> RuleTrial.Outcome {
    run("ipset", ["create", String(name.prefix(31))] + words, in: namespace)
  }

  private static func run(_ name: String, _ words: [String], in namespace: NetworkNamespace) -> RuleTrial.Outcome {
    let paths = RuleTrial.directories.map { "\($0)/\(name)" }
    guard let path = paths.first(where: { isThere($0) }) else {
      return .noProgram(reason: "\(name) is not installed", remedy: "install \(name)")
    }
    do throws(KernelError) {
      let said = try CapturedProcess.run(
        FilePath(path), words, environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"], namespace: namespace,
        within: .seconds(2))
      guard said.status != 0 else { return .taken(variant: name) }
      let words = said.errors.split(separator: "\n").map { String($0).trimmed }.filter { !$0.isEmpty }
      return .refused(reason: "\(name): \(words.joined(separator: " | "))", remedy: nil)
    } catch {
      guard error.errno != .timedOut else { return .silent(reason: "\(path) did not end within 2 s") }
      return .unclear(reason: "\(error.operation) \(path): \(KernelError.describe(error.errno))", remedy: nil)
    }
  }
}
