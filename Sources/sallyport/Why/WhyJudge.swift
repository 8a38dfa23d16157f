// What the kernel does with a flow: who is at either end as its programs resolve them, and what each end's policy says.
internal import Enforcement
internal import Kernel
internal import Policy
internal import Workloads

/// Answers questions; every verdict is `PolicySet.verdict`, with which the kernel's tables agree.
struct WhyJudge {
  let policy: PolicySet
  var reader: WhyReader

  init(_ policy: PolicySet, _ workloads: [WorkloadInstance], _ map: HostMap?) {
    self.policy = policy
    reader = WhyReader(policy: policy, workloads: workloads, map: map)
  }

  /// Answers one question; `port` may be left out where the destination has one.
  mutating func answer(from: String, to: String, port text: String?) throws -> WhyAnswer {
    let source = try reader.read(from)
    let destination = try reader.read(to)
    var asked = text
    if asked == nil, case .address(_, let number?) = destination { asked = "tcp/\(number)" }
    guard let asked else {
      throw Failure("no port to ask about", remedy: "write --port tcp/443, or --to ADDRESS:PORT", status: .usage)
    }
    let (proto, number) = try Self.port(asked)
    if case .address(_, let other?) = destination, other != number {
      throw Failure("--to names port \(other) and --port \(asked)", remedy: "name one", status: .usage)
    }
    var cases: [WhyCase] = []
    for candidate in try candidates(source) {
      switch destination {
      case .end(let end): cases.append(named(candidate, end, proto, number))
      case .address(let address, _): cases += try addressed(candidate, address, proto, number)
      }
    }
    return WhyAnswer(from: from, to: to, port: asked, cases: cases)
  }

  static func port(_ text: String) throws -> (IPProtocol, UInt16) {
    do {
      guard case .ports(let proto, let range) = try PortSpec(parsing: text) else {
        throw Failure("`\(text)` is not a single port", remedy: "write tcp/443, udp/53 or icmp/8", status: .usage)
      }
      guard range.first == range.last else {
        throw Failure("`\(text)` is more than one port", remedy: "name one", status: .usage)
      }
      return (proto, range.first)
    } catch let error as PortError {
      throw Failure("\(error)", status: .usage)
    }
  }

  // MARK: The source

  /// Who may be meant by a source: an address of this host may be several workloads'.
  private mutating func candidates(_ source: WhySubject) throws -> [WhyEnd] {
    guard case .address(let address, let port) = source else {
      if case .end(let end) = source { return [end] }
      return []
    }
    if address.isLoopback || address.isUnspecified {
      throw Failure("\(address) is an address of every namespace", remedy: "name who asks: a workload, a PID, host")
    }
    let spaces = reader.map?.spaces(with: address) ?? []
    guard !spaces.isEmpty else {
      let endpoint = byAddress(address)
      let isPoliced = reader.workloads.contains { $0.addresses.contains(address) }
      return [WhyEnd(title: "\(address)", asSubject: endpoint, asPeer: endpoint, isPoliced: isPoliced)]
    }
    var found: [WhyEnd] = []
    for space in spaces {
      var owners = reader.map?.spaces[space].members ?? []
      if let port, let speakers = reader.map?.speakers(in: space, at: address, port), !speakers.isEmpty {
        owners = speakers
      }
      if let declared = reader.workloads.first(where: { $0.addresses.contains(address) }) {
        owners = [.workload(declared.cgroup)]
      }
      if owners.isEmpty { owners = [.host] }
      for owner in owners.sorted(by: { "\($0)" < "\($1)" }) {
        var end = reader.end(of: owner)
        end.title = "\(address), \(end.title)"
        end.spaces = [space]
        found.append(end)
      }
    }
    return found
  }

  // MARK: The destination

  /// A destination by name: both ends are known, wherever they are.
  private func named(_ source: WhyEnd, _ destination: WhyEnd, _ proto: IPProtocol, _ port: UInt16) -> WhyCase {
    let isSame = source.isSame(as: destination) && !(source.isByLabels && destination.isByLabels)
    return WhyCase(
      source: source.title, destination: destination.title,
      outgoing: source.isPoliced ? side(.outgoing, source, destination.asPeer, isSame, proto, port) : nil,
      incoming: destination.isPoliced ? side(.incoming, destination, source.asPeer, isSame, proto, port) : nil)
  }

