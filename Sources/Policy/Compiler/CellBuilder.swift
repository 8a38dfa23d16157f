// The cells of one subject class: as few as make the first cell that a lookup finds the right one.

/// The strongest of some rules, where a rule that passes counts as one, in the upper tiers and in the lower ones.
///
/// A rank is smaller the stronger the rule (`RuleRanks`). Merging is taking the smaller, so it may be done in any order;
/// who has the last word is asked at the end: the upper one, or the lower one if the upper one passes or is none. An
/// upper rule that no rule can pass over leaves the lower ones no say: it claims the strongest lower rank as well, so
/// that what it always beats needs no cell.
struct Winners: Equatable {
  static let noRule = UInt32.max

  var upperEnforced = Winners.noRule
  var upperOverall = Winners.noRule
  var lowerEnforced = Winners.noRule
  var lowerOverall = Winners.noRule

  static let none = Winners()

  /// All ranks, for whoever compares them one by one.
  static let parts: [@Sendable (Winners) -> UInt32] = [
    { $0.upperEnforced }, { $0.upperOverall }, { $0.lowerEnforced }, { $0.lowerOverall },
  ]

  init() {}

  /// What one rule says; `isFinal` if it is an upper one that no rule passes over.
  init(rank: UInt32, isUpper: Bool, isFinal: Bool, mode: Mode) {
    let upper = isUpper ? rank : Winners.noRule
    let lower = isFinal ? 0 : isUpper ? Winners.noRule : rank
    (upperOverall, lowerOverall) = (upper, lower)
    if mode == .enforce { (upperEnforced, lowerEnforced) = (upper, lower) }
  }

  mutating func merge(_ other: Winners) {
    upperEnforced = min(upperEnforced, other.upperEnforced)
    upperOverall = min(upperOverall, other.upperOverall)
    lowerEnforced = min(lowerEnforced, other.lowerEnforced)
    lowerOverall = min(lowerOverall, other.lowerOverall)
  }

  func merged(_ other: Winners) -> Winners {
    var out = self
    out.merge(other)
    return out
  }
}

/// A rule with its peers and ports resolved to classes.
struct ResolvedRule {
  let winners: Winners
  let anyPeer: Bool
  /// The selectors among its peers, by number.
  let selectors: [UInt32]
  var peers: [UInt32]
  /// The classes that are no peers of it, where those are few among many; then `peers` is left empty.
  var exceptions: [UInt32]?
  let anyPort: Bool
  let ports: [UInt16]

  /// Takes note of a peer class that was not there when it was resolved; true = cells of that class may say so.
  mutating func add(_ peer: UInt32, matching found: Set<UInt32>) -> Bool {
    if anyPeer { return false }
    let isPeer = selectors.contains(where: found.contains)
    if exceptions == nil, isPeer { peers.append(peer) }
    if exceptions != nil, !isPeer { exceptions?.append(peer) }
    return isPeer == (exceptions == nil)
  }

  /// The same rule where there is no other peer class than this one.
  func restricted(to peer: UInt32) -> ResolvedRule {
    var rule = self
    // The latest class is the last.
    rule.peers = peers.last == peer ? [peer] : []
    rule.exceptions = exceptions.map { $0.last == peer ? [peer] : [] }
    return rule
  }
}

/// Collects what the rules of one subject class and direction say, then writes the cells.
///
/// A lookup tries (peer, port), (peer, any), (any, port), (any, any) and stops at the first cell there is. So every
/// cell also says what the wider cells say that it hides; a cell that says no more than the lookup would find without
/// it is not written; and where a (peer, any) cell would hide a stronger (any, port) cell, the (peer, port) cell is
/// written that says so:
///
///     allow app=lb any port        (lb, any): allow        reject any peer tcp/22       (any, 22): reject
///     a flow lb → tcp/22 would find (lb, any) first, so    (lb, 22): reject             is written as well
///
/// A rule for nearly all peers is written as one for any, and whom it leaves out gets cells that say everything about
/// it, if need be that nothing matches:
///
///     allow every pod tcp/80       (any, 80): allow        (host, any): none            (world, any): none
struct CellBuilder {
  private var base = Winners.none
  private var byPeer: [UInt32: Winners] = [:]
  private var byPort: [UInt16: Winners] = [:]
  private var byBoth: [UInt64: Winners] = [:]
  /// The rules that are for nearly all peers.
  private var wide: [ResolvedRule] = []
  private let limit: Int

  /// Takes how many pairs of peer and port class it may hold.
  init(limit: Int) { self.limit = limit }

  private func check(_ pairs: Int) throws(CompileError) {
    if pairs > limit { throw CompileError.tooManyCells(limit) }
  }

  mutating func add(_ rule: ResolvedRule) throws(CompileError) {
    if rule.exceptions != nil {
      wide.append(rule)
      return
    }
    switch (rule.anyPeer, rule.anyPort) {
    case (true, true): base.merge(rule.winners)
    case (true, false): for port in rule.ports { byPort[port, default: .none].merge(rule.winners) }
    case (false, true): for peer in rule.peers { byPeer[peer, default: .none].merge(rule.winners) }
    case (false, false):
      // Before the work, not after it: one rule can name millions of pairs.
      try check(rule.peers.count * rule.ports.count)
      for peer in rule.peers {
        for port in rule.ports { byBoth[UInt64(peer) << 16 | UInt64(port), default: .none].merge(rule.winners) }
      }
      try check(byBoth.count)
    }
  }

