// A large policy such as an organisation writes: applications with their own rule sets, a few broad rules over all.

internal import Benchmark
internal import Policy

/// A policy of many applications, and the identities it is for; the same seed gives the same.
///
/// Identities are `app` (one per ten rules) × `tier` (5) × `env` (4) × `team` (50). Each application has a rule set of
/// ten rules: mostly other applications as peers, some narrowed by environment, some external networks. Broad rules
/// (peer `tier=web`, about half of all peer classes) bring the number of compiled entries near what is wanted. One rule
/// set, of the application `wide`, compiles to about 16,000 entries which `variant` changes and nothing else.
struct SyntheticPolicy: Sendable {
  let rules: Int
  let identityCount: Int
  /// About how many compiled entries are wanted.
  let cells: Int
  let seed: UInt64

  /// Rule sets that are added to those of the seed, for the sockets under test.
  var extra: [RuleSet] = []

  /// Whether the application `wide` is in it.
  var isWide = true

  private static let tiers = ["web", "api", "db", "cache", "batch"]
  private static let environments = ["prod", "stage", "test", "dev"]
  private static let teams = 50
  private static let networkCount = 200
  /// Peer classes are the application, whether it is `prod`, whether it is `web`.
  private static let classesPerApplication = 4

  /// None without rules.
  var applications: Int { rules == 0 ? 0 : max(1, rules / 10) }

  /// Distinct label sets; the last one is the only one of the application `wide`.
  func identities() throws -> [LabelSet] {
    var numbers = SeededNumbers(seed: seed)
    var seen: Set<LabelSet> = []
    var found: [LabelSet] = []
    found.reserveCapacity(identityCount)
    let combinations = applications * Self.tiers.count * Self.environments.count * Self.teams
    while found.count < min(identityCount - 1, combinations / 2) {
      let labels = try LabelSet([
        Label("app", "a\(numbers.below(applications))"), Label("tier", Self.tiers[numbers.below(5)]),
        Label("env", Self.environments[numbers.below(4)]), Label("team", "t\(numbers.below(Self.teams))"),
      ])
      if seen.insert(labels).inserted { found.append(labels) }
    }
    found.append(try LabelSet([Label("app", "wide"), Label("env", "dev"), Label("tier", "db")]))
    return found
  }

  /// The policy; `variant` (0…2) changes what the rule of `wide` says, and so about 16,000 entries.
  func policy(variant: Int = 0) throws -> PolicySet {
    var numbers = SeededNumbers(seed: seed ^ 0x5a11)
    var ruleSets = extra
    // Found by counting: ordinary rules give about nine entries each, `wide` 16,000, a broad rule one per web class.
    let broadShare = max(0, cells - rules * 9 - (isWide ? 16_000 : 0)) / max(1, applications * 19 / 10)
    for application in 0..<applications {
      var incoming: [Rule] = []
      var outgoing: [Rule] = []
      for index in 0..<5 {
        incoming.append(try rule("in\(index)", &numbers))
        outgoing.append(try rule("out\(index)", &numbers))
      }
      // Spread over the applications, so that no subject has more than the others.
      for broad in 0..<(broadShare * (application + 1) / applications - broadShare * application / applications) {
        incoming.append(
          Rule(
            name: "broad\(broad)", action: .allow, peers: [try selector("tier=web")],
            ports: [.ports(.tcp, PortRange(9000 + UInt16(broad), 9000 + UInt16(broad)))]))
      }
      ruleSets.append(
        RuleSet(
          name: "app-\(application)", subject: try Selector(parsing: "app=a\(application)"), incoming: incoming,
          outgoing: outgoing))
    }
    if isWide { ruleSets.append(try wide(variant)) }
    return try PolicySet(ruleSets: ruleSets, networks: try networks(&numbers))
  }

  private func wide(_ variant: Int) throws -> RuleSet {
    // Half of the classes are `web`; so many ports that the product is about 16,000.
    let classes = max(1, applications * Self.classesPerApplication / 2)
    let ports = max(1, min(2000, 16_000 / classes))
    let specs = (0..<ports).map { PortSpec.ports(.tcp, PortRange(20_000 + UInt16($0) * 2, 20_000 + UInt16($0) * 2)) }
    let rule = Rule(
      name: "everybody", action: variant == 2 ? .reject : .allow, peers: [try selector("tier=web")], ports: specs,
      log: variant == 1)
    return RuleSet(name: "wide", subject: try Selector(parsing: "app=wide"), incoming: [rule])
  }

  private func rule(_ name: String, _ numbers: inout SeededNumbers) throws -> Rule {
    let peer: Peer
    if numbers.percent(10) {
      peer = .network("net-\(numbers.below(Self.networkCount))")
    } else {
      let narrowed = numbers.percent(20) ? ",env=prod" : ""
      peer = try selector("app=a\(numbers.below(applications))\(narrowed)")
    }
    let service = UInt16(8000 + numbers.below(100))
    let ports: [PortSpec] =
      switch numbers.below(4) {
      case 0: [.ports(.tcp, PortRange(443, 443)), .ports(.udp, PortRange(443, 443))]
      case 1: [.ports(.tcp, PortRange(service, service + 5))]
      case 2: [.ports(.udp, PortRange(53, 53)), .ports(.tcp, PortRange(53, 53))]
      default: [.ports(.tcp, PortRange(service, service))]
      }
    return Rule(
      name: name, action: numbers.percent(5) ? .reject : .allow, peers: [peer], ports: ports,
      log: numbers.percent(5), mode: numbers.percent(3) ? .observe : .enforce)
  }

  private func selector(_ text: String) throws -> Peer { .selector(try Selector(parsing: text)) }

  private func networks(_ numbers: inout SeededNumbers) throws -> [ExternalNetwork] {
    try (0..<Self.networkCount).map { index in
      let base = UInt32(0x1400_0000) + UInt32(index) << 16
      let prefixes = (0..<4).map { _ in
        IPPrefix(masking: IPAddress(ipv4: base + UInt32(numbers.below(65_536))), length: 96 + 20 + numbers.below(8))
      }
      let around = IPPrefix(masking: IPAddress(high: 0x2001_0db8_0000_0000 | UInt64(index) << 8, low: 0), length: 56)
      return ExternalNetwork(
        name: "net-\(index)", labels: try LabelSet([Label("zone", "z\(index % 10)")]), prefixes: prefixes + [around])
    }
  }
}
