// UDP, UDP-Lite, multicast.
internal import Kernel
internal import SystemPackage

extension Arena {
  /// Datagrams from all three callers to one receiver.
  func datagrams(_ route: Route, number: Int32 = 0, size: Int = 16) throws -> Finding {
    let receiver = try speakers.server.receiver(route.address, self.number(), number, in: places.server(route))
    return try callers { try datagram($0, route, to: receiver, number: number, size: size) }
  }

  /// UDP-Lite, where the kernel still has it (it went in 7.1).
  func lightDatagrams() throws -> Finding {
    try requireProtocol("UDP-Lite")
    let route = Route.acrossIPv4
    let receiver = try speakers.server.receiver(route.address, number(), 136, in: places.right)
    return try callersWithoutPorts { try datagram($0, route, to: receiver, number: 136) }
  }

  /// connect() and then send(): what names no destination passes no sendmsg hook.
  func connectedDatagrams() throws -> Finding {
    let route = Route.homeIPv4
    let receiver = try speakers.server.receiver(route.address, number(), in: places.home)
    let port = try receiver.socket.localPort
    return try callers { who in
      let sender = try who.socket(.ipv4, .datagram, in: places.home)
      let payload = token()
      if let refusal = try sender.connect(route.address, port) { return .refused(refusal) }
      if let refusal = sender.send(payload) { return .refused(refusal) }
      return try arrival(of: payload, route, at: receiver.socket, isExpected: who === speakers.friend)
    }
  }

  /// The server may answer the friend and send nothing of its own accord.
  func replies() throws -> Finding {
    let route = Route.acrossIPv4
    let receiver = try speakers.server.receiver(route.address, number(), in: places.right)
    let asker = try speakers.friend.receiver(route.source, number(), in: places.left)
    let stranger = try speakers.friend.receiver(route.source, number(), in: places.left)
    let question = token()
    _ = try asker.send(question, to: route.address, try receiver.socket.localPort)
    guard try arrival(of: question, route, at: receiver.socket, isExpected: true) == .passed else {
      return Finding().allowing("the question", .lost)
    }
    let reply = { (who: Voice) throws -> Outcome in
      let answer = self.token()
      if let refusal = try receiver.send(answer, to: route.source, try who.socket.localPort) {
        return .refused(refusal)
      }
      // Once there and back: the way back has no marker of its own.
      return try self.arrival(of: answer, route, at: who.socket, isExpected: who === asker)
    }
    return try Finding().allowing("the reply", reply(asker)).denying("what nobody asked for", reply(stranger))
  }

  /// A group that the server has joined.
  func multicast() throws -> Finding {
    let route = Route.acrossIPv4
    let group = "239.77.7.7"
    let receiver = try speakers.server.socket(.ipv4, .datagram, in: places.right)
    try receiver.socket.bind("0.0.0.0", number())
    let port = try receiver.socket.localPort
    // ip_mreq: the group, and the address of the interface. IP_ADD_MEMBERSHIP.
    try receiver.socket.setOption(0, 35, bytes: addressBytes(group) + addressBytes(route.address))
    return try callers { who in
      let sender = try who.socket(.ipv4, .datagram, in: places.left)
      // IP_MULTICAST_IF.
      try sender.socket.setOption(0, 32, bytes: addressBytes(route.source))
      let payload = token()
      if let refusal = try sender.send(payload, to: group, port) { return .refused(refusal) }
      return try arrival(of: payload, route, at: receiver.socket, isExpected: who === speakers.friend)
    }
  }

  /// - Throws: `Absent` unless /proc/net/protocols has it: making a socket would load its module.
  func requireProtocol(_ name: String) throws {
    let text = try readKernelFile("/proc/net/protocols")
    let isThere = text.split(separator: "\n").contains { $0.split(separator: " ").first ?? "" == name }
    guard isThere else { throw Absent(reason: "the kernel has no \(name), or has not loaded it") }
  }
}
