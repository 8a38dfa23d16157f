// Puts an instance's rules into network namespaces, looks whether they are there, and takes them out again.
internal import Kernel

/// Whether the rules of an instance are in force in a namespace.
enum NetfilterState: Equatable, Sendable {
  /// All of them, in their places.
  case intact
  /// Something is missing, changed or no longer first; in words.
  case missing(String)
  /// They are those of another version of the programs.
  case foreign(version: String)
}

/// Where the rules of a namespace are.
struct NetfilterPlacement: Equatable, Sendable {
  let backend: IptablesBackend
  /// Nothing but IPv4 if the kernel has no IPv6: then nobody can use it.
  let families: [IPFamily]
}

/// The rules of one instance in whichever namespaces it is asked for.
///
/// It remembers nothing: what is there is read each time. Every change is one transaction for a family; when the second
/// family's fails, the first one's is taken back.
final class NetfilterRules: Sendable {
  let ruleset: NetfilterRuleset
  let settings: NetfilterSettings
  let tools: Iptables
  /// IPv4, and IPv6 where the kernel has it.
  let families: [IPFamily]
  private let editor: RuleEditor

  init(
    _ ruleset: NetfilterRuleset, settings: NetfilterSettings = NetfilterSettings(), tools: Iptables = Iptables(),
    families: [IPFamily] = IPFamily.allCases.filter(\.isThere)
  ) {
    self.ruleset = ruleset
    self.settings = settings
    self.tools = tools
    self.families = families
    editor = RuleEditor(chains: ruleset.chains, tools: tools)
  }

  // MARK: Installing

  /// Puts the rules in place, in the place of what this instance had there before; does nothing if they are there.
  ///
  /// Rules of another version, or in tables of the other variant, enforce until these do. On failure everything is as it
  /// was before, unless the error says otherwise.
  @discardableResult
  func install(in namespace: NetworkNamespace) throws(DatapathError) -> NetfilterPlacement {
    if let (path, reason) = ruleset.unwritableSource {
      throw DatapathError("write rule for", path, reason: reason, remedy: "give the workload another cgroup")
    }
    let tables = try editor.tables(of: namespace)
    if case .marked(_, let mask, _) = ruleset.source { try requireFreeMarks(mask, in: namespace, tables) }
    var failure: DatapathError?
    for backend in try backends {
      do throws(DatapathError) {
        try install(backend, in: namespace)
      } catch {
        // The first is the one that was wanted; the others are for kernels that do not have it.
        failure = failure ?? error
        continue
      }
      for other in IptablesBackend.allCases where other != backend {
        try editor.remove(other, from: namespace, tables)
      }
      return NetfilterPlacement(backend: backend, families: families)
    }
    throw failure ?? tools.missing(.ipv4, nil)
  }

  private func install(_ backend: IptablesBackend, in namespace: NetworkNamespace) throws(DatapathError) {
    var replaced: [(family: IPFamily, before: OwnRules)] = []
    do throws(DatapathError) {
      for family in families {
        let wanted = ruleset.rules(family)
        replaced.append((family, try editor.change(family, backend, in: namespace, to: wanted)))
        try verify(wanted, family, backend, in: namespace)
      }
    } catch {
      throw takeBack(replaced, backend, in: namespace, after: error)
    }
  }

  /// Reads back what was written: that iptables accepted it does not mean that it is run.
  private func verify(
    _ wanted: OwnRules, _ family: IPFamily, _ backend: IptablesBackend, in namespace: NetworkNamespace
  ) throws(DatapathError) {
    let tables = try editor.tables(of: namespace)
    let now = try editor.own(family, backend, in: namespace, tables)
    if let difference = Self.difference(now, wanted, family) {
      throw DatapathError(
        "verify rules of", namespace.description, reason: "after iptables accepted them, \(difference)",
        remedy: "another program may be changing them, or this version of iptables prints them otherwise")
    }
    if backend == .nft, !tables.isFilterRunning(family) {
      throw DatapathError(
        "verify rules of", namespace.description, reason: Self.notRunning(family),
        remedy: "nft list table \(family == .ipv4 ? "ip" : "ip6") filter shows it; delete that table or wake it")
    }
  }

  /// Undoes what was done for the families before the one that failed; the error then says what is left.
  private func takeBack(
    _ replaced: [(family: IPFamily, before: OwnRules)], _ backend: IptablesBackend, in namespace: NetworkNamespace,
    after failure: DatapathError
  ) -> DatapathError {
    for (family, before) in replaced.reversed() {
      do throws(DatapathError) {
        try editor.change(family, backend, in: namespace, to: before)
      } catch {
        return DatapathError(
          failure.operation, failure.subject,
          reason: "\(failure.reason), and the other family's rules could not be rolled back: \(error.problem)",
          underlying: failure, remedy: failure.remedy)
      }
    }
    return failure
  }

  // MARK: Removing

  /// Takes out what this instance has in a namespace, in either variant.
  func remove(from namespace: NetworkNamespace) throws(DatapathError) {
    try editor.remove(from: namespace)
  }

  // MARK: Looking

