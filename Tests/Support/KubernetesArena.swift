// A cluster made real: each pod in a network namespace and a cgroup of its own, with listeners on its ports.
internal import Glibc
internal import Kernel
internal import SystemPackage

/// Nine places for pods and one for a stranger, joined by a bridge; cluster after cluster is put into them.
///
/// The pod in place i has the last octet i + 1, in any of the nets 10.77.0.0/24, 10.77.1.0/24 and 10.77.2.0/24.
package final class KubernetesArena: Sendable {
  private let policed: Policed
  private let namespaces: [NetworkNamespace]
  private let outside: NetworkNamespace
  /// Where all links end; they are gone as soon as it is.
  private let bridge: NetworkNamespace
  private let servers: [Servers]

  /// The address of whoever is no pod: 10.77.0.200.
  package static let stranger: UInt32 = 0x0a4d_00c8
  /// How many places there are for pods.
  package static let places = 9
  private static let tcp: [UInt16] = [22, 80, 81, 8080, 8085, 9090]
  private static let udp: [UInt16] = [53, 80, 81, 5353]

  /// The listeners of one place.
  private struct Servers: Sendable {
    var tcp: [ProbeSocket] = []
    var udp: [UInt16: [ProbeSocket]] = [:]
  }

  /// One connection to try.
  package struct Attempt: Sendable {
    /// The place of the source, nil = the stranger.
    package var from: Int?
    /// The place of the destination, nil = the stranger.
    package var to: Int?
    /// The source's address.
    package var source: String
    /// The destination's address.
    package var destination: String
    /// `TCP` or `UDP`.
    package var proto: String
    /// In host byte order.
    package var port: UInt16
    /// Whether it should succeed.
    package var isExpected: Bool

    package init(
      from: Int?, to: Int?, source: String, destination: String, proto: String, port: UInt16, isExpected: Bool
    ) {
      self.from = from
      self.to = to
      self.source = source
      self.destination = destination
      self.proto = proto
      self.port = port
      self.isExpected = isExpected
    }
  }

  /// Makes the places.
  package init(_ policed: Policed) throws {
    self.policed = policed
    let bridge = try policed.sandbox.makeNamespace()
    self.bridge = bridge
    let sandbox = policed.sandbox
    try sandbox.command(
      ["ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0"], namespace: bridge)
    try sandbox.command(["ip", "link", "set", "br0", "up"], namespace: bridge)
    func join(_ namespace: NetworkNamespace, _ place: Int, _ addresses: [String]) throws {
      try sandbox.command(
        ["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "port\(place)", "netns", bridge.path.string],
        namespace: namespace)
      try sandbox.command(["ip", "link", "set", "port\(place)", "master", "br0", "up"], namespace: bridge)
      for address in addresses {
        let isIPv4 = address.contains(".")
        try sandbox.command(
          ["ip", "addr", "add", "\(address)/\(isIPv4 ? 16 : 64)", "dev", "eth0"] + (isIPv4 ? [] : ["nodad"]),
          namespace: namespace)
      }
      try sandbox.command(["ip", "link", "set", "eth0", "up"], namespace: namespace)
    }
    var namespaces: [NetworkNamespace] = []
    var servers: [Servers] = []
    for place in 0..<Self.places {
      let namespace = try policed.makeNamespace()
      let addresses = (0..<3).map { 0x0a4d_0000 | UInt32($0) << 8 | UInt32(place + 1) }
      try join(
        namespace, place,
        addresses.flatMap { address in [true, false].map { KubernetesCluster.text(address, isIPv4: $0) } })
      namespaces.append(namespace)
      servers.append(try policed.thread("pod-\(place)").run(in: namespace) { try Self.serve() })
    }
    outside = try sandbox.makeNamespace()
    try join(outside, Self.places, [true, false].map { KubernetesCluster.text(Self.stranger, isIPv4: $0) })
    servers.append(try outside.run { try Self.serve() })
    self.namespaces = namespaces
    self.servers = servers
  }

  private static func serve() throws -> Servers {
    var servers = Servers()
    for family in [Family.ipv4, .ipv6] {
      let any = family == .ipv4 ? "0.0.0.0" : "::"
      func bound(_ socket: ProbeSocket, _ port: UInt16) throws -> ProbeSocket {
        if family == .ipv6 { try socket.setOption(Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
        try socket.bind(any, port)
        return socket
      }
      for port in tcp {
        let listener = try bound(.tcp(family), port)
        try listener.startListening(backlog: 256)
        servers.tcp.append(listener)
      }
      for port in udp { servers.udp[port, default: []].append(try bound(.udp(family), port)) }
    }
    return servers
  }

  /// Labels the pods of a cluster, in their order, as the policy's documents have them, and puts the policy in force.
  package func enter(_ cluster: KubernetesCluster, labels: [String: String], policies yaml: String) async throws {
    for place in 0..<Self.places {
      let thread = try policed.thread("pod-\(place)")
      if place < cluster.pods.count, let text = labels[cluster.pods[place].title] {
        let pod = cluster.pods[place]
        _ = try await policed.workload("pod-\(place)", text, at: cluster.addresses(pod.address))
      } else {
        try await policed.unlabel(thread.cgroup)
      }
    }
    try await policed.apply(yaml)
  }

  /// Tries everything at once and returns what did not go as expected.
  package func surprises(_ attempts: [Attempt]) throws -> [Attempt] {
    var wrong: [Attempt] = []
    let datagrams = attempts.enumerated().filter { $0.element.proto == "UDP" }.map { ($0.offset, $0.element) }
    let streams = attempts.filter { $0.proto == "TCP" }
    let sources = Set(attempts.map(\.from))
    var clients: [(Attempt, ProbeSocket?)] = []
    for place in sources {
      let sending = datagrams.filter { $0.1.from == place }
      let connecting = streams.filter { $0.from == place }
      let begun = try work(at: place) { () throws -> [ProbeSocket?] in
        var socketOfAddress: [String: ProbeSocket] = [:]
        for (index, attempt) in sending {
          let socket = try socketOfAddress[attempt.source] ?? Self.bound(.udp(Family(of: attempt.source)), attempt)
          socketOfAddress[attempt.source] = socket
          // A refusal shows as a datagram that does not come.
          _ = try? socket.send("\(index)", to: attempt.destination, attempt.port)
        }
        return try connecting.map { attempt in
          let socket = try Self.bound(.tcp(Family(of: attempt.source)), attempt)
          do { try socket.startConnect(attempt.destination, attempt.port) } catch is Errno { return nil }
          return socket
        }
      }
      clients += zip(connecting, begun).map { ($0, $1) }
    }
    for (attempt, socket) in clients where attempt.isExpected {
      do { try socket?.finishConnect() } catch { wrong.append(attempt) }
      if socket == nil { wrong.append(attempt) }
    }
    let expected = Set(datagrams.filter { $0.1.isExpected }.map(\.0))
    var arrived: Set<Int> = []
    let deadline = Clock.monotonicNanoseconds() + UInt64(ProbeSocket.patience) * 1_000_000
    repeat { drain(into: &arrived) } while !arrived.isSuperset(of: expected) && Clock.monotonicNanoseconds() < deadline
    // What was begun before all that has succeeded would have succeeded as well by now; a moment more, to be sure.
    try? servers.last?.tcp.first?.wait(for: Int16(POLLIN), 60)
    drain(into: &arrived)
    for (attempt, socket) in clients where !attempt.isExpected {
      if let socket, (try? socket.finishConnect(within: 0)) != nil { wrong.append(attempt) }
    }
    for (index, attempt) in datagrams where arrived.contains(index) != attempt.isExpected { wrong.append(attempt) }
    for listener in servers.flatMap(\.tcp) { while (try? listener.accept(within: 0)) != nil {} }
    return wrong
  }

  /// What could not even be begun.
  private struct Trouble: Error, CustomStringConvertible {
    let attempt: Attempt
    let errno: Errno
    var description: String { "bind for \(attempt): \(errno)" }
  }

  private static func bound(_ socket: ProbeSocket, _ attempt: Attempt) throws -> ProbeSocket {
    do { try socket.bind(attempt.source) } catch let errno as Errno { throw Trouble(attempt: attempt, errno: errno) }
    return socket
  }

  private func work<T: Sendable>(at place: Int?, _ body: @escaping @Sendable () throws -> T) throws -> T {
    guard let place else { return try outside.run(body) }
    return try policed.thread("pod-\(place)").run(in: namespaces[place], body)
  }

  private func drain(into arrived: inout Set<Int>) {
    for socket in servers.flatMap({ $0.udp.values.joined() }) {
      while let text = try? socket.receive(within: 0) { if let index = Int(text) { arrived.insert(index) } }
    }
  }
}
