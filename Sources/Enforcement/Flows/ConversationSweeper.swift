// Ends conversations that have been silent: the close that the kernel programs cannot tell of UDP, ICMP and others.

package import BPF
package import CDatapath
public import Kernel
internal import Policy

/// Removes idle conversations from the kernel's table and makes their close events.
///
/// The kernel judges a packet as new after the idle time, whether or not the row is still there, so sweeping changes no
/// verdict: it makes room and evidence.
public struct ConversationSweeper: ~Copyable, Sendable {
  /// What a pass found.
  public struct Sweep: Sendable, Equatable {
    /// One `close` per conversation that ended, with its counts and duration.
    public var events: [FlowEvent] = []
    /// Conversations that are still alive.
    public var live = 0

    /// Nothing found.
    public init() {}
  }

  private let talks: BPFMap<sp_talk_key, sp_talk>
  /// How long after the kernel's idle time a row is taken away: the programs read a coarse clock (4 ms at worst), and a
  /// packet may be on its way through them.
  private let margin: Duration
  private let udpIdle: Duration
  private let icmpIdle: Duration

  /// A sweeper of an open map, with the idle times that the programs were loaded with.
  package init(
    talks: consuming BPFMap<sp_talk_key, sp_talk>, udpIdle: Duration, icmpIdle: Duration,
    margin: Duration = .seconds(1)
  ) {
    self.talks = talks
    self.udpIdle = udpIdle
    self.icmpIdle = icmpIdle
    self.margin = margin
  }

  /// A sweeper of the map that is pinned at `path`.
  public static func open(
    pinned path: String, udpIdle: Duration, icmpIdle: Duration
  ) throws(DatapathError) -> ConversationSweeper {
    do {
      return ConversationSweeper(
        talks: try BPFMap.pinned(path, type: .hash), udpIdle: udpIdle, icmpIdle: icmpIdle)
    } catch {
      throw DatapathError("open conversations", path, underlying: error, remedy: "start the agent")
    }
  }

  /// One pass at `now`, in nanoseconds of CLOCK_MONOTONIC.
  ///
  /// A row is read again before it is removed: one that a packet has touched meanwhile stays.
  public borrowing func sweep(now: UInt64) throws(DatapathError) -> Sweep {
    var sweep = Sweep()
    do {
      for (key, value) in try talks.entries() {
        guard isOver(key, value, now), let last = try talks.value(for: key), isOver(key, last, now) else {
          sweep.live += 1
          continue
        }
        // False: the kernel's side removed it first, and has told so.
        if try talks.remove(key) { sweep.events.append(Self.close(key, last)) }
      }
    } catch {
      throw DatapathError("sweep conversations", "sp_talks", underlying: error)
    }
    return sweep
  }

  /// Which of these workloads conversations name, at either end.
  public borrowing func mentioned(among workloads: Set<CgroupID>) throws(DatapathError) -> Set<CgroupID> {
    guard !workloads.isEmpty else { return [] }
    var found: Set<CgroupID> = []
    do {
      for (_, talk) in try talks.entries() {
        for id in [CgroupID(rawValue: talk.workload), CgroupID(rawValue: talk.peer_workload)]
        where workloads.contains(id) {
          found.insert(id)
        }
      }
    } catch {
      throw DatapathError("read conversations", "sp_talks", underlying: error)
    }
    return found
  }

  private borrowing func isOver(_ key: sp_talk_key, _ talk: sp_talk, _ now: UInt64) -> Bool {
    let isICMP = IPProtocol(rawValue: key.protocol).hasTypes
    let limit = (isICMP ? icmpIdle : udpIdle) + margin
    return now > talk.last_seen && Duration.nanoseconds(Int64(clamping: now - talk.last_seen)) > limit
  }

  /// The close of a conversation, as the kernel would have written it.
  static func close(_ key: sp_talk_key, _ talk: sp_talk) -> FlowEvent {
    var event = FlowEvent(kind: .close, time: talk.last_seen, socket: key.socket)
    let direction = Direction(rawValue: talk.direction) ?? .outgoing
    event.direction = direction
    event.protocol = IPProtocol(rawValue: key.protocol)
    let local = FlowEvent.halves(talk.local)
    let remote = FlowEvent.halves(key.remote)
    event.local = IPAddress(high: local.0, low: local.1)
    event.remote = IPAddress(high: remote.0, low: remote.1)
    if event.protocol.hasTypes {
      // An echo has its identifier, another message its type and code (lib/talk.h).
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
    event.decidedBy = FlowEvent.DecidedBy(rawValue: talk.decided_by) ?? .error
    event.assurance = FlowEvent.Assurance(rawValue: talk.assurance) ?? .unknown
    event.action = .allow
    event.packetsSent = talk.packets.0
    event.packetsReceived = talk.packets.1
    event.bytesSent = talk.bytes.0
    event.bytesReceived = talk.bytes.1
    event.duration = talk.last_seen > talk.opened ? talk.last_seen - talk.opened : 0
    return event
  }
}
