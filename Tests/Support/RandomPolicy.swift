// Random policies and flows from a seed, so that every failure can be had again.

internal import Benchmark
package import Policy

/// SplitMix64: the same seed gives the same numbers everywhere.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var numbers: SeededNumbers

  /// Takes any seed.
  package init(seed: UInt64) { numbers = SeededNumbers(seed: seed) }

  /// The next 64 bits.
  package mutating func next() -> UInt64 { numbers.next() }

  /// A number in 0..<count, 0 if there are none.
  package mutating func below(_ count: Int) -> Int { numbers.below(count) }

  /// True once in so many times.
  package mutating func oneIn(_ count: Int) -> Bool { below(count) == 0 }

  /// One of the elements, nil if there are none.
  package mutating func pick<Element>(_ elements: [Element]) -> Element? {
    elements.isEmpty ? nil : elements[below(elements.count)]
  }
}

/// A small random policy with identities, full of overlaps.
package struct RandomPolicy: Sendable {
  /// From what it was made; print it when a test fails.
  package let seed: UInt64
  /// The policy.
  package let policy: PolicySet
  /// The identities of the workloads.
  package let identities: [IdentityNumber: LabelSet]

  /// Makes the policy of a seed.
  package init(seed: UInt64) throws {
    self.seed = seed
    var random = SeededGenerator(seed: seed)
    var networks: [ExternalNetwork] = []
    for index in 0..<random.below(5) { networks.append(try Self.network("net\(index)", &random)) }
    let names = networks.map(\.name)
    var ruleSets: [RuleSet] = []
    for index in 0..<(1 + random.below(5)) {
      let incoming = try Self.rules(names, &random)
      let outgoing = try Self.rules(names, &random)
      // Names whose order is not that of their making.
      let name = "\(random.below(9))-set\(index)"
      ruleSets.append(
        RuleSet(name: name, subject: try Self.selector(&random), incoming: incoming, outgoing: outgoing))
    }
    func action(_ random: inout SeededGenerator) -> Action { random.oneIn(2) ? .allow : .reject }
    let defaults = Defaults(
      workloads: .init(incoming: action(&random), outgoing: action(&random)),
      host: .init(incoming: action(&random), outgoing: action(&random)))
    policy = try PolicySet(ruleSets: ruleSets, networks: networks, defaults: defaults)
    var identities: [IdentityNumber: LabelSet] = [:]
    for index in 0..<(1 + random.below(20)) {
      let number = IdentityNumber(rawValue: IdentityNumber.firstAllotted.rawValue + UInt32(index))
      identities[number] = try Self.labels(&random)
    }
    self.identities = identities
  }

  private static let keys = ["app", "tier", "zone", "legacy"]
  private static let values = ["a", "b", "c"]

  /// Random labels over few keys and values.
  package static func labels(_ random: inout SeededGenerator) throws -> LabelSet {
    var labels: [Label] = []
    for key in keys where !random.oneIn(3) { labels.append(try Label(key, random.pick(values) ?? "")) }
    return try LabelSet(labels)
  }

  /// A random selector of 0…3 requirements of every kind.
  package static func selector(_ random: inout SeededGenerator) throws -> Selector {
    if random.oneIn(5) { return .everything }
    if random.oneIn(12) {
      let word = random.pick(["host", "world", "unknown"]) ?? "host"
      return Selector([try Policy.Requirement("sallyport.identity", random.oneIn(2) ? .isIn : .notIn, [word])])
    }
    if random.oneIn(12) { return Selector([try Policy.Requirement("sallyport.network", .isIn, ["net0", "net1"])]) }
    var requirements: [Policy.Requirement] = []
    for _ in 0..<(1 + random.below(2)) {
      let key = random.pick(keys) ?? "app"
      let some = random.oneIn(2) ? [random.pick(values) ?? "a"] : Array(values.shuffled(using: &random).prefix(2))
      switch random.below(6) {
      case 0: requirements.append(try Policy.Requirement(key, .notIn, some))
      case 1: requirements.append(try Policy.Requirement(key, .exists))
      case 2: requirements.append(try Policy.Requirement(key, .doesNotExist))
      default: requirements.append(try Policy.Requirement(key, .isIn, some))
      }
    }
    return Selector(requirements)
  }

  private static func prefix(_ random: inout SeededGenerator) -> IPPrefix {
    if random.oneIn(10) { return random.oneIn(2) ? .allIPv4 : .allIPv6 }
    let length = [4, 8, 12, 16, 24, 32][random.below(6)]
    if random.oneIn(3) { return IPPrefix(masking: address6(&random), length: length + 28) }
    return IPPrefix(masking: address4(&random), length: length + 96)
  }

  private static func address4(_ random: inout SeededGenerator) -> IPAddress {
    // Few different octets, so that prefixes and addresses meet.
    let octets = (0..<4).map { _ in UInt32(random.pick([10, 11, 26, 0]) ?? 10) }
    return IPAddress(ipv4: octets.reduce(0) { $0 << 8 | $1 })
  }

  private static func address6(_ random: inout SeededGenerator) -> IPAddress {
    IPAddress(
      high: 0x2001_0db8_0000_0000 | UInt64(random.below(3)) << 24 | UInt64(random.below(2)),
      low: UInt64(random.below(3)))
  }

  /// An address near the networks of random policies.
  package static func address(_ random: inout SeededGenerator) -> IPAddress {
    random.oneIn(3) ? address6(&random) : address4(&random)
  }

  private static func network(_ name: String, _ random: inout SeededGenerator) throws -> ExternalNetwork {
    let labels = try labels(&random)
    let prefixes = (0..<(1 + random.below(4))).map { _ in prefix(&random) }
    var excluded = (0..<random.below(3)).map { _ in prefix(&random) }
    // Exclusions that lie inside a prefix are the ones that matter.
    if let around = random.pick(prefixes), random.oneIn(2) {
      let inside = IPPrefix(masking: around.address, length: around.length + random.below(9))
      if inside != around { excluded.append(inside) }
    }
    return ExternalNetwork(name: name, labels: labels, prefixes: prefixes, excluded: excluded)
  }

  private static let ports: [UInt16] = [0, 1, 22, 53, 80, 443, 8000, 8080, 65534, 65535]
  private static let protocols: [IPProtocol] = [
    .tcp, .tcp, .tcp, .udp, .udp, .sctp, .icmp, .icmp6, IPProtocol(rawValue: 47), IPProtocol(rawValue: 255),
  ]

  private static func spec(_ random: inout SeededGenerator) -> PortSpec {
    let proto = random.pick(protocols) ?? .tcp
    if random.oneIn(5) { return .all(proto) }
    let first = (random.pick(ports) ?? 0) & proto.lastPort
    let last = random.oneIn(2) ? first : (random.pick(ports) ?? 0) & proto.lastPort
    return .ports(proto, PortRange(first, last))
  }

  private static func rules(_ networks: [String], _ random: inout SeededGenerator) throws -> [Rule] {
    var rules: [Rule] = []
    for index in 0..<random.below(6) {
      var peers: [Peer] = []
      if random.oneIn(4) {
        peers = [.any]
      } else {
        for _ in 0..<random.below(4) {
          if let network = random.pick(networks), random.oneIn(3) {
            peers.append(.network(network))
          } else {
            peers.append(.selector(try selector(&random)))
          }
        }
      }
      var ports = (0..<random.below(4)).map { _ in spec(&random) }
      if random.oneIn(4) { ports = [.any] }
      rules.append(
        Rule(
          name: "r\(index)", action: random.oneIn(3) ? .reject : .allow, peers: peers, ports: ports,
          log: random.oneIn(3), mode: random.oneIn(4) ? .observe : .enforce))
    }
    return rules
  }
}