  /// Whether the rules are in force; changes nothing, and loads nothing.
  func state(in namespace: NetworkNamespace) throws(DatapathError) -> NetfilterState {
    let tables = try editor.tables(of: namespace)
    let backend = try backend(in: namespace, tables)
    for family in families {
      let now = try editor.own(family, backend, in: namespace, tables)
      for jump in now.jumps {
        guard let version = NetfilterRuleset.version(of: jump), version != ruleset.version else { continue }
        return .foreign(version: version)
      }
      if let difference = Self.difference(now, ruleset.rules(family), family) { return .missing(difference) }
      if backend == .nft, !tables.isFilterRunning(family) { return .missing(Self.notRunning(family)) }
    }
    return .intact
  }

  /// The version of the rules that are called in a namespace; nil unless each family's jumps are there.
  ///
  /// For who does not know what the agent tells in its rules.
  func versionInForce(in namespace: NetworkNamespace) throws(DatapathError) -> String? {
    let tables = try editor.tables(of: namespace)
    let backend = try backend(in: namespace, tables)
    var versions: Set<String> = []
    for family in families {
      let own = try editor.own(family, backend, in: namespace, tables)
      guard Set(own.jumps.map(\.chain)).isSuperset(of: NetfilterChains.builtIn) else { return nil }
      if backend == .nft, !tables.isFilterRunning(family) { return nil }
      versions.formUnion(own.jumps.compactMap { NetfilterRuleset.version(of: $0) })
    }
    return versions.count == 1 ? versions.first : nil
  }

  /// That what is there is not run: nft(8) can switch a table off, or have chains of these names that no hook calls.
  private static func notRunning(_ family: IPFamily) -> String {
    "the rules for \(family == .ipv4 ? "IPv4" : "IPv6") are there, but the table filter is dormant or not hooked"
  }

  /// How what is there differs from what is to be there; nil if it does not.
  private static func difference(_ now: OwnRules, _ wanted: OwnRules, _ family: IPFamily) -> String? {
    let protocolName = family == .ipv4 ? "IPv4" : "IPv6"
    if now.isEmpty { return "there are no rules for \(protocolName)" }
    for (name, rules) in wanted.chains {
      guard let found = now.chains.first(where: { $0.name == name }) else {
        return "the chain \(name) of \(protocolName) is missing"
      }
      if let lost = rules.first(where: { !found.rules.contains($0) }) {
        return "the rule '\(lost)' of \(protocolName) is missing"
      }
      if let strange = found.rules.first(where: { !rules.contains($0) }) {
        return "the chain \(name) of \(protocolName) has a rule that is not ours: '\(strange)'"
      }
      if found.rules != rules { return "the rules of the chain \(name) of \(protocolName) are in another order" }
    }
    for jump in wanted.jumps where !now.jumps.contains(jump) {
      let isThere = now.jumps.contains { $0.chain == jump.chain && $0.rule == jump.rule }
      return isThere
        ? "other rules come before ours in \(jump.chain) of \(protocolName)"
        : "the jump in \(jump.chain) of \(protocolName) is missing"
    }
    return now == wanted ? nil : "there are more rules of ours for \(protocolName) than there should be"
  }

  // MARK: Marks

  /// Throws if a rule of others uses bits of `mask`, in any table of either variant.
  private func requireFreeMarks(
    _ mask: UInt32, in namespace: NetworkNamespace, _ tables: PacketFilterTables
  ) throws(DatapathError) {
    for family in families {
      for backend in IptablesBackend.allCases {
        let isUsed = backend == .nft ? tables.hasChains(of: family) : tables.legacy[family]?.isEmpty == false
        guard isUsed, tools.program(family, backend, .save) != nil else { continue }
        let saved = try tools.save(family, backend, in: namespace, table: nil)
        guard let rule = MarkConflicts(mask: mask).rule(in: saved) else { continue }
        throw DatapathError(
          "use mark bits 0x\(String(mask, radix: 16)) in", namespace.description,
          reason: "another rule of \(family == .ipv4 ? "iptables" : "ip6tables")-\(backend) uses some of them: \(rule)",
          remedy: "choose a mark mask of bits that nobody uses")
      }
    }
  }

  // MARK: Variants

  /// The variants to try, the best first.
  ///
  /// nf_tables, also where others use ip_tables: each has its own tables, and what either refuses is refused. In ip_tables
  /// every change of a table by anybody looks our pinned programs up again, so it fails for a program that has another
  /// /sys/fs/bpf, as in a container.
  private var backends: [IptablesBackend] {
    get throws(DatapathError) {
      switch settings.variant {
      case .legacy: return [.legacy]
      case .nft: return [.nft]
      case .automatic:
        let installed = [IptablesBackend.nft, .legacy].filter { tools.program(.ipv4, $0, .restore) != nil }
        guard !installed.isEmpty else { throw tools.missing(.ipv4, nil) }
        return installed
      }
    }
  }

  /// The variant whose rules count: the chosen one, else the one that has ours.
  private func backend(
    in namespace: NetworkNamespace, _ tables: PacketFilterTables
  ) throws(DatapathError) -> IptablesBackend {
    let backends = try backends
    for backend in backends {
      for family in families where editor.mayHold(family, backend, tables) {
        if !(try editor.own(family, backend, in: namespace, tables)).isEmpty { return backend }
      }
    }
    return backends.first ?? .nft
  }
}
