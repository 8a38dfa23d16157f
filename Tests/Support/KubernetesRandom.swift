// Random clusters from a seed: few names, so that everything meets.

extension KubernetesCluster {
  /// Makes the cluster of a seed.
  package init(seed: UInt64, families: Families? = nil, hostNetwork: Bool = true) {
    var random = SeededGenerator(seed: seed)
    self.init(families: families ?? random.pick(Families.allCases) ?? .both)
    for name in ["alpha", "beta", "gamma"].prefix(1 + random.below(3)) {
      namespaces[name] = random.oneIn(4) ? [:] : ["env": random.pick(Self.values) ?? "a"]
    }
    let names = namespaces.keys.sorted()
    for index in 0..<(2 + random.below(5)) {
      var pod = Pod(
        namespace: random.pick(names) ?? "alpha", name: "pod-\(index)", labels: Self.labels(&random), ports: [],
        address: 0x0a4d_0000 | UInt32(random.below(3)) << 8 | UInt32(index + 1))
      for (name, proto, numbers) in Self.named where !random.oneIn(3) {
        pod.ports.append(Port(name: name, proto: proto, number: random.pick(numbers) ?? 80))
      }
      pod.isHostNetworked = hostNetwork && random.oneIn(12)
      pods.append(pod)
    }
    for index in 0..<random.below(6) { policies.append(Self.policy(index, random.pick(names) ?? "alpha", &random)) }
    for index in 0..<random.below(5) { clusterPolicies.append(Self.clusterPolicy(index, &random)) }
  }

  /// Protocols and ports that random policies tell apart.
  package static let probes: [(proto: String, port: Int)] = [
    ("TCP", 80), ("TCP", 81), ("TCP", 8080), ("TCP", 8085), ("TCP", 9090), ("TCP", 22), ("UDP", 53), ("UDP", 5353),
    ("UDP", 80), ("SCTP", 80),
  ]

  private static let named: [(String, String, [Int])] = [
    ("http", "TCP", [80, 8080]), ("dns", "UDP", [53, 5353]), ("dns", "TCP", [5353, 81]),
    ("metrics", "TCP", [9090, 8085]),
  ]
  private static let values = ["a", "b", "c"]
  private static let keys = ["app", "tier"]

  private static func labels(_ random: inout SeededGenerator) -> [String: String] {
    var labels: [String: String] = [:]
    for key in keys where !random.oneIn(4) { labels[key] = random.pick(values) ?? "a" }
    return labels
  }

  private static func query(_ keys: [String], _ random: inout SeededGenerator) -> Query {
    var query = Query()
    if random.oneIn(4) { return query }
    let key = random.pick(keys) ?? "app"
    if random.oneIn(2) {
      query.labels[key] = random.pick(values)
    } else {
      let some = Array(values.shuffled(using: &random).prefix(1 + random.below(2)))
      switch random.below(4) {
      case 0: query.expressions = [Expression(key: key, word: "NotIn", values: some)]
      case 1: query.expressions = [Expression(key: key, word: "Exists", values: [])]
      case 2: query.expressions = [Expression(key: key, word: "DoesNotExist", values: [])]
      default: query.expressions = [Expression(key: key, word: "In", values: some)]
      }
    }
    return query
  }

  private static func namespaceQuery(_ random: inout SeededGenerator) -> Query {
    guard random.oneIn(4) else { return query(["env"], &random) }
    let name = random.pick(["alpha", "beta", "nowhere"]) ?? "alpha"
    if random.oneIn(2) { return Query(labels: ["kubernetes.io/metadata.name": name]) }
    return Query(expressions: [Expression(key: "kubernetes.io/metadata.name", word: "NotIn", values: [name])])
  }

