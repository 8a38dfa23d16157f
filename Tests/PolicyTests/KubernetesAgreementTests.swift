// Do the translated policies say what Kubernetes says, whatever the cluster?

import Policy
import TestSupport
import Testing

@Suite struct KubernetesAgreementTests {
  @Test("rules, tables and the reference agree on random clusters", arguments: 0..<16)
  func agreement(batch: Int) throws {
    var generator = SeededGenerator(seed: UInt64(batch) &* 6007 &+ 1)
    var refused = 0
    var asked = 0
    for _ in 0..<25 {
      let seed = generator.next()
      let cluster = KubernetesCluster(seed: seed)
      let model = try KubernetesModel(cluster)
      let strangers: [KubernetesCluster.End] = [.stranger(0x0a4d_00c8), .stranger(0xcb00_7105)]
      let ends = cluster.pods.map { KubernetesCluster.End.pod($0) } + strangers
      for source in ends {
        for destination in ends {
          for (proto, port) in KubernetesCluster.probes {
            let expected = cluster.allows(from: source, to: destination, proto: proto, port: port)
            let byRules = model.allows(from: source, to: destination, proto, port)
            let byTables = model.tablesAllow(from: source, to: destination, proto, port)
            asked += 1
            refused += expected ? 0 : 1
            let byWideTables = model.tablesAllow(from: source, to: destination, proto, port, areWide: true)
            guard byRules == expected, byTables == expected, byWideTables == expected else {
              Issue.record(
                """
                seed \(seed): \(source) to \(destination) \(proto)/\(port): expected \(expected), rules \(byRules), \
                tables \(byTables), wide tables \(byWideTables)
                \(cluster.yaml)
                """)
              return
            }
          }
        }
      }
    }
    // Either answer must be common, or the agreement says little.
    #expect(refused > asked / 10 && refused < asked * 9 / 10)
  }
}

/// What the product makes of a cluster.
struct KubernetesModel {
  let policy: PolicySet
  private let tables: Tables
  /// Likewise, with every rule for nearly all peers written as one for any.
  private let wideTables: Tables
  private let numbers: [LabelSet: IdentityNumber]
  private let labels: [String: LabelSet]
  private let families: KubernetesCluster.Families
  private let offline: OfflinePolicy

  /// Reads a cluster with its own policies, or its objects with others.
  init(_ cluster: KubernetesCluster, policies: String? = nil) throws {
    let text = policies.map { cluster.objectsYAML + $0 } ?? cluster.yaml
    policy = try PolicyParser.parse(files: [("cluster.yaml", Array(text.utf8))]).policy
    offline = try OfflinePolicy(policy)
    labels = Dictionary(uniqueKeysWithValues: policy.pods.map { ($0.title, $0.labels) })
    families = cluster.families
    var numbers: [LabelSet: IdentityNumber] = [:]
    for labels in Set(labels.values).sorted(by: { $0.description < $1.description }) {
      numbers[labels] = IdentityNumber(rawValue: IdentityNumber.firstAllotted.rawValue + UInt32(numbers.count))
    }
    self.numbers = numbers
    let identities = Dictionary(uniqueKeysWithValues: numbers.map { ($1, $0) })
    tables = try Compiler.compile(policy: policy, identities: identities).tables
    wideTables = try Compiler.compile(policy: policy, identities: identities, widePeers: 1).tables
  }

  /// The answer of the command line, by the texts that it takes.
  func offlineAllows(_ source: String, _ destination: String, _ port: String) throws -> Bool {
    var offline = offline
    let (from, to) = (try offline.end(source), try offline.end(destination))
    let (proto, number) = try offline.port(port, of: to)
    let (outgoing, incoming) = offline.decisions(from: from, to: to, protocol: proto, port: number)
    return outgoing?.action != .reject && incoming?.action != .reject
  }

  private func address(_ address: UInt32) -> IPAddress {
    let text = KubernetesCluster.text(address, isIPv4: families != .ipv6)
    return (try? IPAddress(parsing: text)) ?? IPAddress(high: 0, low: 0)
  }

  private func endpoint(_ end: KubernetesCluster.End) -> Endpoint {
    switch end {
    case .pod(let pod): labels[pod.title].map(Endpoint.workload) ?? .unknown
    case .stranger(let number): .external(policy.networks(containing: address(number)))
    }
  }

  private func identity(_ end: KubernetesCluster.End) -> IdentityNumber {
    switch end {
    case .pod(let pod): labels[pod.title].flatMap { numbers[$0] } ?? .unknown
    case .stranger(let number): tables.identity(of: address(number))
    }
  }

  private func each(
    _ source: KubernetesCluster.End, _ destination: KubernetesCluster.End,
    _ judge: (Direction, KubernetesCluster.End, KubernetesCluster.End) -> Action
  ) -> Bool {
    if case .pod(let one) = source, case .pod(let other) = destination, one.title == other.title { return true }
    if case .pod = source, judge(.outgoing, source, destination) == .reject { return false }
    if case .pod = destination, judge(.incoming, destination, source) == .reject { return false }
    return true
  }

  func allows(
    from source: KubernetesCluster.End, to destination: KubernetesCluster.End, _ proto: String, _ port: Int
  ) -> Bool {
    each(source, destination) { direction, subject, peer in
      policy.verdict(
        for: Flow(
          direction: direction, subject: endpoint(subject), peer: endpoint(peer),
          protocol: IPProtocol(named: proto.lowercased()) ?? .tcp, port: UInt16(port))
      ).action
    }
  }

  func tablesAllow(
    from source: KubernetesCluster.End, to destination: KubernetesCluster.End, _ proto: String, _ port: Int,
    areWide: Bool = false
  ) -> Bool {
    each(source, destination) { direction, subject, peer in
      (areWide ? wideTables : tables).verdict(
        direction, subject: identity(subject), peer: identity(peer),
        protocol: IPProtocol(named: proto.lowercased()) ?? .tcp, port: UInt16(port)
      ).action
    }
  }
}
