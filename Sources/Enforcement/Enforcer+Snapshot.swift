// The enforcer's state as readers see it.

internal import Kernel
internal import Logging
internal import Policy

extension Enforcer {
  /// The state in force, for readers; it is also in the state directory.
  public var snapshot: Snapshot {
    var out = Snapshot()
    out.pid = ProcessID.current.rawValue
    out.cgroup = cgroup
    out.pins = datapath.pins
    out.generation = shadow.generation
    out.attached = isAttached
    out.workloads = roster.members.values.map(\.instance).sorted { $0.path < $1.path }
    let reserved = [IdentityNumber.unknown, .host, .world].compactMap { number in
      number.reservedLabels.map { (number, $0) }
    }
    out.identities = (reserved + allocator.named.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }).map {
      number, labels in
      Snapshot.NumberedIdentity(
        number: number.rawValue, identity: labels.identity.description, labels: labels.dictionary)
    }
    if let tables = compiled?.tables {
      out.rules = tables.rules.enumerated().map { Snapshot.NumberedRule(number: UInt32($0.offset + 1), $0.element) }
      out.externals = tables.externals.sorted { $0.key < $1.key }.map {
        Snapshot.NumberedNetworks(number: $0.key.rawValue, networks: $0.value)
      }
      out.cells = tables.cells.count
    }
    out.sources = sources
    out.cellLimit = datapath.limits.cells
    out.failures = failures
    out.lastError = lastError
    out.warnings = warnings
    return out
  }

  /// Writes the snapshot; a failure is logged and changes nothing, because the kernel is the database.
  func writeSnapshot() {
    guard let state else { return }
    do throws(DatapathError) {
      if isDetached { return try Snapshot.remove(state.snapshot) }
      try snapshot.write(to: state.snapshot)
    } catch {
      logger.error("\(error)")
    }
  }
}

extension Snapshot.NumberedRule {
  init(number: UInt32, _ rule: RuleReference) {
    self.init(
      number: number, ruleSet: rule.ruleSet, direction: rule.direction.description, position: rule.position,
      name: rule.name, action: rule.action.description, mode: rule.mode.description,
      source: rule.source.description)
  }
}