  /// A destination by address, from each namespace that the source speaks from.
  private mutating func addressed(
    _ source: WhyEnd, _ given: IPAddress, _ proto: IPProtocol, _ port: UInt16
  ) throws -> [WhyCase] {
    // connect() takes the unspecified address for the loopback one.
    let address =
      given.isUnspecified ? given.isIPv4 ? IPAddress(ipv4: 0x7f00_0001) : IPAddress(high: 0, low: 1) : given
    guard !source.spaces.isEmpty else {
      if address.isLoopback {
        throw Failure(
          "\(address) is an address of every namespace", remedy: "name a source that runs here: a workload, a PID, host"
        )
      }
      let spaces = reader.map?.spaces(with: address) ?? []
      if spaces.isEmpty { return [elsewhere(source, address, proto, port, note: nil)] }
      return spaces.flatMap { arriving(source, nil, address, $0, proto, port) }
    }
    var cases: [WhyCase] = []
    for space in source.spaces {
      let route = reader.map?.route(from: space, to: address) ?? .none
      switch route.kind {
      case .local: cases += staying(source, space, address, proto, port)
      case .group, .none:
        let note =
          route.kind == .none
          ? "there is no route to \(address)" : "\(address) is a group: each receiver judges for itself"
        cases.append(elsewhere(source, address, proto, port, note: note))
      case .onward:
        let others = (reader.map?.spaces(with: address) ?? []).filter { $0 != space }
        if others.isEmpty { cases.append(elsewhere(source, address, proto, port, note: nil)) }
        cases += others.flatMap { arriving(source, route.source, address, $0, proto, port) }
      }
    }
    return cases
  }

  /// Within one namespace: both sockets are known, and whichever end is policed asks both sides.
  private mutating func staying(
    _ source: WhyEnd, _ space: Int, _ address: IPAddress, _ proto: IPProtocol, _ port: UInt16
  ) -> [WhyCase] {
    if proto == .icmp || proto == .icmp6 {
      let note = "\(address) is of the same namespace: its kernel answers"
      guard source.isPoliced else { return [WhyCase(source: source.title, destination: "\(address)", note: note)] }
      let own = side(.outgoing, source, source.asPeer, true, proto, port)
      return [WhyCase(source: source.title, destination: "\(address)", outgoing: own, note: note)]
    }
    guard proto == .tcp || proto == .udp,
      case .owners(let owners) = reader.map?.receiver(in: space, at: address, proto, port) ?? .nothing
    else {
      let note = "nothing listens on \(proto)/\(port) at \(address): the kernel refuses the connection itself"
      var refused = WhyCase(source: source.title, destination: "\(address)", note: note, isClosed: true)
      // Of TCP the kernel's own answer says more than a refusal; an unlabelled child is refused wherever it goes.
      if source.isPoliced, source.asSubject.kind == .unlabelled || proto != .tcp {
        refused.outgoing = side(.outgoing, source, .unknown, false, proto, port)
      }
      return [refused]
    }
    return owners.sorted { "\($0)" < "\($1)" }.map { owner in
      let receiver = reader.end(of: owner)
      let note = "\(proto)/\(port) at \(address) is served by \(receiver.title)"
      guard source.isPoliced || receiver.isPoliced else {
        return WhyCase(
          source: source.title, destination: receiver.title, note: note + "; neither is below the enforced cgroup")
      }
      let isSame = source.isSame(as: receiver)
      return WhyCase(
        source: source.title, destination: receiver.title,
        outgoing: side(.outgoing, source, receiver.asPeer, isSame, proto, port),
        incoming: side(.incoming, receiver, source.asPeer, isSame, proto, port), note: note)
    }
  }

