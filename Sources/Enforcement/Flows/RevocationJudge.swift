// Decides which live sockets the policy in force no longer allows; pure, so that it can be tested without a kernel.

package import Kernel
package import Policy

/// What decides whether a socket may live on.
package struct RevocationRules: Sendable {
  /// The tables in force.
  package var tables: Tables
  /// The generation of the tables.
  package var generation: UInt32
  /// The addresses that are one workload's alone.
  package var addresses: [IPAddress: PolicedSubject]
  /// The subject that a cgroup belongs to by its nearest labelled ancestor; nil = outside of what is enforced on.
  package var subject: @Sendable (CgroupID) -> PolicedSubject?
  /// Whether a cgroup was removed.
  ///
  /// What it made keeps the identity that it had; where nobody can say any more which that was (`subject` is nil), it is
  /// not judged.
  package var isEnded: @Sendable (CgroupID) -> Bool

  /// Takes all its parts; `subject` is asked once per cgroup and pass.
  package init(
    tables: Tables, generation: UInt32, addresses: [IPAddress: PolicedSubject] = [:],
    subject: @escaping @Sendable (CgroupID) -> PolicedSubject?,
    isEnded: @escaping @Sendable (CgroupID) -> Bool = { _ in false }
  ) {
    self.isEnded = isEnded
    self.tables = tables
    self.generation = generation
    self.addresses = addresses
    self.subject = subject
  }
}

/// A socket that policy no longer allows.
package struct RevokedFlow: Sendable {
  /// The socket.
  package let socket: SocketEntry
  /// Who began.
  package let direction: Direction
  /// Whose socket it is.
  package let subject: PolicedSubject
  /// Who is at the other end.
  package let peer: IdentityNumber
  /// The peer's workload on this host, if it is known.
  package let peerWorkload: CgroupID?
  /// How the peer is known.
  package let assurance: FlowEvent.Assurance
  /// The verdict that it loses by.
  package let verdict: Verdict
  /// The number of the rule that it loses by; 0 = the default.
  package let rule: UInt32
  /// The generation of the tables.
  package let generation: UInt32

  /// The same as an event for the flow log: a refusal of what had been allowed.
  package func event(at time: UInt64) -> FlowEvent {
    var event = FlowEvent(kind: .refused, time: time, socket: socket.cookie)
    event.workload = subject.workload?.rawValue ?? 0
    event.peerWorkload = peerWorkload?.rawValue ?? 0
    event.subject = subject.identity
    event.peer = peer
    event.direction = direction
    event.protocol = IPProtocol(rawValue: socket.protocol)
    event.local = IPAddress(socket.local)
    event.localPort = socket.local.port
    event.remote = IPAddress(socket.remote)
    event.remotePort = socket.remote.port
    event.uid = socket.user
    event.action = .reject
    event.decidedBy = verdict.decidedBy == .unlabelled ? .unlabelled : rule == 0 ? .default : .rule
    event.rule = rule
    event.generation = generation
    event.assurance = assurance
    event.flags = .revoked
    return event
  }
}

extension IPAddress {
  init(_ address: SocketAddress) { self.init(high: address.high, low: address.low) }
}

/// Judges the sockets of one pass; what was found out about a cgroup, an address or a verdict is asked once.
struct RevocationJudge {
  /// A socket as one namespace lists it.
  struct Socket {
    var namespace: Int
    var entry: SocketEntry
  }

  private struct Ends: Hashable {
    var `protocol`: UInt8
    var local: SocketAddress
    var remote: SocketAddress
  }

  private struct Question: Hashable {
    var direction: Direction
    var subject: IdentityNumber
    var peer: IdentityNumber
    var `protocol`: UInt8
    var port: UInt16
  }

  private struct PortOfNamespace: Hashable {
    var namespace: Int
    var `protocol`: UInt8
    var port: UInt16
  }

  private struct Peer {
    var identity: IdentityNumber
    var workload: CgroupID?
    var assurance: FlowEvent.Assurance
    var isNobody = false