  private static func block(_ random: inout SeededGenerator, mayExcept: Bool) -> Block {
    let length = random.pick([0, 8, 16, 24, 24, 30, 32]) ?? 24
    let address: UInt32 = 0x0a4d_0000 | UInt32(random.below(3)) << 8 | UInt32(random.below(8))
    func masked(_ address: UInt32, _ length: Int) -> UInt32 {
      length == 0 ? 0 : address & (UInt32.max << UInt32(32 - length))
    }
    var block = Block(base: masked(address, length), length: length)
    if mayExcept, length < 32, random.oneIn(2) {
      let inner = min(32, length + 1 + random.below(8))
      block.except = [(masked(address, inner), inner)]
    }
    return block
  }

  private static func ports(_ random: inout SeededGenerator, isCluster: Bool) -> [PortRule]? {
    if random.oneIn(3) { return nil }
    if !isCluster, random.oneIn(8) { return [] }
    return (0...random.below(2)).map { _ in
      let proto = random.pick(["TCP", "TCP", "UDP", "SCTP"]) ?? "TCP"
      switch random.below(5) {
      case 0: return PortRule(proto: isCluster ? nil : proto, name: random.pick(["http", "dns", "metrics", "none"]))
      case 1: return PortRule(proto: proto, number: 80, end: 8080)
      case 2 where !isCluster: return PortRule(proto: random.oneIn(2) ? nil : proto)
      default: return PortRule(proto: proto, number: random.pick([80, 81, 53, 8080, 9090]))
      }
    }
  }

  private static func peers(_ random: inout SeededGenerator, isCluster: Bool, mayBlock: Bool) -> [Peer] {
    (0...random.below(2)).map { _ in
      if mayBlock, random.oneIn(3) { return .blocks([block(&random, mayExcept: !isCluster)]) }
      if isCluster {
        return .pods(namespaces: namespaceQuery(&random), pods: random.oneIn(2) ? query(keys, &random) : nil)
      }
      let scope = random.oneIn(2) ? namespaceQuery(&random) : nil
      return .pods(namespaces: scope, pods: scope == nil || random.oneIn(2) ? query(keys, &random) : nil)
    }
  }

  private static func rules(_ random: inout SeededGenerator) -> [Rule]? {
    if random.oneIn(4) { return nil }
    return (0..<random.below(3)).map { _ in
      var rule = Rule(ports: ports(&random, isCluster: false))
      if !random.oneIn(4) { rule.peers = peers(&random, isCluster: false, mayBlock: true) }
      if random.oneIn(10) { rule.peers = [] }
      return rule
    }
  }

  private static func policy(_ index: Int, _ namespace: String, _ random: inout SeededGenerator) -> NetworkPolicy {
    let types = [nil, nil, ["Ingress"], ["Egress"], ["Ingress", "Egress"], []][random.below(6)]
    return NetworkPolicy(
      namespace: namespace, name: "policy-\(index)", pods: query(keys, &random), types: types,
      ingress: rules(&random), egress: rules(&random))
  }

  private static func clusterPolicy(_ index: Int, _ random: inout SeededGenerator) -> ClusterPolicy {
    func rules(_ random: inout SeededGenerator, isEgress: Bool) -> [Rule] {
      (0..<random.below(4)).map { _ in
        let ports = ports(&random, isCluster: true)
        // The API refuses named ports of networks.
        let isNamed = ports?.contains { $0.name != nil } ?? false
        let peers = peers(&random, isCluster: true, mayBlock: isEgress && !isNamed)
        return Rule(action: random.pick(["Accept", "Deny", "Pass"]) ?? "Deny", peers: peers, ports: ports)
      }
    }
    return ClusterPolicy(
      // Names whose order is not that of their making, and priorities that are sometimes equal.
      name: "cluster-\(random.below(9))-\(index)", tier: random.oneIn(2) ? "Admin" : "Baseline",
      priority: random.below(3), namespaces: namespaceQuery(&random),
      pods: random.oneIn(2) ? query(keys, &random) : nil,
      ingress: rules(&random, isEgress: false), egress: rules(&random, isEgress: true))
  }
}
