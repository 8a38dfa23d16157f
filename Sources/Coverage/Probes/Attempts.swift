// Single attempts, and how it is told whether they arrived.
internal import Glibc
internal import SystemPackage

extension Arena {
  /// A TCP connection (or one of a protocol that is used in the same way) to a listener of the server's.
  ///
  /// `address` and `family` differ from the route's for mapped addresses.
  func connection(
    _ who: Speaker, _ route: Route, to listener: Voice, number: Int32 = 0, family: Family? = nil,
    address: String? = nil
  ) throws -> Outcome {
    let client = try who.socket(family ?? route.family, .stream, number, in: places.sender(route))
    let port = try listener.socket.localPort
    return try arrival(of: client, route, at: listener, isExpected: who === speakers.friend) {
      try client.connect(address ?? route.address, port)
    }
  }

  /// What becomes of a connection that `begin` begins; nothing of it is left.
  func arrival(
    of client: Voice, _ route: Route, at listener: Voice, isExpected: Bool, begin: () throws -> Errno?
  ) throws -> Outcome {
    if let refusal = try begin() { return .refused(refusal) }
    // SCTP needs four packets until a connection can be accepted, TCP three.
    try settle(route, answers: 3)
    if isExpected { try? listener.socket.wait(for: Int16(POLLIN), 500) }
    if listener.socket.isReadable {
      _ = try listener.socket.accept(within: 0)
      return .passed
    }
    do throws(Errno) { try client.socket.throwPendingError() } catch { return .refused(error) }
    return .lost
  }

  /// A datagram to a receiver of the server's.
  func datagram(
    _ who: Speaker, _ route: Route, to receiver: Voice, number: Int32 = 0, size: Int = 16
  ) throws -> Outcome {
    let sender = try who.socket(route.family, .datagram, number, in: places.sender(route))
    let payload = token(size)
    let port = try receiver.socket.localPort
    if let refusal = try sender.send(payload, to: route.address, port) { return .refused(refusal) }
    return try arrival(of: payload, route, at: receiver.socket, isExpected: who === speakers.friend)
  }

  /// Whether bytes that were sent on a route are among what a socket has received.
  func arrival(
    of payload: [UInt8], _ route: Route, at receiver: ProbeSocket, isExpected: Bool, answers: Int = 0
  ) throws -> Outcome {
    try settle(route, answers: answers)
    if isExpected { try? receiver.wait(for: Int16(POLLIN), 500) }
    while receiver.isReadable {
      if try receiver.receiveBytes(within: 0).contains(payload.prefix(16)) { return .passed }
    }
    return .lost
  }

  /// Bytes that no other attempt sends.
  func token(_ size: Int = 16) -> [UInt8] {
    let number = number()
    let head = [UInt8]("probe ".utf8) + [UInt8(number >> 8), UInt8(number & 0xff)]
    return head + [UInt8](repeating: 0x2e, count: max(size, 16) - head.count)
  }
}