/// One question to ask of a policy and of its tables.
package struct RandomQuestion: Sendable {
  /// The flow as the specification takes it.
  package let flow: Flow
  /// The subject as the tables know it.
  package let subject: IdentityNumber
  /// The peer as the tables know it, nil if it is an address.
  package let peer: IdentityNumber?
  /// The address of an external peer, nil if the peer is an identity of this host.
  package let address: IPAddress?

  /// Draws a question about a policy.
  package init(about random: RandomPolicy, using generator: inout SeededGenerator) {
    func known(_ generator: inout SeededGenerator) -> (IdentityNumber, Endpoint) {
      switch generator.below(8) {
      case 0: return (.host, .host())
      case 1: return (.unknown, .unknown)
      case 2: return (.world, .world)
      default:
        let number = generator.pick(random.identities.keys.sorted()) ?? .unknown
        return (number, random.identities[number].map(Endpoint.workload) ?? .unknown)
      }
    }
    let (subject, own) = known(&generator)
    var (peer, other): (IdentityNumber?, Endpoint) = known(&generator)
    var address: IPAddress?
    if generator.oneIn(3) {
      let drawn = RandomPolicy.address(&generator)
      (peer, address) = (nil, drawn)
      other = .external(random.policy.networks(containing: drawn))
    }
    let proto = generator.pick([.tcp, .tcp, .udp, .sctp, .icmp, .icmp6, IPProtocol(rawValue: 47)]) ?? .tcp
    let ports: [UInt16] = [
      0, 1, 2, 21, 22, 23, 53, 80, 81, 442, 443, 444, 8000, 8050, 8081, 65533, 65534, 65535,
    ]
    let port = generator.pick(ports) ?? 0
    flow = Flow(
      direction: generator.oneIn(2) ? .outgoing : .incoming, subject: own, peer: other, protocol: proto, port: port)
    self.subject = subject
    self.peer = peer
    self.address = address
  }

  /// What compiled tables answer.
  package func verdict(of tables: Tables) -> Verdict {
    let number = peer ?? address.map(tables.identity(of:)) ?? .unknown
    return tables.verdict(
      flow.direction, subject: subject, peer: number, protocol: flow.protocol, port: flow.port)
  }
}
