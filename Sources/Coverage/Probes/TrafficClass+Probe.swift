// Which probe answers for which class of traffic.

extension TrafficClass {
  /// Makes the attempts.
  func probe(in arena: Arena) throws -> Finding {
    switch self {
    case .tcpIPv4: try arena.connections(.homeIPv4)
    case .tcpIPv6: try arena.connections(.homeIPv6)
    case .tcpMapped: try arena.mappedConnections()
    case .tcpAcrossIPv4: try arena.connections(.acrossIPv4)
    case .tcpAcrossIPv6: try arena.connections(.acrossIPv6)
    case .tcpFromHost: try arena.connectionsFromHost()
    case .tcpFastOpen: try arena.fastOpen()
    case .mptcp: try arena.connections(.acrossIPv4, number: 262)
    case .sctp: try arena.connections(.acrossIPv4, number: 132, named: "SCTP")
    case .udpIPv4: try arena.datagrams(.homeIPv4)
    case .udpIPv6: try arena.datagrams(.homeIPv6)
    case .udpConnected: try arena.connectedDatagrams()
    case .udpAcrossIPv4: try arena.datagrams(.acrossIPv4)
    case .udpAcrossIPv6: try arena.datagrams(.acrossIPv6)
    case .udpReply: try arena.replies()
    case .udpFragments: try arena.datagrams(.acrossIPv4, size: 4000)
    case .udpLite: try arena.lightDatagrams()
    case .multicast: try arena.multicast()
    case .pingSocket: try arena.pings()
    case .rawICMP: try arena.rawPackets(.acrossIPv4, number: 1)
    case .rawNotices: try arena.rawNotices()
    case .rawIP: try arena.rawPackets(.acrossIPv4, number: 253)
    case .rawIPv6: try arena.rawPackets(.acrossIPv6, number: 253)
    case .rawTCP: try arena.rawSegments()
    case .packetSocket: try arena.frames()
    case .echoAnswer: try arena.answeredPings()
    case .closedPort: try arena.closedPorts()
    case .newCgroup: try arena.newCgroups()
    case .passedSocket: try arena.passedSockets()
    case .passedConnection: try arena.passedConnections()
    case .movedProcess: try arena.movedProcesses()
    case .newNamespace: try arena.newNamespaces()
    case .unixSocket: try arena.unixSockets()
    // These wait for the enforcer: see `CoverageProbe`.
    case .retaggedSocket, .tcpRevocation, .udpRevocation: Finding()
    }
  }
}
