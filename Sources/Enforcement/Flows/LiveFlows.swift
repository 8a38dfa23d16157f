// The flows that live now, by socket: who began them and who is at the other end, for re-evaluation after a change.

package import Kernel
package import Policy
internal import Synchronization

/// The live connections, by socket cookie, fed from flow events.
///
/// Bounded: a workload may have as many as are free; what does not fit is dropped and counted, and the revoker then judges
/// that socket by what sock_diag and addresses tell. Lost records do the same; entries whose close was lost go with `forget(missingFrom:before:)`.
package final class LiveFlows: Sendable {
  /// What is remembered of a flow.
  package struct Flow: Sendable, Equatable {
    /// When it was first seen, in nanoseconds of CLOCK_MONOTONIC.
    package var time: UInt64
    /// The cgroup id of the subject's workload; 0 = the host.
    package var workload: UInt64
    /// The cgroup id of the peer's workload on this host; 0 = none known.
    package var peerWorkload: UInt64
    /// The address at the other end.
    package var remote: IPAddress
    /// The subject's identity when it was judged.
    package var subject: IdentityNumber
    /// The peer's identity when it was judged; meaningful if `isJudged`.
    package var peer: IdentityNumber
    /// The subject's port; 0 = not known yet.
    package var localPort: UInt16
    /// The other port.
    package var remotePort: UInt16
    /// Who began.
    package var direction: Direction
    /// The IP protocol.
    package var `protocol`: IPProtocol
    /// How the peer is known.
    package var assurance: FlowEvent.Assurance
    /// Whether the record that carries the identities was seen.
    package var isJudged: Bool

    init(_ event: FlowEvent) {
      time = event.time
      workload = event.workload
      peerWorkload = event.peerWorkload
      remote = event.remote
      subject = event.subject
      peer = event.peer
      localPort = event.localPort
      remotePort = event.remotePort
      direction = event.direction
      `protocol` = event.protocol
      assurance = event.assurance
      isJudged = event.decidedBy != .nothing
    }
  }

  private struct State {
    /// Where a socket's flow is: a hash table keeps a third of its room free, so it holds places and not flows.
    private var places: [UInt64: UInt32] = [:]
    private var cookies: [UInt64] = []
    private var flows: [Flow] = []
    /// How many each workload has.
    private var held: [UInt64: Int] = [:]
    var dropped: UInt64 = 0

    func held(by workload: UInt64) -> Int { held[workload] ?? 0 }

    var count: Int { flows.count }

    func forEach(_ body: (Flow) -> Void) { flows.forEach(body) }

    subscript(cookie: UInt64) -> Flow? {
      get { places[cookie].map { flows[Int($0)] } }
      set {
        switch (newValue, places[cookie]) {
        case (let flow?, let place?):
          count(flows[Int(place)].workload, -1)
          count(flow.workload, 1)
          flows[Int(place)] = flow
        case (let flow?, nil):
          count(flow.workload, 1)
          places[cookie] = UInt32(flows.count)
          cookies.append(cookie)
          flows.append(flow)
        case (nil, let place?): remove(cookie, at: Int(place))
        case (nil, nil): break
        }
      }
    }

    private mutating func count(_ workload: UInt64, _ change: Int) {
      let now = held(by: workload) + change
      held[workload] = now == 0 ? nil : now
    }

    /// The last flow takes the place of the one that goes.
    private mutating func remove(_ cookie: UInt64, at place: Int) {
      count(flows[place].workload, -1)
      places[cookie] = nil
      defer { shrink() }
      guard let lastCookie = cookies.popLast(), let lastFlow = flows.popLast(), lastCookie != cookie else { return }
      cookies[place] = lastCookie
      flows[place] = lastFlow
      places[lastCookie] = UInt32(place)
    }

    /// Gives memory back when most of it is unused.
    private mutating func shrink() {
      guard cookies.capacity > 8192, cookies.count < cookies.capacity / 4 else { return }
      cookies = Self.compacted(cookies)
      flows = Self.compacted(flows)
      places = Dictionary(uniqueKeysWithValues: cookies.indices.map { (cookies[$0], UInt32($0)) })
    }

    /// A copy with room for as many again: an array made of a slice of all of another shares its storage, and its capacity.
    private static func compacted<Element>(_ held: [Element]) -> [Element] {
      var copy: [Element] = []
      copy.reserveCapacity(2 * held.count)
      copy.append(contentsOf: held)
      return copy
    }

    func destinations(ofPeers workloads: Set<UInt64>) -> Set<SocketAddress> {
      var found: Set<SocketAddress> = []
      for flow in flows where flow.peerWorkload != 0 && workloads.contains(flow.peerWorkload) {
        found.insert(SocketAddress(high: flow.remote.high, low: flow.remote.low, port: flow.remotePort))
      }
      return found
    }

    /// The sockets whose flows are older than `time`.
    func sockets(before time: UInt64) -> [UInt64] {
      zip(cookies, flows).lazy.filter { $1.time < time }.map { cookie, _ in cookie }
    }
  }

  private let state = Mutex(State())
  /// How many flows are remembered at most.
  package let limit: Int

  /// An empty table for at most `limit` flows.
  package init(limit: Int = 524_288) { self.limit = max(limit, 1) }

  /// How many flows are remembered.
  package var count: Int { state.withLock { $0.count } }

  /// How many flows were not remembered because the table was full.
  package var dropped: UInt64 { state.withLock { $0.dropped } }

  /// What is remembered of the flow of a socket.
  package subscript(cookie: UInt64) -> Flow? { state.withLock { $0[cookie] } }

  /// What is remembered of many sockets, under one lock.
  package func flows(of cookies: [UInt64]) -> [Flow?] {
    state.withLock { state in cookies.map { state[$0] } }
  }

  /// The addresses and ports at the other end of the flows whose peer is one of these workloads.
  func destinations(ofPeers workloads: Set<UInt64>) -> Set<SocketAddress> {
    state.withLock { $0.destinations(ofPeers: workloads) }
  }

  /// Learns from a batch of events, in the order in which they came.
  package func note(_ events: [FlowEvent]) {
    state.withLock { state in
      for event in events { note(event, in: &state) }
    }
  }

  /// Remembers connections that were found otherwise than by their records; what is remembered already stays.
  func remember(_ found: [(socket: UInt64, flow: Flow)]) {
    guard !found.isEmpty else { return }
    state.withLock { state in
      for (socket, flow) in found where state[socket]?.isJudged != true { insert(flow, for: socket, in: &state) }
    }
  }

  /// Forgets flows whose close record was lost, and says how many.
  ///
  /// Those are the flows older than `time` (nanoseconds of CLOCK_MONOTONIC) whose socket is not among `cookies`.
  @discardableResult
  package func forget(missingFrom cookies: Set<UInt64>, before time: UInt64) -> Int {
    state.withLock { state in
      let lost = state.sockets(before: time).filter { !cookies.contains($0) }
      for cookie in lost { state[cookie] = nil }
      return lost.count
    }
  }

  /// Which of these workloads live flows have at either end.
  package func mentioned(among workloads: Set<CgroupID>) -> Set<CgroupID> {
    guard !workloads.isEmpty else { return [] }
    return state.withLock { state in
      var found: Set<CgroupID> = []
      state.forEach { flow in
        for workload in [CgroupID(rawValue: flow.workload), CgroupID(rawValue: flow.peerWorkload)]
        where workloads.contains(workload) {
          found.insert(workload)
        }
      }
      return found
    }
  }

  private func note(_ event: FlowEvent, in state: inout State) {
    // ICMP and other protocols have no connected sockets that could be destroyed.
    guard event.protocol == .tcp || event.protocol == .udp, event.socket != 0 else { return }
    switch event.kind {
    case .attempt:
      insert(Flow(event), for: event.socket, in: &state)
    case .open:
      guard var known = state[event.socket], event.direction == .outgoing, event.protocol == .tcp else {
        insert(Flow(event), for: event.socket, in: &state)
        return
      }
      // Outgoing: the identities came with the attempt, the ports come now.
      known.localPort = event.localPort
      known.remotePort = event.remotePort
      known.remote = event.remote
      state[event.socket] = known
    case .close:
      remove(event, in: &state)
    case .refused:
      if event.flags.contains(.revoked) { remove(event, in: &state) }
    case .bind:
      break
    }
  }

  private func insert(_ flow: Flow, for cookie: UInt64, in state: inout State) {
    if state.held(by: flow.workload) >= limit - state.count && state[cookie] == nil {
      state.dropped += 1
    } else {
      state[cookie] = flow
    }
  }

  private func remove(_ event: FlowEvent, in state: inout State) {
    // One UDP socket has many conversations; only the end of the remembered one counts.
    if event.protocol == .udp, let known = state[event.socket],
      known.remote != event.remote || known.remotePort != event.remotePort
    {
      return
    }
    state[event.socket] = nil
  }
}
