// Joins the kernel's events about one flow into records that each tell the whole story.

package import Enforcement
internal import Policy

/// Turns flow events into flow records.
///
/// The kernel says each thing once: who connected in the attempt, which ports in the opening, how much in the close. This
/// keeps what came before, by socket, so that every record is complete; it is bounded, survives lost and reordered
/// events, and counts what it had to forget.
package struct FlowTracker: Sendable {
  /// Which conversation; a TCP socket has one, others have one per remote end.
  struct Key: Hashable, Sendable {
    var socket: UInt64
    var high: UInt64 = 0
    var low: UInt64 = 0
    var rest: UInt64 = 0

    init(_ event: FlowEvent) {
      socket = event.socket
      guard event.protocol != .tcp else { return }
      high = event.remote.high
      low = event.remote.low
      // An ICMP echo is known by its identifier, another ICMP message by its type.
      let isEcho = [8, 0].contains(event.remotePort) || [128, 129].contains(event.remotePort)
      let port: UInt32 =
        if event.protocol.hasTypes { isEcho ? UInt32(event.localPort) : 1 << 16 | UInt32(event.remotePort) } else {
          UInt32(event.remotePort)
        }
      let starter: UInt64 = event.protocol.hasTypes ? UInt64(event.direction.rawValue) : 0
      rest = UInt64(port) << 16 | starter << 8 | UInt64(event.protocol.rawValue)
    }

    /// Whether it is that of a TCP connection.
    var isStream: Bool { rest == 0 }
  }

  struct Tracked: Sendable {
    var flow: FlowEvent
    var names: FlowRecord.Names
    /// Whether the record with the identities was seen.
    var isJudged: Bool
    /// Whether `open` was reported.
    var isOpen: Bool
  }

  /// How many flows, and how many events, this has seen and lost.
  package struct Statistics: Sendable, Equatable {
    /// Events consumed.
    package var events: UInt64 = 0
    /// Records made.
    package var records: UInt64 = 0
    /// Flows that were forgotten to make room.
    package var forgotten: UInt64 = 0
    /// Closes without anything before them, and flows whose close never came before their socket was used again.
    package var unmatched: UInt64 = 0

    /// All zero.
    package init() {}
  }

  /// TCP connections: each costs its owner a socket.
  private var streams: SharedTable<Key, Tracked>
  /// Conversations of others: each costs a packet, and its close tells nearly everything once more.
  private var datagrams: SharedTable<Key, Tracked>
  /// Who holds a socket: from attempts.
  private var owners: SharedTable<UInt64, ProcessName>
  /// Who serves a port: from binds.
  private var servers: SharedTable<UInt64, ProcessName>
  /// Closes that came before their opening: socket → time.
  private var early = BoundedTable<UInt64, UInt64>(limit: 4096)
  private var history = NameHistory()
  private var processes: any ProcessNaming
  private var counted = Statistics()
  /// What turns the kernel's times into times of day; set it again from time to time.
  package var clock: ClockOffset

  /// A tracker that remembers at most `limit` connections, and fewer conversations, owners of sockets and servers.
  ///
  /// One workload has at most half of each.
  package init(
    processes: any ProcessNaming = RecordedProcesses(), clock: ClockOffset = .current(), limit: Int = 262_144
  ) {
    self.processes = processes
    self.clock = clock
    streams = SharedTable(limit: limit)
    datagrams = SharedTable(limit: min(limit, 65536))
    owners = SharedTable(limit: min(limit, 65536))
    servers = SharedTable(limit: min(limit, 32768))
  }

  /// How many flows are remembered now.
  package var liveFlows: Int { streams.count + datagrams.count }

  private func flow(_ key: Key) -> Tracked? { key.isStream ? streams[key] : datagrams[key] }

  private mutating func set(_ tracked: Tracked, for key: Key) {
    if key.isStream {
      streams.set(tracked, for: key, of: tracked.flow.workload)
    } else {
      datagrams.set(tracked, for: key, of: tracked.flow.workload)
    }
  }

  private mutating func remove(_ key: Key) -> Tracked? {
    key.isStream ? streams.remove(key) : datagrams.remove(key)
  }

  private func owner(of event: FlowEvent) -> ProcessName? {
    owners[event.listener] ?? servers[event.listener] ?? owners[event.socket] ?? servers[event.socket]
  }

  /// How many events and records there were.
  package var statistics: Statistics {
    var statistics = counted
    statistics.forgotten = streams.evicted + datagrams.evicted
    return statistics
  }

  /// Says what the numbers of a generation stand for; call it before the events of that generation come.
  package mutating func publish(_ names: FlowNames, generation: UInt32) {
    history.publish(names, generation: generation)
  }

  /// The latest names, to be reused in the next.
  package var latestNames: FlowNames { history.latest }

  /// Consumes events in the order in which the kernel wrote them and gives each record to `report`.
  package mutating func consume(_ events: [FlowEvent], report: (borrowing FlowRecord) -> Void) {
    for event in events {
      counted.events += 1
      guard let record = join(event) else { continue }
      counted.records += 1
      report(record)
    }
  }

  /// What an event completes, if anything.
  package mutating func join(_ event: FlowEvent) -> FlowRecord? {
    switch event.kind {
    case .attempt: attempted(event)
    case .bind:
      // A bind knows the task's cgroup, which stands for its workload here.
      servers.set(processes.process(of: event), for: event.socket, of: event.cgroup)
      return nil
    case .open: return opened(event)
    case .refused: return refused(event)
    case .close: return closed(event)
    }
    return nil
  }

  private mutating func attempted(_ event: FlowEvent) {
    let process = processes.process(of: event)
    let names = FlowRecord.Names(of: event, in: history.names(for: event.generation), process: process)
    owners.set(process, for: event.socket, of: event.workload)
    // Whether a datagram socket that connected will ever send is told by its first packet, which carries everything.
    guard event.protocol == .tcp else { return }
    if isAlreadyClosed(event) {
      owners.remove(event.socket)
      return
    }
    let key = Key(event)
    var tracked = Tracked(flow: event, names: names, isJudged: true, isOpen: false)
    if let known = flow(key) {
      if known.isOpen && known.flow.time >= event.time {
        // The opening overtook its attempt.
        tracked.flow = Self.merge(attempt: event, open: known.flow)
        tracked.isOpen = true
      } else {
        counted.unmatched += known.isOpen ? 1 : 0
      }
    }
    set(tracked, for: key)
  }

  private mutating func opened(_ event: FlowEvent) -> FlowRecord {
    let key = Key(event)
    var tracked: Tracked
    if let known = flow(key), event.protocol == .tcp, event.direction == .outgoing, known.isJudged, !known.isOpen {
      tracked = known
      tracked.flow = Self.merge(attempt: known.flow, open: event)
    } else {
      let owner = event.pid != 0 ? processes.process(of: event) : owner(of: event)
      let names = FlowRecord.Names(of: event, in: history.names(for: event.generation), process: owner)
      // The opening of an outgoing connection has no identities of its own.
      let isJudged = event.action != nil || event.direction == .incoming || event.protocol != .tcp
      tracked = Tracked(flow: event, names: names, isJudged: isJudged, isOpen: false)
    }
    tracked.isOpen = true
    if !isAlreadyClosed(event) { set(tracked, for: key) }
    return record(.open, tracked, at: event.time)
  }

  private mutating func refused(_ event: FlowEvent) -> FlowRecord {
    let process = event.pid != 0 ? processes.process(of: event) : owner(of: event)
    let names = FlowRecord.Names(of: event, in: history.names(for: event.generation), process: process)
    if event.flags.contains(.revoked) {
      let key = Key(event)
      if event.protocol == .tcp, var known = flow(key) {
        // The kernel will tell the close, with the counts; it is to say why.
        known.flow.flags.insert(.revoked)
        set(known, for: key)
      } else {
        _ = remove(key)
      }
    }
    return record(.refused, Tracked(flow: event, names: names, isJudged: true, isOpen: false), at: event.time)
  }

  private mutating func closed(_ event: FlowEvent) -> FlowRecord {
    let known = remove(Key(event))
    guard let known else {
      counted.unmatched += 1
      if event.protocol == .tcp { early.set(event.time, for: event.socket) }
      let names = FlowRecord.Names(
        of: event, in: history.names(for: event.generation), process: owner(of: event))
      if event.protocol == .tcp { owners.remove(event.socket) }
      let tracked = Tracked(flow: event, names: names, isJudged: event.action != nil, isOpen: false)
      return record(.close, tracked, at: event.time, duration: event.duration > 0 ? event.duration : nil)
    }
    if event.protocol == .tcp {
      owners.remove(event.socket)
      // Whatever is still to come about this flow must not bring it back.
      let isWhole = known.isJudged && (known.isOpen || event.flags.contains(.failed))
      if !isWhole { early.set(event.time, for: event.socket) }
    }
    var tracked = known
    let began = known.flow.time
    tracked.flow = Self.merge(open: known.flow, close: event)
    let duration = event.duration > 0 ? event.duration : event.time > began ? event.time - began : 0
    return record(.close, tracked, at: event.time, duration: duration)
  }

  /// Whether the close of this very flow came before; a later flow of the same socket is another one.
  private mutating func isAlreadyClosed(_ event: FlowEvent) -> Bool {
    guard early.count > 0, event.protocol == .tcp, let time = early[event.socket] else { return false }
    guard event.time <= time else {
      early.remove(event.socket)
      return false
    }
    return true
  }

  private func record(
    _ event: FlowRecord.Event, _ tracked: Tracked, at time: UInt64, duration: UInt64? = nil
  ) -> FlowRecord {
    FlowRecord(
      event: event, time: clock.wallTime(of: time), flow: tracked.flow, names: tracked.names, duration: duration,
      isIncomplete: !tracked.isJudged)
  }

  /// The attempt's identities, verdict and process with the opening's ends, time and round-trip time.
  private static func merge(attempt: FlowEvent, open: FlowEvent) -> FlowEvent {
    var flow = attempt
    flow.kind = .open
    flow.time = open.time
    flow.local = open.local
    flow.remote = open.remote
    flow.localPort = open.localPort
    flow.remotePort = open.remotePort
    flow.rtt = open.rtt
    return flow
  }

  /// What was known with the close's counts.
  private static func merge(open: FlowEvent, close: FlowEvent) -> FlowEvent {
    var flow = open
    flow.kind = .close
    flow.time = close.time
    // The kernel counts the SYN of a connection that we opened as a byte.
    let countsSYN = open.protocol == .tcp && open.direction == .outgoing && close.bytesSent > 0
    flow.bytesSent = close.bytesSent - (countsSYN ? 1 : 0)
    flow.bytesReceived = close.bytesReceived
    flow.packetsSent = close.packetsSent
    flow.packetsReceived = close.packetsReceived
    if close.rtt != 0 { flow.rtt = close.rtt }
    if flow.localPort == 0 {
      flow.local = close.local
      flow.localPort = close.localPort
    }
    flow.flags.formUnion(close.flags)
    return flow
  }
}
