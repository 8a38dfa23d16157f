// Why a class of traffic is covered no better, where it is known; whether it is, the probe says.

extension TrafficClass {
  /// The cause of a gap that a probe has found; empty if none is known.
  var cause: String {
    switch self {
    case .packetSocket: "frames meet no socket's hook on their way out; take CAP_NET_RAW away"
    case .echoAnswer: "the kernel answers, for no workload's socket"
    case .closedPort: "the kernel's reset belongs to no socket; it carries no data"
    case .passedConnection: "nothing asks who writes to a connected socket: it speaks as its maker"
    case .unixSocket: "no IP: file permissions and namespaces decide"
    case .udpLite, .rawNotices, .rawIP, .rawIPv6: "without known ports a conversation is told by its addresses alone"
    case .rawICMP: "what comes in does not show which raw sockets get a copy"
    case .newNamespace: "rules are in a namespace once the agent has seen it"
    case .passedSocket, .movedProcess: "packets show a socket's maker, not its user"
    default: ""
    }
  }
}
