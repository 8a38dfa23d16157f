// What sock_diag alone says of a connection.

internal import Kernel
internal import Policy

extension LiveFlows.Flow {
  /// A connection whose other end was found; who that is must be filled in.
  init(_ entry: SocketEntry, _ direction: Direction, _ subject: PolicedSubject) {
    var event = FlowEvent(kind: .open, time: Clock.monotonicNanoseconds(), socket: entry.cookie)
    event.protocol = IPProtocol(rawValue: entry.protocol)
    event.direction = direction
    event.workload = subject.workload?.rawValue ?? 0
    event.subject = subject.identity
    event.assurance = .socket
    event.remote = IPAddress(entry.remote)
    event.localPort = entry.local.port
    event.remotePort = entry.remote.port
    event.decidedBy = .default
    self.init(event)
  }
}

extension SocketEntry {
  /// TCP past LISTEN, and UDP that called connect().
  ///
  /// TIME_WAIT has nothing left to cut.
  var isConnection: Bool {
    guard remote.port != 0 else { return false }
    return self.protocol == IPProtocol.tcp.rawValue ? ![6, 7, 10, 12].contains(state) : state == 1
  }

  /// Sockets that are closed but for waiting, and handshakes: of no cgroup, but they show that the other end is, or was,
  /// on this host.
  var isShadow: Bool { self.protocol == IPProtocol.tcp.rawValue && [6, 12].contains(state) && remote.port != 0 }

  /// A listener, or UDP that takes from anybody.
  var isReceiving: Bool { self.protocol == IPProtocol.tcp.rawValue ? state == 10 : remote.port == 0 }

  /// Whether what is sent to an address may be its.
  func isBound(at address: SocketAddress) -> Bool {
    let isAny = local.high == 0 && (local.low == 0 || local.low == 0xffff << 32 && address.isIPv4)
    return isAny || (local.high, local.low) == (address.high, address.low)
  }

  /// Whether both ends are in one namespace, by the addresses alone.
  var isWithinNamespace: Bool {
    let isLoopback = remote.isIPv4 ? remote.low >> 24 & 0xff == 127 : remote.high == 0 && remote.low == 1
    return isLoopback || (remote.high, remote.low) == (local.high, local.low)
  }
}
