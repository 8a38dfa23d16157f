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
  /// Whether both ends are in one namespace, by the addresses alone.
  var isWithinNamespace: Bool {
    let isLoopback = remote.isIPv4 ? remote.low >> 24 & 0xff == 127 : remote.high == 0 && remote.low == 1
    return isLoopback || (remote.high, remote.low) == (local.high, local.low)
  }
}
