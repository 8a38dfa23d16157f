// Who receives in a network namespace: listening TCP sockets and bound UDP sockets, by sock_diag.
internal import Glibc
internal import Kernel

enum Listeners {
  /// Adds the receivers of a namespace.
  ///
  /// Where two workloads receive at the same address and port nobody can say which gets a packet: there is none, and the
  /// receiver is unknown to the programs.
  static func list(
    in namespace: NetworkNamespace, number: UInt32, _ cgroups: inout MarkCgroups,
    into wanted: inout [ListenerKey: MarkEndpoint]
  ) throws(KernelError) {
    var own: [ListenerKey: MarkEndpoint?] = [:]
    var shared: [ListenerKey: MarkEndpoint?] = [:]
    for socket in try SocketDiagnostics.open(in: namespace).list(states: .waiting) where isReceiving(socket) {
      let endpoint: MarkEndpoint? = if let cgroup = socket.cgroup { try cgroups.endpoint(of: cgroup) } else { nil }
      note(endpoint, at: ListenerKey(namespace: number, protocol: socket.protocol, address: socket.local), &own)
      if socket.family == UInt8(AF_INET6), socket.local.high == 0, socket.local.low == 0 {
        // IPV6_V6ONLY is not told: if it is set nobody gets what comes for IPv4, or a socket of IPv4 does.
        let any = SocketAddress(high: 0, low: 0xffff << 32, port: socket.local.port)
        note(endpoint, at: ListenerKey(namespace: number, protocol: socket.protocol, address: any), &shared)
      }
    }
    own.merge(shared) { own, _ in own }
    for (key, endpoint) in own { if let endpoint { wanted[key] = endpoint } }
  }

  private static func note(_ endpoint: MarkEndpoint?, at key: ListenerKey, _ found: inout [ListenerKey: MarkEndpoint?])
  {
    if let known = found[key], known != endpoint {
      found.updateValue(nil, forKey: key)
    } else {
      found.updateValue(endpoint, forKey: key)
    }
  }

  private static func isReceiving(_ socket: SocketEntry) -> Bool {
    socket.local.port != 0 && (socket.protocol == UInt8(IPPROTO_UDP) || socket.state == 10)
  }

  /// As many of these receivers as fit into `limit`, the room shared out by workload: who has fewer than an equal part
  /// keeps all of them.
  ///
  /// Of a workload that has more those in `known` stay first. One that binds every port there is takes no receiver from
  /// others.
  static func shared(
    _ wanted: [ListenerKey: MarkEndpoint], limit: Int, known: [ListenerKey: MarkEndpoint]
  ) -> [ListenerKey: MarkEndpoint] {
    guard wanted.count > limit else { return wanted }
    var ofEndpoint: [MarkEndpoint: [ListenerKey]] = [:]
    for (key, endpoint) in wanted { ofEndpoint[endpoint, default: []].append(key) }
    var kept: [ListenerKey: MarkEndpoint] = [:]
    var room = limit
    var waiting = ofEndpoint.count
    for (endpoint, keys) in ofEndpoint.sorted(by: { $0.value.count < $1.value.count }) {
      let part = min(keys.count, room / waiting)
      let first = keys.filter { known[$0] == endpoint }
      let others = keys.filter { known[$0] != endpoint }
      for key in (first + others).prefix(part) { kept[key] = endpoint }
      room -= part
      waiting -= 1
    }
    return kept
  }
}
