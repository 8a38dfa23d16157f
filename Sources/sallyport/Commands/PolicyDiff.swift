// `sallyport policy diff`: what would change if other documents were put in force.
internal import ArgumentParser
internal import Enforcement
internal import Policy

struct PolicyDiff: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff", abstract: "Show what other documents would change for the identities of this host.",
    discussion: """
      Every pair of identities, and of label sets that a rule names, is judged on every port that a rule names, by the policy in force and by the given \
      one. Lines begin with + (allowed then), - (refused then) or ~ (decided otherwise, with the same outcome).
      """)

  @Argument(help: "Files or directories.") var paths: [String]
  @OptionGroup var state: StateOptions
  @OptionGroup var options: OutputOptions

  /// One difference.
  struct Change: Encodable {
    var direction: String
    var subject: String
    var peer: String
    var port: String
    var before: String
    var after: String
    var sign: String

    var line: String {
      let arrow = direction == "outgoing" ? "->" : "<-"
      return "\(sign) \(direction) \(subject) \(arrow) \(peer) \(port): \(before) => \(after)\n"
    }
  }

  func run() throws {
    let snapshot = try state.snapshot()
    let before = try LoadedPolicy.parse(snapshot.sources).policy
    let after = try LoadedPolicy.read(paths)
    for warning in after.warnings { Terminal.warn(warning) }
    let changes = Self.changes(before, after.policy, snapshot)
    try options.print(changes) { changes.isEmpty ? "no difference\n" : changes.map(\.line).joined() }
  }

  static func changes(_ before: PolicySet, _ after: PolicySet, _ snapshot: Snapshot) -> [Change] {
    let known = snapshot.workloads.map(\.labels) + [before, after].flatMap(Self.meant(by:))
    let workloads = Set(known).sorted { $0.description < $1.description }
    let subjects = workloads.map { (Endpoint.workload($0), $0.description) } + [(.host(), "host")]
    let networks = Set((before.networks + after.networks).map(\.name)).sorted()
    let peers = subjects + networks.map { (.external([$0]), "network \($0)") } + [(.world, "world")]
    let ports = Self.ports(before, after)
    var changes: [Change] = []
    for direction in Direction.allCases {
      for (subject, subjectName) in subjects {
        for (peer, peerName) in peers {
          for (proto, port) in ports {
            let flow = Flow(direction: direction, subject: subject, peer: peer, protocol: proto, port: port)
            let (old, new) = (before.verdict(for: flow), after.verdict(for: flow))
            guard old.action != new.action || Self.cause(old) != Self.cause(new) else { continue }
            let sign = old.action == new.action ? "~" : new.action == .allow ? "+" : "-"
            let name = PortSpec.ports(proto, PortRange(port, port)).description
            changes.append(
              Change(
                direction: direction.description, subject: subjectName, peer: peerName, port: name,
                before: "\(old.action) by \(Self.cause(old))", after: "\(new.action) by \(Self.cause(new))", sign: sign)
            )
          }
        }
      }
    }
    return changes
  }

  /// A label set for every selector that a policy names: what it would mean for workloads that are not here yet.
  private static func meant(by policy: PolicySet) -> [LabelSet] {
    var selectors = policy.ruleSets.map(\.subject)
    for rule in policy.ruleSets.flatMap({ $0.incoming + $0.outgoing }) {
      for case .selector(let selector) in rule.peers { selectors.append(selector) }
    }
    return selectors.compactMap { selector in
      let labels = selector.requirements.compactMap { requirement -> Label? in
        switch requirement.operator {
        case .isIn: requirement.values.first.flatMap { try? Label(requirement.key, $0) }
        case .exists: try? Label(requirement.key, "any")
        case .notIn, .doesNotExist: nil
        }
      }
      return labels.isEmpty ? nil : try? LabelSet(labels)
    }
  }

  private static func cause(_ verdict: Verdict) -> String {
    switch verdict.decidedBy {
    case .rule(let rule): rule.description
    case .default: "default"
    case .local: "local"
    case .unlabelled: "unlabelled"
    }
  }

  /// The first port of every range that a rule names: all of a range are alike unless another range begins in it.
  private static func ports(_ policies: PolicySet...) -> [(IPProtocol, UInt16)] {
    var found: [IPProtocol: Set<UInt16>] = [:]
    for policy in policies {
      for rule in policy.ruleSets.flatMap({ $0.incoming + $0.outgoing }) {
        for case .ports(let proto, let range) in rule.ports {
          found[proto, default: []].insert(range.first)
          // What lies just behind a range may be in none any more.
          if range.last < proto.lastPort { found[proto, default: []].insert(range.last + 1) }
        }
      }
    }
    if found.isEmpty { found[.tcp] = [443] }
    return found.flatMap { proto, ports in ports.map { (proto, $0) } }
      .sorted { ($0.0.rawValue, $0.1) < ($1.0.rawValue, $1.1) }
  }
}
