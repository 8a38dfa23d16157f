// What CAP_NET_RAW can send: ICMP, other protocols, whole segments, frames.
internal import Glibc
internal import Kernel
internal import SystemPackage

extension Arena {
  /// A ping socket (SOCK_DGRAM, IPPROTO_ICMP), answered by the kernel at the other end.
  func ping(_ who: Speaker) throws -> Outcome {
    let route = Route.acrossIPv4
    let sender = try who.socket(.ipv4, .datagram, 1, in: places.left)
    let payload = token()
    if let refusal = try sender.send(icmpMessage(8, payload: payload), to: route.address) { return .refused(refusal) }
    return try arrival(
      of: payload, route, at: sender.socket, isExpected: who === speakers.friend, answers: 1)
  }

  /// Ping sockets, which each namespace must allow first: net.ipv4.ping_group_range.
  func pings() throws -> Finding {
    try allowPingSockets()
    return try Finding().allowing(ping(speakers.friend)).atSender(ping(speakers.confined))
  }

  /// What the server's policy refuses, and its kernel answers all the same.
  func answeredPings() throws -> Finding {
    try allowPingSockets()
    return try Finding().allowing(ping(speakers.friend)).atReceiver(ping(speakers.intruder))
  }

  private func allowPingSockets() throws {
    try places.left.run { try writeKernelFile("/proc/sys/net/ipv4/ping_group_range", "0 2147483647") }
  }

  /// Packets from raw sockets to a raw socket of the server's; ICMP for protocol 1.
  func rawPackets(_ route: Route, number protocolNumber: Int32) throws -> Finding {
    let attempt = try rawPacket(route, protocolNumber)
    // 253 and 254 are for experiments (RFC 3692): nobody else has conversations of them.
    return try protocolNumber == 1
      ? callers(attempt) : callersWithoutPorts(another: rawPacket(route, protocolNumber + 1), attempt)
  }

  /// Errors that quote nothing: whatever the kernel does with them, a raw socket could read them.
  func rawNotices() throws -> Finding {
    // Parameter problem and time exceeded; of one kind from one address is one conversation.
    try callersWithoutPorts(another: rawPacket(.acrossIPv4, 1, type: 12), rawPacket(.acrossIPv4, 1, type: 11))
  }

  private func rawPacket(_ route: Route, _ protocolNumber: Int32, type: UInt8 = 8) throws -> (Speaker) throws -> Outcome
  {
    let receiver = try speakers.server.socket(route.family, .raw, protocolNumber, in: places.server(route)).socket
    return { [self] who in
      let sender = try who.socket(route.family, .raw, protocolNumber, in: places.sender(route))
      let payload = token()
      let packet = protocolNumber == 1 ? icmpMessage(type, id: number(), payload: payload) : payload
      if let refusal = try sender.send(packet, to: route.address) { return .refused(refusal) }
      return try arrival(of: payload, route, at: receiver, isExpected: who === speakers.friend)
    }
  }

  /// A SYN by a raw socket with its own IP header; it arrived if the listener answers.
  func rawSegments() throws -> Finding {
    let route = Route.acrossIPv4
    let listener = try speakers.server.listener(route.address, number(), in: places.right)
    let port = try listener.socket.localPort
    let witness = try Witness(in: places.left)
    return try callers { who in
      let sender = try who.socket(.ipv4, .raw, 255, in: places.left)
      let source = number()
      let segment = try PacketBuilder.ipv4(from: addressBytes(route.source), to: addressBytes(route.address))
        .tcp(from: source, to: port).withoutEthernet.bytes
      if let refusal = try sender.send(segment, to: route.address) { return .refused(refusal) }
      try settle(route, answers: 1)
      // SYN and ACK, from the listener's port to the segment's.
      let ports = [UInt8(port >> 8), UInt8(port & 0xff), UInt8(source >> 8), UInt8(source & 0xff)]
      return try witness.sees { $0.count >= 54 && $0[34..<38].elementsEqual(ports) && $0[47] == 0x12 } ? .passed : .lost
    }
  }

  /// Frames by packet sockets pass no hook of a socket on their way out.
  func frames() throws -> Finding {
    let route = Route.acrossIPv4
    let receiver = try speakers.server.receiver(route.address, number(), in: places.right)
    let port = try receiver.socket.localPort
    let live = try speakers.friend.receiver(route.source, number(), in: places.left)
    let greeting = token()
    _ = try live.send(greeting, to: route.address, port)
    guard try arrival(of: greeting, route, at: receiver.socket, isExpected: true) == .passed else {
      return Finding().allowing("a live conversation", .lost)
    }
    let witness = try Witness(in: places.right)
    let forge = { [self] (who: Speaker, source: UInt16) throws -> (onTheWire: Outcome, received: Outcome) in
      let sender = try who.packetSocket(in: places.left)
      let payload = token()
      var frame = try PacketBuilder.ipv4(from: addressBytes(route.source), to: addressBytes(route.address))
        .udp(from: source, to: port, payload: payload).bytes
      frame.replaceSubrange(0..<6, with: NetworkNamespace.pairHardware[1])
      if let refusal = sender.send(frame, name: Witness.interface) { return (.refused(refusal), .refused(refusal)) }
      let received = try arrival(of: payload, route, at: receiver.socket, isExpected: false)
      return (try witness.sees { $0.contains(payload) } ? .passed : .lost, received)
    }
    let sent = try forge(speakers.confined, number())
    return try Finding()
      .denying("what leaves the sender's namespace", sent.onTheWire)
      .denying("what pretends to be a new conversation", silent: true, forge(speakers.intruder, number()).received)
      .denying(
        "what pretends to be of a live conversation", silent: true,
        forge(speakers.confined, live.socket.localPort).received)
  }
}

/// Sees every frame of one namespace, whoever may have it.
final class Witness: Sendable {
  private let socket: ProbeSocket

  /// Looks from now on.
  init(in namespace: NetworkNamespace) throws {
    // ETH_P_ALL.
    socket = try namespace.run { try ProbeSocket.frames(receiving: 0x0003) }
  }

  /// Whether any frame fits; frames that were looked at are gone.
  func sees(_ fits: ([UInt8]) -> Bool) throws -> Bool {
    var seen = false
    while socket.isReadable { seen = try fits(socket.receiveBytes(within: 0)) || seen }
    return seen
  }

  /// sockaddr_ll of the veth pair's end, for IPv4 frames.
  static var interface: [UInt8] {
    let index = NetworkNamespace.pairIndex
    let number = [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: index >> $0) }
    return [17, 0, 0x08, 0x00] + number + [0, 0, 0, 6] + NetworkNamespace.pairHardware[1] + [0, 0]
  }
}
