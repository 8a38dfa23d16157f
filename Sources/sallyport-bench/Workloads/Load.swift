// The kinds of work that are measured on real sockets.

/// A kind of work; the raw value is its name on the command line.
enum Load: String, CaseIterable, Sendable {
  /// connect, accept, close of both ends.
  case connect
  /// One byte there and one back on an established connection.
  case tcpPingPong = "tcp-pingpong"
  /// 64 bytes there and back between connected UDP sockets.
  case udpPingPong = "udp-pingpong"
  /// 64 bytes there with sendto(2) on an unconnected UDP socket.
  case udpSendTo = "udp-sendto"
  /// 64 KiB through an established connection.
  case stream
  /// A connect() that does not come through: without a policy because nobody listens.
  case refused
  /// A connect() alone, to this host, that policy refuses; without a policy one to a port where nobody listens.
  case refusedLocally = "refused-locally"

  /// How many units make a batch of some milliseconds.
  var batch: Int {
    switch self {
    case .connect, .refused, .refusedLocally: 150
    case .tcpPingPong: 600
    case .udpPingPong, .udpSendTo: 1000
    case .stream: 200
    }
  }

  /// What is counted.
  var unit: String {
    switch self {
    case .connect: "connection"
    case .tcpPingPong, .udpPingPong: "round trip"
    case .stream: "64 KiB"
    case .udpSendTo: "datagram"
    case .refused, .refusedLocally: "attempt"
    }
  }
}