    init(identity: IdentityNumber, workload: CgroupID?, assurance: FlowEvent.Assurance) {
      self.identity = identity
      self.workload = workload
      self.assurance = assurance
    }

    init(_ subject: PolicedSubject, _ assurance: FlowEvent.Assurance) {
      self.init(identity: subject.identity, workload: subject.workload, assurance: assurance)
      isNobody = subject.isNobody
    }

    /// Whether `workload` (nil = the host) is certain, so that it may be compared with the subject's.
    var isExact: Bool { assurance == .socket || assurance == .handoff }
  }

  private struct OtherEnd {
    /// Nil if nobody can say any more: it is closing, or its cgroup was removed long ago.
    var subject: PolicedSubject?
    /// Whether it is in the same namespace, so that it cannot be another one.
    var isHere: Bool
    var isRetagged: Bool
  }

  private let rules: RevocationRules
  private let sockets: [Socket]
  private let areRetagged: Bool
  private let prefixLengths: [Int]
  /// Listeners, and UDP sockets that are not connected.
  private var receivers: [PortOfNamespace: [Int]] = [:]
  /// The owners of both ends of what is listed: the other end of a flow on this host is found by its swapped addresses.
  ///
  /// This is the last socket with these ends; `earlier` has the one before it, -1 = none.
  private var byEnds: [Ends: Int] = [:]
  private var earlier: [Int]
  private var subjects: [CgroupID: PolicedSubject?] = [:]
  private var identities: [IPAddress: IdentityNumber] = [:]
  private var verdicts: [Question: Verdict] = [:]
  private var ruleNumbers: [RuleReference: UInt32]?
  private(set) var judged = 0
  /// Where among the sockets the losers are.
  private(set) var losing: [Int] = []
  /// Losers that are not cut, because their workload is observed.
  private(set) var observed = 0
  /// Connections that nothing was remembered of and whose other end was found: it may be gone the next time.
  private(set) var found: [(socket: UInt64, flow: LiveFlows.Flow)] = []

  /// With `areRetagged` some sockets may speak for another workload than their creator's; see `subject(of:_:)`.
  init(_ sockets: [Socket], _ rules: RevocationRules, areRetagged: Bool = false) {
    self.rules = rules
    self.areRetagged = areRetagged
    self.sockets = sockets
    prefixLengths = Set(rules.tables.prefixes.keys.map(\.length)).sorted(by: >)
    earlier = Array(repeating: -1, count: sockets.count)
    byEnds.reserveCapacity(sockets.count)
    for (index, socket) in sockets.enumerated() {
      let entry = socket.entry
      if entry.isReceiving {
        let port = PortOfNamespace(
          namespace: socket.namespace, protocol: entry.protocol, port: entry.local.port)
        receivers[port, default: []].append(index)
      } else if entry.isConnection || entry.isShadow {
        let ends = Ends(protocol: entry.protocol, local: entry.local, remote: entry.remote)
        if let other = byEnds.updateValue(index, forKey: ends) { earlier[index] = other }
      }
    }
  }

  /// The losers among the sockets; `live` has what is remembered of each, by index.
  mutating func losers(_ live: [LiveFlows.Flow?]) -> [RevokedFlow] {
    var losers: [RevokedFlow] = []
    for (index, socket) in sockets.enumerated() where socket.entry.isConnection {
      let flow = live[index].flatMap { Self.matches($0, socket.entry) ? $0 : nil }
      guard let subject = subject(of: socket.entry, flow) else { continue }
      judged += 1
      let direction = direction(of: socket, flow)
      let peers = peers(of: index, flow)
      guard let (peer, verdict) = refusal(of: socket.entry, direction, subject, peers) else {
        if flow?.isJudged != true, let peer = peers.first, peer.assurance == .socket {
          var flow = LiveFlows.Flow(socket.entry, direction, subject)
          (flow.peer, flow.peerWorkload) = (peer.identity, peer.workload?.rawValue ?? 0)
          found.append((socket.entry.cookie, flow))
        }
        continue
      }
      if subject.observe {
        observed += 1
        continue
      }
      losing.append(index)
      losers.append(
        RevokedFlow(
          socket: socket.entry, direction: direction, subject: subject, peer: peer.identity,
          peerWorkload: peer.workload, assurance: peer.assurance, verdict: verdict, rule: number(of: verdict),
          generation: rules.generation))
    }
    return losers
  }