  /// Calls `emit` with each cell and returns the kinds that there are.
  consuming func write(_ emit: (_ peer: UInt32, _ port: UInt16, Winners) throws(CompileError) -> Void)
    throws(CompileError) -> Probes
  {
    var probes: Probes = []
    let exceptions = widen()
    if base != .none {
      try emit(0, 0, base)
      probes.insert(.any)
    }
    byPeer = settle(byPeer)
    byPort = settle(byPort)
    for cells in exceptions { try write(cells, &probes, emit) }
    for (peer, winners) in byPeer { try emit(peer, 0, winners) }
    for (port, winners) in byPort { try emit(0, port, winners) }
    if !byPeer.isEmpty { probes.insert(.peer) }
    if !byPort.isEmpty { probes.insert(.port) }
    try addOverlaps()
    for (key, own) in byBoth {
      let peer = UInt32(truncatingIfNeeded: key >> 16)
      let port = UInt16(truncatingIfNeeded: key)
      let wholePeer = byPeer[peer]
      let wholePort = byPort[port]
      let found = wholePeer ?? wholePort ?? base
      let right = own.merged(wholePeer ?? .none).merged(wholePort ?? .none).merged(base)
      if right == found { continue }
      try emit(peer, port, right)
      probes.insert(.peerAndPort)
    }
    return probes
  }

  /// What all rules together say about one peer that some wide rule leaves out.
  private struct Exception {
    let peer: UInt32
    /// On any port.
    var base: Winners
    /// On the ports that rules name, with `base` merged in.
    var byPort: [UInt16: Winners] = [:]
  }

  /// Makes the wide rules rules for any peer; returns the peers that this is wrong for, with everything about them.
  private mutating func widen() -> [Exception] {
    if wide.isEmpty { return [] }
    let peers = Set(wide.lazy.flatMap { $0.exceptions ?? [] })
    // Without the wide rules so far.
    var own: [UInt32: Exception] = [:]
    for peer in peers {
      let anyPort = (byPeer.removeValue(forKey: peer) ?? .none).merged(base)
      own[peer] = Exception(peer: peer, base: anyPort, byPort: byPort)
    }
    for (key, winners) in byBoth {
      let peer = UInt32(truncatingIfNeeded: key >> 16)
      guard peers.contains(peer) else { continue }
      own[peer]?.byPort[UInt16(truncatingIfNeeded: key), default: .none].merge(winners)
      byBoth[key] = nil
    }
    for rule in wide {
      let excepted = Set(rule.exceptions ?? [])
      for peer in peers where !excepted.contains(peer) {
        if rule.anyPort { own[peer]?.base.merge(rule.winners) }
        for port in rule.ports { own[peer]?.byPort[port, default: .none].merge(rule.winners) }
      }
      if rule.anyPort { base.merge(rule.winners) }
      for port in rule.ports { byPort[port, default: .none].merge(rule.winners) }
    }
    return own.values.map { exception in
      var exception = exception
      exception.byPort = exception.byPort.mapValues { $0.merged(exception.base) }
      return exception
    }
  }

  /// Writes the cells of a peer that the wider cells are wrong for: those that differ from them, or one for any port
  /// and those that differ from that.
  private func write(
    _ exception: Exception, _ probes: inout Probes,
    _ emit: (_ peer: UInt32, _ port: UInt16, Winners) throws(CompileError) -> Void
  ) throws(CompileError) {
    let ports = Set(byPort.keys).union(exception.byPort.keys)
    func right(_ port: UInt16) -> Winners { exception.byPort[port] ?? exception.base }
    let beside = ports.filter { right($0) != byPort[$0] ?? base }
    let below = ports.filter { right($0) != exception.base }
    let isWhole = exception.base != base || below.count + 1 < beside.count
    if isWhole {
      try emit(exception.peer, 0, exception.base)
      probes.insert(.peer)
    }
    for port in isWhole ? below : beside {
      try emit(exception.peer, port, right(port))
      probes.insert(.peerAndPort)
    }
  }

  /// Lets each cell say what the widest cell says as well, and drops those that then say no more than it.
  private func settle<Key>(_ cells: [Key: Winners]) -> [Key: Winners] {
    cells.mapValues { $0.merged(base) }.filter { $0.value != base }
  }

  /// Adds an empty entry for each pair where the port's cell is stronger than the peer's, which would hide it.
  ///
  /// Ports come strongest first, so that the work is in proportion to the pairs found.
  private mutating func addOverlaps() throws(CompileError) {
    if byPeer.isEmpty || byPort.isEmpty { return }
    for strength in Winners.parts {
      let strongest = byPort.map { ($0.key, strength($0.value)) }.sorted { $0.1 < $1.1 }
      for (peer, winners) in byPeer {
        let own = strength(winners)
        for (port, rank) in strongest {
          if rank >= own { break }
          // The entry says nothing of its own; what it merges is what matters.
          byBoth[UInt64(peer) << 16 | UInt64(port), default: .none].merge(.none)
        }
        try check(byBoth.count)
      }
    }
  }
}
