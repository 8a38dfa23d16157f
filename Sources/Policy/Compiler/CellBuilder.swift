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
  let peers: [UInt32]
  let anyPort: Bool
  let ports: [UInt16]
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
struct CellBuilder {
  private var base = Winners.none
  private var byPeer: [UInt32: Winners] = [:]
  private var byPort: [UInt16: Winners] = [:]
  private var byBoth: [UInt64: Winners] = [:]
  private let limit: Int

  /// Takes how many pairs of peer and port class it may hold.
  init(limit: Int) { self.limit = limit }

  private func check(_ pairs: Int) throws(CompileError) {
    if pairs > limit { throw CompileError.tooManyCells(limit) }
  }

  mutating func add(_ rule: ResolvedRule) throws(CompileError) {
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
    if base != .none {
      try emit(0, 0, base)
      probes.insert(.any)
    }
    byPeer = settle(byPeer)
    byPort = settle(byPort)
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