  /// The verdict that a socket loses by, with the peer that it is about; any of those that may be there is enough.
  private mutating func refusal(
    of entry: SocketEntry, _ direction: Direction, _ subject: PolicedSubject, _ peers: [Peer]
  ) -> (Peer, Verdict)? {
    for peer in peers {
      if subject.isUnlabelled { return (peer, Verdict(action: .reject, decidedBy: .unlabelled)) }
      if peer.isExact, peer.workload == subject.workload, !peer.isNobody { continue }
      let verdict = verdict(
        Question(
          direction: direction, subject: subject.identity, peer: peer.identity, protocol: entry.protocol,
          port: direction == .outgoing ? entry.remote.port : entry.local.port))
      if verdict.action == .reject { return (peer, verdict) }
    }
    return nil
  }

  /// Whether what is remembered is about this connection: one UDP socket has many conversations.
  private static func matches(_ flow: LiveFlows.Flow, _ entry: SocketEntry) -> Bool {
    guard flow.protocol.rawValue == entry.protocol else { return false }
    return flow.protocol == .tcp || (flow.remote == IPAddress(entry.remote) && flow.remotePort == entry.remote.port)
  }

  private func direction(of socket: Socket, _ flow: LiveFlows.Flow?) -> Direction {
    if let flow { return flow.direction }
    let port = PortOfNamespace(
      namespace: socket.namespace, protocol: socket.entry.protocol, port: socket.entry.local.port)
    return receivers[port] == nil ? .outgoing : .incoming
  }

  /// Who may be at the other end: its socket in the same namespace; else what is remembered, with the labels of now, and
  /// the socket elsewhere that has these ends, because it may have got labels or been retagged since; else the address.
  ///
  /// Nobody, where the other end was on this host and nothing can be said of it any more: nothing can come from it or go
  /// to it, and what came is the receiver's.
  private mutating func peers(of index: Int, _ flow: LiveFlows.Flow?) -> [Peer] {
    let entry = sockets[index].entry
    let isJudged = flow?.isJudged == true
    if let flow, isJudged, flow.assurance == .address {
      // A flow that was judged by its address is judged by its address again, but not by who has it after its end.
      let hasEnded = flow.peerWorkload != 0 && rules.isEnded(CgroupID(rawValue: flow.peerWorkload))
      return hasEnded ? remembered(flow) : [peer(at: IPAddress(entry.remote))]
    }
    let other = otherEnd(of: index)
    if let other, let subject = other.subject, other.isHere || other.isRetagged || !isJudged {
      return [Peer(subject, .socket)]
    }
    guard isJudged, let flow else {
      return other != nil || entry.isWithinNamespace ? [] : [peer(at: IPAddress(entry.remote))]
    }
    let known = remembered(flow)
    guard let subject = other?.subject, !known.contains(where: { $0.workload == subject.workload }) else {
      return known
    }
    return known + [Peer(subject, .socket)]
  }

  private mutating func remembered(_ flow: LiveFlows.Flow) -> [Peer] {
    guard flow.peerWorkload != 0 else {
      return [Peer(identity: flow.peer, workload: nil, assurance: flow.assurance)]
    }
    let workload = CgroupID(rawValue: flow.peerWorkload)
    if let now = subject(of: workload) { return [Peer(now, flow.assurance)] }
    // Not a workload any more: nobody, until it speaks again.
    guard rules.isEnded(workload) else { return [Peer(identity: .unknown, workload: nil, assurance: .unknown)] }
    // Its row had to go early: it keeps the identity that it had, as long as that is one.
    guard rules.tables.classes[flow.peer] != nil else { return [] }
    return [Peer(identity: flow.peer, workload: workload, assurance: flow.assurance)]
  }

  private mutating func peer(at address: IPAddress) -> Peer {
    if let owner = rules.addresses[address] { return Peer(owner, .address) }
    return Peer(identity: identity(of: address), workload: nil, assurance: .address)
  }

