// Reads and changes what an instance has in the filter tables of a network namespace, one family and variant at a time.
internal import Kernel

/// The chains of one instance, and the jumps to them.
struct RuleEditor: Sendable {
  let chains: NetfilterChains
  let tools: Iptables

  // MARK: Reading

  func tables(of namespace: NetworkNamespace) throws(DatapathError) -> PacketFilterTables {
    do throws(KernelError) {
      return try PacketFilterTables.read(in: namespace)
    } catch {
      throw DatapathError("read packet filters of", namespace.description, underlying: error, remedy: error.remedy)
    }
  }

  /// Whether something of ours can be in a variant's table; without it nothing is asked that could have an effect.
  func mayHold(_ family: IPFamily, _ backend: IptablesBackend, _ tables: PacketFilterTables) -> Bool {
    switch backend {
    case .nft: return chains.all.contains { tables.hasFilterChain($0, family) }
    case .legacy:
      // Without the program nobody here has put anything there.
      return tables.legacy[family]?.contains("filter") == true && tools.program(family, backend, .save) != nil
    }
  }

  /// What this instance has in a family's filter table.
  func own(
    _ family: IPFamily, _ backend: IptablesBackend, in namespace: NetworkNamespace, _ tables: PacketFilterTables? = nil
  ) throws(DatapathError) -> OwnRules {
    let tables = if let tables { tables } else { try self.tables(of: namespace) }
    guard mayHold(family, backend, tables) else { return OwnRules() }
    return OwnRules(of: chains, in: FilterTable(saved: try tools.save(family, backend, in: namespace)))
  }

  // MARK: Changing

  /// Leads one family's rules of this instance to `wanted`, whatever is there; returns what was there.
  @discardableResult
  func change(
    _ family: IPFamily, _ backend: IptablesBackend, in namespace: NetworkNamespace, to wanted: OwnRules
  ) throws(DatapathError) -> OwnRules {
    var before = try own(family, backend, in: namespace)
    // A transaction names the jumps as they were read: somebody may have changed them since.
    for attempt in 1... {
      if before == wanted { return before }
      do throws(DatapathError) {
        try tools.restore(before.transaction(to: wanted), family, backend, in: namespace)
        return before
      } catch {
        let now = try own(family, backend, in: namespace)
        guard attempt < 4, now != before else { throw error }
        before = now
      }
    }
    return before
  }

  /// Takes out everything, in either variant; whether there was something.
  @discardableResult
  func remove(from namespace: NetworkNamespace) throws(DatapathError) -> Bool {
    let tables = try tables(of: namespace)
    var removed = false
    for backend in IptablesBackend.allCases {
      if try remove(backend, from: namespace, tables) { removed = true }
    }
    return removed
  }

  /// The same for one variant.
  @discardableResult
  func remove(
    _ backend: IptablesBackend, from namespace: NetworkNamespace, _ tables: PacketFilterTables
  ) throws(DatapathError) -> Bool {
    var removed = false
    for family in IPFamily.allCases where mayHold(family, backend, tables) {
      if !(try change(family, backend, in: namespace, to: OwnRules())).isEmpty { removed = true }
    }
    return removed
  }
}
