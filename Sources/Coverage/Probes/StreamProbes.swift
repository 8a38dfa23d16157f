// TCP and what is used like it.
internal import SystemPackage

extension Arena {
  /// Connections from all three callers to one listener.
  func connections(_ route: Route, number: Int32 = 0) throws -> Finding {
    let listener = try speakers.server.listener(route.address, self.number(), number, in: places.server(route))
    return try callers { try connection($0, route, to: listener, number: number) }
  }

  /// The same attempt by the friend, the confined and the intruder.
  func callers(_ attempt: (Speaker) throws -> Outcome) throws -> Finding {
    try Finding().allowing(attempt(speakers.friend)).atSender(attempt(speakers.confined))
      .atReceiver(attempt(speakers.intruder))
  }

  /// The same of a protocol whose ports, if it has any, the programs do not know.
  ///
  /// Then the friend's conversation and the intruder's look the same when both have one address: the intruder tries alone
  /// on `another`, a protocol of which nothing was sent before, and beside the friend.
  func callersWithoutPorts(another: ((Speaker) throws -> Outcome)? = nil, _ attempt: (Speaker) throws -> Outcome) throws
    -> Finding
  {
    var finding = try Finding().allowing(attempt(speakers.friend)).atSender(attempt(speakers.confined))
    if let another { finding = try finding.atReceiver(another(speakers.intruder)) }
    return try finding.denying(
      "what the receiver's policy refuses, beside what it allows from the same address", silent: true,
      attempt(speakers.intruder))
  }

  /// An IPv6 socket that speaks IPv4.
  func mappedConnections() throws -> Finding {
    let listener = try speakers.server.listener(Route.homeIPv4.address, number(), in: places.home)
    return try callers {
      try connection($0, .homeIPv4, to: listener, family: .ipv6, address: "::ffff:127.0.0.1")
    }
  }

  /// The host has no labels; the server lets it in on one port only.
  func connectionsFromHost() throws -> Finding {
    let route = Route.homeIPv4
    let open = try speakers.server.listener(route.address, ArenaPolicy.hostPort, in: places.home)
    let closed = try speakers.server.listener(route.address, number(), in: places.home)
    return try Finding()
      .allowing(connection(speakers.host, route, to: open))
      .atReceiver(connection(speakers.host, route, to: closed))
  }

  /// MSG_FASTOPEN: no connect(), and data in the first segment once there is a cookie.
  func fastOpen() throws -> Finding {
    let route = Route.acrossIPv4
    let listener = try speakers.server.listener(route.address, number(), in: places.right)
    let port = try listener.socket.localPort
    return try callers { who in
      let client = try who.socket(.ipv4, .stream, in: places.left)
      return try arrival(of: client, route, at: listener, isExpected: who === speakers.friend) {
        try client.send(token(), to: route.address, port, flags: 0x2000_0000)
      }
    }
  }

  /// A protocol that may come as a module: asking for a socket would load it, so it is asked whether it is there.
  func connections(_ route: Route, number: Int32, named name: String) throws -> Finding {
    try requireProtocol(name)
    return try connections(route, number: number)
  }
}
