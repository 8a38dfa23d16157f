// Ends what connection tracking still lets through in the mark view, although policy no longer allows it.

internal import Glibc
package import Kernel
internal import Policy

/// What became of the tracked connections of a pass.
package struct TrackedRevocation: Sendable {
  /// Entries that were ended.
  package var ended = 0
  /// Namespaces whose entries could not be read or ended: each a line for people.
  package var failures: [String] = []
}

extension NetfilterDatapath {
  /// Ends the tracked connections that lose by `rules`, and those of sockets that lost already; nothing in the exact view.
  ///
  /// The rules of the mark view let replies and what follows them pass unjudged, so the next packet must be a new one
  /// again. Connections that are translated (NAT), and those of no socket here, are others' and stay. What is neither TCP
  /// nor UDP has no socket that could be found: all of it is judged once more.
  package func endTracked(
    by rules: RevocationRules, after revoked: [RevokedFlow], in namespaces: [NetworkNamespace]
  ) -> TrackedRevocation {
    var result = TrackedRevocation()
    guard view == .mark else { return result }
    let lost = Set(revoked.flatMap { TrackedEnds($0.socket).bothWays })
    for namespace in namespaces {
      do throws(KernelError) {
        let conntrack = try Conntrack.open(in: namespace)
        let entries = try conntrack.list().filter(\.isPlain)
        guard !entries.isEmpty else { continue }
        let losing = TrackedJudge.losers(
          entries, sockets: try SocketDiagnostics.open(in: namespace).list(), by: rules, lost: lost)
        for entry in losing where try conntrack.delete(entry) { result.ended += 1 }
      } catch {
        result.failures.append("\(error)")
      }
    }
    return result
  }
}

extension NetfilterDatapath {
  /// Notes who began the TCP connections of servers that no longer listen; nothing in the exact view.
  ///
  /// To be asked before a `Revoker` is: no program tells of connections that were accepted, and without a listener at the
  /// port they would be judged as begun by the server. What cannot be read is judged that way.
  package func rememberTracked(in namespaces: [NetworkNamespace], flows: LiveFlows) {
    guard view == .mark else { return }
    for namespace in namespaces {
      guard let entries = try? Conntrack.open(in: namespace).list(),
        let sockets = try? SocketDiagnostics.open(in: namespace).list()
      else { continue }
      flows.note(TrackedJudge.accepted(entries, sockets: sockets, at: Clock.monotonicNanoseconds()))
    }
  }
}

/// Both ends of a connection, as the first packet came.
struct TrackedEnds: Hashable {
  var `protocol`: UInt8
  var source: SocketAddress
  var destination: SocketAddress

  init(protocol: UInt8, source: SocketAddress, destination: SocketAddress) {
    self.protocol = `protocol`
    self.source = source
    self.destination = destination
  }

  init(_ socket: SocketEntry) {
    self.init(protocol: socket.protocol, source: socket.local, destination: socket.remote)
  }

  init(_ tuple: ConntrackTuple) {
    self.init(protocol: tuple.protocol, source: tuple.source, destination: tuple.destination)
  }

  /// As either end sees it.
  var bothWays: [TrackedEnds] {
    [self, TrackedEnds(protocol: `protocol`, source: destination, destination: source)]
  }
}

extension ConntrackEntry {
  /// Whether replies come from where the first packet went: no translation.
  var isPlain: Bool { original.source == reply.destination && original.destination == reply.source }
}

/// Decides which tracked connections of one namespace must end; pure.
enum TrackedJudge {
  /// The TCP sockets that were accepted at a port where nobody listens now, as events.
  static func accepted(_ entries: [ConntrackEntry], sockets: [SocketEntry], at time: UInt64) -> [FlowEvent] {
    let began = Set(entries.lazy.filter(\.isPlain).map { TrackedEnds($0.original) })
    let listening = Set(sockets.lazy.filter { $0.state == 10 }.map(\.local.port))
    return sockets.compactMap { socket in
      guard socket.protocol == UInt8(IPPROTO_TCP), socket.state == 1, !listening.contains(socket.local.port),
        began.contains(TrackedEnds(socket).bothWays[1])
      else { return nil }
      var event = FlowEvent(kind: .open, time: time, socket: socket.cookie)
      event.protocol = .tcp
      event.direction = .incoming
      event.remote = IPAddress(socket.remote)
      event.localPort = socket.local.port
      event.remotePort = socket.remote.port
      return event
    }
  }

  /// The entries that lose: those in `lost`, UDP whose owner at either end may not go on, and what has no ports.
  static func losers(
    _ entries: [ConntrackEntry], sockets: [SocketEntry], by rules: RevocationRules, lost: Set<TrackedEnds>
  ) -> [ConntrackEntry] {
    let receivers = Dictionary(
      sockets.lazy.filter { $0.protocol == UInt8(IPPROTO_UDP) }.map { ($0.local, $0) }, uniquingKeysWith: { $1 })
    var losing: [ConntrackEntry] = []
    var judged: [(entry: ConntrackEntry, socket: SocketEntry, flow: LiveFlows.Flow?)] = []
    for entry in entries {
      switch Int(entry.original.protocol) {
      case IPPROTO_TCP: if lost.contains(TrackedEnds(entry.original)) { losing.append(entry) }
      case IPPROTO_UDP:
        for (own, other, direction) in [
          (entry.original.source, entry.original.destination, Direction.outgoing),
          (entry.original.destination, entry.original.source, .incoming),
        ] {
          guard let socket = receivers[own] ?? receivers[own.anyAddress] ?? receivers[own.anyIPv6] else { continue }
          let connected = socket.connected(local: own, remote: other, cookie: UInt64(judged.count))
          judged.append((entry, connected, LiveFlows.Flow(connected, direction)))
        }
      default: losing.append(entry)
      }
    }
    // Who listens is not needed: each entry says who began.
    var judge = RevocationJudge(judged.map { .init(namespace: 0, entry: $0.socket) }, rules)
    _ = judge.losers(judged.map(\.flow))
    losing += Set(judge.losing.map { judged[$0].entry })
    return losing
  }
}

extension SocketAddress {
  /// Any address of its family.
  fileprivate var anyAddress: SocketAddress { SocketAddress(high: 0, low: isIPv4 ? 0xffff << 32 : 0, port: port) }
  /// `::`, where a socket may speak IPv4 too.
  fileprivate var anyIPv6: SocketAddress { SocketAddress(high: 0, low: 0, port: port) }
}

extension LiveFlows.Flow {
  /// What a tracked connection says: who began, not who is at the other end.
  fileprivate init(_ socket: SocketEntry, _ direction: Direction) {
    var event = FlowEvent(kind: .open, time: 0, socket: socket.cookie)
    event.protocol = IPProtocol(rawValue: socket.protocol)
    event.direction = direction
    event.remote = IPAddress(socket.remote)
    event.localPort = socket.local.port
    event.remotePort = socket.remote.port
    self.init(event)
  }
}