  /// The owner of the socket at the other end: in the same namespace, else in the only other one that has it.
  private mutating func otherEnd(of index: Int) -> OtherEnd? {
    let entry = sockets[index].entry
    let ends = Ends(protocol: entry.protocol, local: entry.remote, remote: entry.local)
    var here: [Int] = []
    var all = 0
    var next = byEnds[ends] ?? -1
    var found = next
    while next >= 0 {
      all += 1
      if sockets[next].namespace == sockets[index].namespace { here.append(next) }
      next = earlier[next]
    }
    if all == 0, let receiver = receiver(of: index) { here = [receiver] }
    if here.count == 1 { found = here[0] } else if !here.isEmpty || all != 1 { return nil }
    let other = sockets[found].entry
    var owner = subject(of: other)
    if owner == nil, let cgroup = other.cgroup, !rules.isEnded(cgroup) { owner = .host }
    return OtherEnd(subject: owner, isHere: !here.isEmpty, isRetagged: !other.storage.isEmpty)
  }

  /// The UDP socket of the same namespace that gets what is sent there; nil if there is none, or if sockets of several
  /// cgroups may.
  private func receiver(of index: Int) -> Int? {
    let (namespace, entry) = (sockets[index].namespace, sockets[index].entry)
    guard entry.protocol == IPProtocol.udp.rawValue else { return nil }
    let port = PortOfNamespace(namespace: namespace, protocol: entry.protocol, port: entry.remote.port)
    let fitting = (receivers[port] ?? []).filter { sockets[$0].entry.isBound(at: entry.remote) }
    return Set(fitting.map { sockets[$0].entry.cgroup }).count == 1 ? fitting[0] : nil
  }

  /// Whom a socket speaks for.
  ///
  /// A list of UDP sockets leaves their storage out: what is remembered counts, and nothing is
  /// judged without a memory, because the kernel judges the next datagram anyhow.
  private mutating func subject(of socket: SocketEntry, _ flow: LiveFlows.Flow?) -> PolicedSubject? {
    guard areRetagged, socket.protocol == IPProtocol.udp.rawValue else { return subject(of: socket) }
    guard let flow, flow.isJudged else { return nil }
    return flow.workload == 0 ? .host : subject(of: CgroupID(rawValue: flow.workload))
  }

  private mutating func subject(of socket: SocketEntry) -> PolicedSubject? {
    if !socket.storage.isEmpty, let named = Rows.retag(socket.storage)?.subject({ subject(of: $0) }) { return named }
    return socket.cgroup.flatMap { subject(of: $0) }
  }

  private mutating func subject(of cgroup: CgroupID) -> PolicedSubject? {
    if let known = subjects[cgroup] { return known }
    let found = rules.subject(cgroup)
    subjects[cgroup] = .some(found)
    return found
  }

  /// `Tables.identity(of:)`, trying only the lengths that there are.
  private mutating func identity(of address: IPAddress) -> IdentityNumber {
    if let known = identities[address] { return known }
    var found = IdentityNumber.world
    for length in prefixLengths {
      if let number = rules.tables.prefixes[IPPrefix(masking: address, length: length)] {
        found = number
        break
      }
    }
    identities[address] = found
    return found
  }

  private mutating func verdict(_ question: Question) -> Verdict {
    if let known = verdicts[question] { return known }
    let verdict = rules.tables.verdict(
      question.direction, subject: question.subject, peer: question.peer,
      protocol: IPProtocol(rawValue: question.protocol), port: question.port)
    verdicts[question] = verdict
    return verdict
  }

  private mutating func number(of verdict: Verdict) -> UInt32 {
    guard case .rule(let reference) = verdict.decidedBy else { return 0 }
    if ruleNumbers == nil {
      ruleNumbers = Dictionary(
        rules.tables.rules.enumerated().map { ($1, UInt32($0) + 1) }, uniquingKeysWith: { first, _ in first })
    }
    return ruleNumbers?[reference] ?? 0
  }
}
