// What lives when policy tightens, and what the kernel itself answers.
internal import Enforcement
internal import Kernel
internal import SystemPackage

extension Arena {
  /// A conversation of the guest's, and one of the friend's, when the guest is let in no more.
  func tightening(_ type: SocketType) async throws -> Finding {
    let guest = try await CoverageProbe.onThread { [self] in try LiveConversation(speakers.guest, type, in: self) }
    let friend = try await CoverageProbe.onThread { [self] in try LiveConversation(speakers.friend, type, in: self) }
    try await apply(guests: false)
    try await revoke()
    let finding = try await CoverageProbe.onThread { [self] in
      try Finding().allowing("one that is still allowed", friend.goesOn(in: self, isExpected: true))
        .denying("one that the receiver's policy refuses now", silent: true, guest.goesOn(in: self, isExpected: false))
    }
    try await apply(guests: true)
    return finding
  }

  /// What the agent does after it has put a policy in force.
  private func revoke() async throws {
    guard let tables = try await enforcer.tables else { return }
    let rows = await enforcer.workloadRows
    let known = Dictionary(uniqueKeysWithValues: rows.map { ($0.key, PolicedSubject($0.value, of: $0.key)) })
    let rules = RevocationRules(tables: tables, generation: await enforcer.snapshot.generation) { known[$0] ?? .host }
    let revoker = Revoker(flows: LiveFlows(), retags: try datapath.retags())
    let namespaces = [places.home]
    _ = try await CoverageProbe.onThread { revoker.revoke(by: rules, in: namespaces) }
  }

  /// A reset comes from the kernel, for no socket of anybody's.
  func closedPorts() throws -> Finding {
    let free = try speakers.server.listener(Route.homeIPv4.address, number(), in: places.home).socket.localPort
    let client = try speakers.intruder.socket(.ipv4, .stream, in: places.home)
    let refusal = try client.connect(Route.homeIPv4.address, free)
    try settle(.homeIPv4, answers: 1)
    var outcome = refusal.map { Outcome.refused($0) } ?? .lost
    do throws(Errno) { try client.socket.throwPendingError() } catch { outcome = .refused(error) }
    return Finding().denying(
      "the reset for an intruder", silent: true, outcome == .refused(.connectionRefused) ? .passed : outcome)
  }
}

/// A connection, or a connected datagram socket, that has been used.
private struct LiveConversation: Sendable {
  private let client: Voice
  private let server: ProbeSocket
  /// Kept, because who listens tells who began.
  private let listener: Voice?

  init(_ who: Speaker, _ type: SocketType, in arena: Arena) throws {
    let route = Route.homeIPv4
    client = try who.socket(.ipv4, type, in: arena.places.home)
    if type == .stream {
      let listener = try arena.speakers.server.listener(route.address, arena.number(), in: arena.places.home)
      self.listener = listener
      if let refusal = try client.connect(route.address, listener.socket.localPort) { throw refusal }
      server = try listener.socket.accept(within: 1000)
    } else {
      listener = nil
      server = try arena.speakers.server.receiver(route.address, arena.number(), in: arena.places.home).socket
      if let refusal = try client.connect(route.address, server.localPort) { throw refusal }
    }
    if let refusal = client.send([1]) { throw refusal }
    _ = try server.receiveBytes(within: 1000)
  }

  /// Whether something more arrives.
  func goesOn(in arena: Arena, isExpected: Bool) throws -> Outcome {
    let payload = arena.token()
    do throws(Errno) { try client.socket.throwPendingError() } catch { return .refused(error) }
    if let refusal = client.send(payload) { return .refused(refusal) }
    do {
      return try arena.arrival(of: payload, .homeIPv4, at: server, isExpected: isExpected)
    } catch let error as Errno {
      return .refused(error)
    }
  }
}
