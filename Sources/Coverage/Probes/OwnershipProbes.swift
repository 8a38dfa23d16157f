// Whose a socket is: made by one and used by another, older than its process's place, newer than the agent's last look.
internal import Enforcement
internal import Kernel
internal import SystemPackage

extension Arena {
  /// A datagram through a socket that is there already.
  func datagram(through sender: Voice, _ route: Route, to receiver: Voice, isExpected: Bool = false) throws -> Outcome {
    let payload = token()
    if let refusal = try sender.send(payload, to: route.address, try receiver.socket.localPort) {
      return .refused(refusal)
    }
    return try arrival(of: payload, route, at: receiver.socket, isExpected: isExpected)
  }

  /// Runs `body` with one more process in a cgroup.
  private func with<T>(_ cgroup: CgroupDirectory, _ body: (Speaker) throws -> T) throws -> T {
    let speaker = try makeSpeaker(in: cgroup)
    defer { speaker.stop() }
    return try body(speaker)
  }

  /// Children of labelled cgroups, a moment old: they are what their parents are.
  func newCgroups() throws -> Finding {
    let receiver = try speakers.server.receiver(Route.homeIPv4.address, number(), in: places.home)
    return try callers { parent in
      try with(parent.cgroup.create("moment")) { child in
        let sender = try child.socket(.ipv4, .datagram, in: places.home)
        return try datagram(through: sender, .homeIPv4, to: receiver, isExpected: parent === speakers.friend)
      }
    }
  }

  /// Unconnected sockets in other hands: maker and user must both be allowed.
  func passedSockets() throws -> Finding {
    let (friend, confined) = (speakers.friend, speakers.confined)
    let receiver = try speakers.server.receiver(Route.homeIPv4.address, number(), in: places.home)
    let good = try friend.socket(.ipv4, .datagram, in: places.home)
    let bad = try confined.socket(.ipv4, .datagram, in: places.home)
    return try Finding()
      .allowing("a socket in its maker's hands", datagram(through: good, .homeIPv4, to: receiver, isExpected: true))
      .denying("one whose user may not", datagram(through: confined.take(good), .homeIPv4, to: receiver))
      .denying("one whose maker may not", datagram(through: friend.take(bad), .homeIPv4, to: receiver))
  }

  /// Connected sockets in other hands: nothing asks who writes.
  func passedConnections() throws -> Finding {
    let (friend, confined) = (speakers.friend, speakers.confined)
    let route = Route.homeIPv4
    let receiver = try speakers.server.receiver(route.address, number(), in: places.home)
    let sender = try friend.socket(.ipv4, .datagram, in: places.home)
    if let refusal = try sender.connect(route.address, receiver.socket.localPort) {
      return Finding().allowing(.refused(refusal))
    }
    let written = { [self] (voice: Voice) throws -> Outcome in
      let payload = token()
      if let refusal = voice.send(payload) { return .refused(refusal) }
      return try arrival(of: payload, route, at: receiver.socket, isExpected: voice === sender)
    }
    return try Finding().allowing("what its maker writes", written(sender))
      .denying("what one writes to whom it was handed, who may not", written(confined.take(sender)))
  }

  /// A process in another cgroup than before, with the sockets that it had.
  func movedProcesses() throws -> Finding {
    let (friend, confined) = (speakers.friend, speakers.confined)
    let receiver = try speakers.server.receiver(Route.homeIPv4.address, number(), in: places.home)
    let risen = try with(confined.cgroup) { process in
      let old = try process.socket(.ipv4, .datagram, in: places.home)
      try process.move(to: friend.cgroup)
      let new = try process.socket(.ipv4, .datagram, in: places.home)
      return (
        new: try datagram(through: new, .homeIPv4, to: receiver, isExpected: true),
        old: try datagram(through: old, .homeIPv4, to: receiver)
      )
    }
    let fallen = try with(friend.cgroup) { process in
      let old = try process.socket(.ipv4, .datagram, in: places.home)
      try process.move(to: confined.cgroup)
      let new = try process.socket(.ipv4, .datagram, in: places.home)
      return (
        new: try datagram(through: new, .homeIPv4, to: receiver),
        old: try datagram(through: old, .homeIPv4, to: receiver)
      )
    }
    return Finding().allowing("a new socket of one that may now", risen.new)
      .denying("its socket from when it might not", risen.old)
      .denying("a new socket of one that may no more", fallen.new)
      .denying("its socket from when it might", fallen.old)
  }

  /// Sockets that were made to speak for the workload that their process has come to be.
  func retagging() async throws -> Finding {
    guard let retags = try datapath.retags() else {
      throw Absent(reason: "a socket stays with its maker here: these programs read no socket storage")
    }
    let rows = await enforcer.workloadRows
    let known = Dictionary(uniqueKeysWithValues: rows.map { ($0.key, PolicedSubject($0.value, of: $0.key)) })
    let stale = StaleSockets(retags: retags) { known[$0] }
    let receiver = try speakers.server.receiver(Route.homeIPv4.address, number(), in: places.home)
    let risen = try await retagged(speakers.confined, speakers.friend, stale, known, receiver)
    let fallen = try await retagged(speakers.friend, speakers.confined, stale, known, receiver)
    return Finding().allowing("a socket that speaks for one that may", risen)
      .denying("a socket that speaks for one that may not", fallen)
  }

  private func retagged(
    _ former: Speaker, _ latter: Speaker, _ stale: StaleSockets, _ known: [CgroupID: PolicedSubject],
    _ receiver: Voice
  ) async throws -> Outcome {
    guard let subject = known[latter.cgroup.id] else { return .lost }
    let process = try makeSpeaker(in: former.cgroup)
    defer { process.stop() }
    let socket = try process.socket(.ipv4, .datagram, in: places.home)
    try process.move(to: latter.cgroup)
    let handle = try process.handle()
    _ = try await stale.retag(
      stale.list(of: handle, being: subject), of: handle, being: subject, by: enforcer)
    return try datagram(through: socket, .homeIPv4, to: receiver, isExpected: latter === speakers.friend)
  }

  /// Traffic in a namespace of which nobody has told the datapath.
  func newNamespaces() throws -> Finding {
    let fresh = try Places.makeNamespace()
    let address = Route.homeIPv4.address
    let receiver = try speakers.server.receiver(address, number(), in: fresh)
    let port = try receiver.socket.localPort
    let marker = try speakers.friend.socket(.ipv4, .datagram, in: fresh)
    return try callers { who in
      let payload = token()
      let sender = try who.socket(.ipv4, .datagram, in: fresh)
      if let refusal = try sender.send(payload, to: address, port) { return .refused(refusal) }
      // What the friend sends last is received last.
      let last = token()
      if let refusal = try marker.send(last, to: address, port) { return .refused(refusal) }
      var received: [UInt8] = []
      repeat { received = try receiver.socket.receiveBytes(within: 500) } while received != payload && received != last
      if received == payload { _ = try receiver.socket.receiveBytes(within: 500) }
      return received == payload ? .passed : .lost
    }
  }

  /// No IP, so nothing that a datapath sees.
  func unixSockets() throws -> Finding {
    let receiver = try speakers.server.unixSocket(in: places.home)
    let name = [1, 0, 0] + [UInt8]("sallyport-coverage-\(number())".utf8)
    try receiver.socket.bind(name: name)
    return try callers { who in
      let payload = token()
      if let refusal = try who.unixSocket(in: places.home).send(payload, name: name) { return .refused(refusal) }
      return try receiver.socket.receiveBytes(within: 500) == payload ? .passed : .lost
    }
  }
}
