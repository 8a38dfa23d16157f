// Ends conversations that have been silent: the close that the kernel programs cannot tell of UDP, ICMP and others.

internal import BPF
internal import CDatapath
package import Kernel
internal import Policy
internal import Synchronization

/// Removes idle conversations from the kernel's table and makes their close events; keeps the count of shares right.
///
/// The kernel judges a packet as new after the idle time, whether or not the row is still there, so sweeping changes no
/// verdict: it makes room and evidence.
package struct ConversationSweeper: ~Copyable, Sendable {
  /// What a pass found.
  package struct Sweep: Sendable, Equatable {
    /// Conversations that are still alive.
    package var live = 0
    /// Conversations that ended.
    package var ended = 0
    /// Rows whose conversation was gone, or counts that were wrong: what a crash in the middle of a pass leaves.
    package var repaired = 0

    /// Nothing found.
    package init() {}
  }

  private let tables: ConversationTables
  /// How long after the kernel's idle time a row is taken away: the programs read a coarse clock (4 ms at worst), and a
  /// packet may be on its way through them.
  private let margin: Duration
  private let udpIdle: Duration
  private let icmpIdle: Duration
  /// Users whose count was wrong in the last pass: what it was then.
  private let doubted = Mutex<[ConversationUser: UInt64]>([:])

  /// A sweeper of the pinned maps in `directory`, with the idle times that the programs were loaded with.
  package static func open(
    pinned directory: String, udpIdle: Duration, icmpIdle: Duration, margin: Duration = .seconds(1)
  ) throws(DatapathError) -> ConversationSweeper {
    do throws(BPFError) {
      return ConversationSweeper(
        tables: try ConversationTables { "\(directory)/\($0)" }, margin: margin, udpIdle: udpIdle, icmpIdle: icmpIdle)
    } catch {
      throw DatapathError("open conversations", directory, underlying: error, remedy: "start the agent")
    }
  }

  /// A sweeper of open maps.
  package init(
    tables: ConversationTables, margin: Duration = .seconds(1), udpIdle: Duration, icmpIdle: Duration
  ) {
    self.tables = tables
    self.margin = margin
    self.udpIdle = udpIdle
    self.icmpIdle = icmpIdle
  }

  /// One pass at `now`, in nanoseconds of CLOCK_MONOTONIC; `report` gets one `close` per conversation that ended, with its
  /// counts and duration, in batches.
  ///
  /// A row is read again before it is removed: one that a packet has touched meanwhile stays.
  @discardableResult
  package borrowing func sweep(
    now: UInt64, report: ([FlowEvent]) -> Void
  ) throws(DatapathError) -> Sweep {
    var sweep = Sweep()
    do throws(BPFError) {
      var counts: [ConversationUser: ConversationCount] = [:]
      for (key, share) in try tables.shares.entries() {
        counts[ConversationUser(key)] = ConversationCount(next: ConversationTables.lanes(share.tail))
      }
      try tables.talks.forEachBatch { batch throws(BPFError) in
        var events: [FlowEvent] = []
        for (key, value) in batch {
          var talk = value
          if isOver(key, value, now), let last = try tables.talks.value(for: key) {
            talk = last
            // False: the kernel's side removed it first, and has told so.
            if isOver(key, last, now) {
              guard try tables.talks.remove(key) else { continue }
              events.append(Self.close(key, last))
              sweep.ended += 1
              if try tables.removePlace(of: last) { counts[ConversationUser(last)]?.removed += 1 }
              continue
            }
          }
          sweep.live += 1
          counts[ConversationUser(talk)]?.note(talk)
        }
        if !events.isEmpty { report(events) }
      }
      sweep.repaired = try settle(counts)
    } catch {
      throw DatapathError("sweep conversations", "sp_convs", underlying: error)
    }
    return sweep
  }

  /// Tells the programs what was removed, and puts right what a pass that did not end left wrong.
  private borrowing func settle(_ counts: [ConversationUser: ConversationCount]) throws(BPFError) -> Int {
    var top: (user: ConversationUser, held: UInt64)?
    var all: UInt64 = 0
    var doubts: [ConversationUser: UInt64] = [:]
    var repaired = 0
    let before = doubted.withLock { $0 }
    for (user, count) in counts {
      guard let share = try tables.shares.value(for: user.key) else { continue }
      var row = try tables.swept.value(for: user.key) ?? Rows.unswept
      row.removed &+= count.removed
      row.floor = ConversationTables.lanes(count.floor)
      var held = share.held &- row.removed
      // A count that differs while nothing happens is wrong; packets that came meanwhile make it differ as well.
      if held != UInt64(count.live) {
        if before[user] == share.held {
          repaired += try removeLost(of: user)
          row.removed = share.held &- UInt64(count.live)
          held = UInt64(count.live)
        } else {
          doubts[user] = share.held
        }
      }
      if held == 0, count.live == 0, user.workload != 0, try tables.workloads.value(for: user.workload) == nil {
        // Its workload is gone. In this order: without the second row the first counts for nothing.
        try tables.swept.remove(user.key)
        try tables.shares.remove(user.key)
        all &+= share.held &- row.removed
        continue
      }
      try tables.swept.set(row, for: user.key)
      all &+= held
      if held > top?.held ?? 0 { top = (user, held) }
    }
    doubted.withLock { $0 = doubts }
    // What the programs count and what is there differ by what was removed from here.
    let programs = try tables.pool.value(for: UInt32(SP_POOL_PROGRAMS)) ?? Rows.emptyPool
    var own = try tables.pool.value(for: UInt32(SP_POOL_AGENT)) ?? Rows.emptyPool
    own.removed = programs.held &- all
    try tables.pool.set(own, for: UInt32(SP_POOL_AGENT))
    if let top {
      try tables.pool.set(Rows.top(top.user, held: top.held), for: UInt32(SP_POOL_TOP))
    }
    return repaired
  }

  /// Removes the rows of a user whose conversation is gone.
  private borrowing func removeLost(of user: ConversationUser) throws(BPFError) -> Int {
    var removed = 1
    try tables.queue.forEachBatch { batch throws(BPFError) in
      for (place, key) in batch where place.workload == user.workload && place.direction.rawValue == user.direction {
        if let talk = try tables.talks.value(for: key), talk.owner == place.workload, talk.lane == place.lane,
          talk.direction.rawValue == place.direction.rawValue, talk.sequence == place.sequence
        {
          continue
        }
        if try tables.queue.remove(place) { removed += 1 }
      }
    }
    return removed
  }

  /// Which of these workloads conversations name, at either end.
  package borrowing func mentioned(among workloads: Set<CgroupID>) throws(DatapathError) -> Set<CgroupID> {
    guard !workloads.isEmpty else { return [] }
    var found: Set<CgroupID> = []
    do {
      for (_, talk) in try tables.talks.entries() {
        for id in [CgroupID(rawValue: talk.workload), CgroupID(rawValue: talk.peer_workload)]
        where workloads.contains(id) {
          found.insert(id)
        }
      }
    } catch {
      throw DatapathError("read conversations", "sp_convs", underlying: error)
    }
    return found
  }

  private borrowing func isOver(_ key: sp_conv_key, _ talk: sp_conv, _ now: UInt64) -> Bool {
    let isICMP = IPProtocol(rawValue: key.protocol).hasTypes
    let limit = (isICMP ? icmpIdle : udpIdle) + margin
    return now > talk.last_seen && Duration.nanoseconds(Int64(clamping: now - talk.last_seen)) > limit
  }

  /// The close of a conversation, as the kernel would have written it.
  static func close(_ key: sp_conv_key, _ talk: sp_conv) -> FlowEvent {
    var event = FlowEvent(kind: .close, time: talk.last_seen, socket: key.socket)
    let direction = Rows.direction(talk.direction) ?? .outgoing
    event.direction = direction
    event.protocol = IPProtocol(rawValue: key.protocol)
    let local = FlowEvent.halves(talk.local)
    let remote = FlowEvent.halves(key.remote)
    event.local = IPAddress(high: local.0, low: local.1)
    event.remote = IPAddress(high: remote.0, low: remote.1)
    if event.protocol.hasTypes {
      // An echo has its identifier, another message its type and code (lib/conv.h).
      let isEcho = key.is_echo != 0
      let echoRequest: UInt16 = event.protocol == .icmp ? 8 : 128
      event.localPort = isEcho ? UInt16(bigEndian: key.id) : 0
      event.remotePort = isEcho ? echoRequest : UInt16(bigEndian: key.id) >> 8
    } else {
      event.localPort = UInt16(bigEndian: talk.local_port)
      event.remotePort = UInt16(bigEndian: key.remote_port)
    }
    event.workload = talk.workload
    event.peerWorkload = talk.peer_workload
    event.peer = IdentityNumber(rawValue: talk.peer)
    event.generation = talk.generation
    event.rule = talk.rule
    event.uid = talk.uid
    event.decidedBy = Rows.decidedBy(talk.decided_by) ?? .error
    event.assurance = Rows.assurance(talk.assurance) ?? .unknown
    event.action = .allow
    event.packetsSent = talk.packets.0
    event.packetsReceived = talk.packets.1
    event.bytesSent = talk.bytes.0
    event.bytesReceived = talk.bytes.1
    event.duration = talk.last_seen > talk.opened ? talk.last_seen - talk.opened : 0
    return event
  }
}