  /// Into another namespace of this host: the source's side sees the address, the receiver's side is told who sends.
  private mutating func arriving(
    _ source: WhyEnd, _ from: [UInt8]?, _ address: IPAddress, _ space: Int, _ proto: IPProtocol, _ port: UInt16
  ) -> [WhyCase] {
    let receiver = reader.map?.receiver(in: space, at: address, proto, port, by: 0) ?? .nothing
    guard case .owners(let owners) = receiver else {
      return [
        elsewhere(
          source, address, proto, port,
          note: proto == .tcp || proto == .udp
            ? "\(address) is in another namespace of this host, where nothing listens on \(proto)/\(port)" : nil)
      ]
    }
    return owners.sorted { "\($0)" < "\($1)" }.map { owner in
      let receiver = reader.end(of: owner)
      let isSame = source.isSame(as: receiver)
      let note = "\(proto)/\(port) at \(address), in another namespace of this host, is served by \(receiver.title)"
      var found = WhyCase(source: source.title, destination: receiver.title, note: note)
      // Without a namespace nothing is known but who both are.
      let seen = source.spaces.isEmpty && source.isPoliced ? receiver.asPeer : byAddress(address)
      if source.isPoliced { found.outgoing = side(.outgoing, source, seen, false, proto, port) }
      // Who was let go to the workload of an address is judged again by who receives there.
      if found.outgoing?.verdict == "allow", seen.kind == .workload, seen != receiver.asPeer {
        found.outgoing = side(.outgoing, source, receiver.asPeer, isSame, proto, port)
      }
      if receiver.isPoliced {
        let peer = source.isPoliced ? source.asPeer : unvouched(source, from)
        found.incoming = side(.incoming, receiver, peer, isSame && source.isPoliced, proto, port)
      }
      return found
    }
  }

  /// A source that no program vouches for is its address, and not the workload that has it.
  private func unvouched(_ source: WhyEnd, _ from: [UInt8]?) -> Endpoint {
    guard source.owner != nil else { return source.asPeer }
    guard let from, let address = IPAddress(networkBytes: from) else { return .unknown }
    if reader.workloads.contains(where: { $0.addresses.contains(address) }) { return .unknown }
    return .external(policy.networks(containing: address))
  }

  /// Out of this host, or to where nobody judges: the source's side alone.
  private func elsewhere(
    _ source: WhyEnd, _ address: IPAddress, _ proto: IPProtocol, _ port: UInt16, note: String?
  ) -> WhyCase {
    let peer = byAddress(address)
    var title = "\(address)"
    var incoming: WhySide?
    if let owner = reader.workloads.first(where: { $0.addresses.contains(address) }) {
      let end = reader.end(of: .workload(owner.cgroup))
      title = end.title
      incoming = side(.incoming, end, source.asPeer, source.isSame(as: end), proto, port)
    }
    return WhyCase(
      source: source.title, destination: title,
      outgoing: source.isPoliced ? side(.outgoing, source, peer, false, proto, port) : nil, incoming: incoming,
      note: note)
  }

  /// What an address is where nothing else is known of who has it.
  private func byAddress(_ address: IPAddress) -> Endpoint {
    if let owner = reader.workloads.first(where: { $0.addresses.contains(address) }) { return .workload(owner.labels) }
    return .external(policy.networks(containing: address))
  }

  private func side(
    _ direction: Direction, _ subject: WhyEnd, _ peer: Endpoint, _ isSame: Bool, _ proto: IPProtocol, _ port: UInt16
  ) -> WhySide {
    let flow = Flow(
      direction: direction, subject: subject.asSubject, peer: peer, protocol: proto, port: port, sameWorkload: isSame)
    return WhySide(policy.explain(flow), isObserved: subject.observe)
  }
}

extension IPAddress {
  /// Takes 4 or 16 bytes in network order; nil for any other number of them.
  init?(networkBytes bytes: [UInt8]) {
    switch bytes.count {
    case 4: self.init(ipv4: bytes.reduce(0) { $0 << 8 | UInt32($1) })
    case 16: self.init(bytes: InlineArray { bytes[$0] })
    default: return nil
    }
  }
}
