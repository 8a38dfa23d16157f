// Does the specification of the verdict say what the product promises, one promise at a time?

import Policy
import TestSupport
import Testing

/// A flow between two workloads, or from or to what `peer` says.
private func flow(
  _ direction: Direction = .incoming, subject: String = "app=web", peer: Endpoint, _ port: String = "tcp/80",
  local: Bool = false
) throws -> Flow {
  guard case .ports(let proto, let range) = try PortSpec(parsing: port) else { throw Unusable() }
  return Flow(
    direction: direction, subject: .workload(try LabelSet(parsing: subject)), peer: peer, protocol: proto,
    port: range.first, sameWorkload: local)
}

private struct Unusable: Error {}

private func workload(_ labels: String) throws -> Endpoint { .workload(try LabelSet(parsing: labels)) }

private func given(
  _ rules: [(String, Rule)], subject: String = "app=web", networks: [ExternalNetwork] = [],
  defaults: Defaults = Defaults()
) throws -> PolicySet {
  var sets: [String: RuleSet] = [:]
  for (name, rule) in rules {
    let fresh = RuleSet(name: name, subject: try Selector(parsing: subject))
    sets[name, default: fresh].incoming.append(rule)
    sets[name]?.outgoing.append(rule)
  }
  return try PolicySet(ruleSets: Array(sets.values), networks: networks, defaults: defaults)
}

private func rule(
  _ action: RuleAction, _ peers: [Peer] = [.any], _ ports: [String] = ["any"], _ mode: Mode = .enforce,
  log: Bool = false
) throws -> Rule {
  Rule(action: action, peers: peers, ports: try ports.map(PortSpec.init(parsing:)), log: log, mode: mode)
}

private func peer(_ selector: String) throws -> Peer { .selector(try Selector(parsing: selector)) }

private func winner(_ verdict: Verdict) -> String {
  switch verdict.decidedBy {
  case .rule(let rule): "\(verdict.action) \(rule)"
  case .default: "\(verdict.action) default"
  case .local: "\(verdict.action) local"
  case .unlabelled: "\(verdict.action) unlabelled"
  }
}

@Suite struct SemanticsTests {
  @Test("without rules the default decides, and it is reject but for the host")
  func defaults() throws {
    let empty = PolicySet.empty
    #expect(winner(empty.verdict(for: try flow(peer: .world))) == "reject default")
    let host = Flow(direction: .outgoing, subject: .host(), peer: .world, protocol: .tcp, port: 80)
    #expect(winner(empty.verdict(for: host)) == "allow default")
    let open = Defaults(
      workloads: .init(incoming: .allow, outgoing: .reject), host: .init(incoming: .reject, outgoing: .allow))
    let some = try given([], defaults: open)
    #expect(winner(some.verdict(for: try flow(.incoming, peer: .world))) == "allow default")
    #expect(winner(some.verdict(for: try flow(.outgoing, peer: .world))) == "reject default")
  }

  @Test("incoming rules say nothing about outgoing flows: both ends decide on their own")
  func bothEnds() throws {
    let sets = [
      RuleSet(name: "web", subject: try Selector(parsing: "app=web"), incoming: [try rule(.allow, [peer("app=lb")])])
    ]
    let policy = try PolicySet(ruleSets: sets)
    let lb = try workload("app=lb")
    #expect(policy.verdict(for: try flow(.incoming, peer: lb)).action == .allow)
    #expect(policy.verdict(for: try flow(.outgoing, peer: lb)).action == .reject)
    // The other end has no rules of its own.
    #expect(policy.verdict(for: try flow(.outgoing, subject: "app=lb", peer: workload("app=web"))).action == .reject)
  }

  @Test("reject beats allow, whatever the order, names and precision")
  func rejectWins() throws {
    for names in [("a", "b"), ("b", "a"), ("a", "a")] {
      let narrow = try given([
        (names.0, rule(.allow, [peer("app=lb")], ["tcp/80"])), (names.1, rule(.reject)),
      ])
      #expect(narrow.verdict(for: try flow(peer: workload("app=lb"))).action == .reject)
    }
  }

  @Test("among equals the first rule-set name wins, then the first position")
  func ties() throws {
    let policy = try given([
      ("b", rule(.allow)), ("a", rule(.allow, [.any], ["udp/1"])), ("a", rule(.allow)), ("a", rule(.allow)),
    ])
    #expect(winner(policy.verdict(for: try flow(peer: .world))) == "allow a/incoming[1]")
    #expect(winner(policy.verdict(for: try flow(.outgoing, peer: .world))) == "allow a/outgoing[1]")
  }

  @Test("an observed rule is reported as if enforced and changes nothing")
  func observe() throws {
    let policy = try given([("a", rule(.allow)), ("b", rule(.reject, [peer("app=lb")], ["any"], .observe, log: true))])
    let verdict = policy.verdict(for: try flow(peer: workload("app=lb")))
    #expect(winner(verdict) == "allow a/incoming[0]")
    #expect(verdict.observed?.rule.description == "b/incoming[0]")
    #expect(verdict.observed?.action == .reject)
    #expect(verdict.log)
    // One that would not win is not reported.
    let beaten = try given([("a", rule(.allow)), ("b", rule(.allow, [.any], ["any"], .observe))])
    #expect(beaten.verdict(for: try flow(peer: workload("app=lb"))).observed == nil)
    // One that decides alone leaves the default in force.
    let alone = try given([("a", rule(.allow, [.any], ["any"], .observe))])
    let found = alone.verdict(for: try flow(peer: .world))
    #expect(winner(found) == "reject default")
    #expect(found.observed?.action == .allow)
  }

  @Test("a workload may always talk to itself")
  func local() throws {
    let policy = try given([("a", rule(.reject, [.any], ["any"], .enforce, log: true))])
    let verdict = policy.verdict(for: try flow(peer: workload("app=web"), local: true))
    #expect(verdict == Verdict(action: .allow, decidedBy: .local))
    // Another workload of the same labels is another workload.
    #expect(policy.verdict(for: try flow(peer: workload("app=web"))).action == .reject)
  }

  @Test("an empty selector matches everything, an empty list nothing")
  func empty() throws {
    let network = ExternalNetwork(name: "net", prefixes: [.allIPv4])
    let all = try given([("a", rule(.allow))], networks: [network])
    let nobody = try given([("a", rule(.allow, []))], networks: [network])
    let nothing = try given([("a", rule(.allow, [.any], []))], networks: [network])
    for peer in [Endpoint.world, .unknown, .host(), .external(["net"]), try workload("a=b"), .workload(.empty)] {
      #expect(all.verdict(for: try flow(peer: peer)).action == .allow)
      #expect(winner(nobody.verdict(for: try flow(peer: peer))) == "reject default")
      #expect(winner(nothing.verdict(for: try flow(peer: peer))) == "reject default")
    }
  }

  @Test("an external address is matched through any of its networks")
  func networks() throws {
    let wide = ExternalNetwork(name: "wide", labels: try LabelSet(parsing: "trust=no"), prefixes: [.allIPv4])
    let narrow = ExternalNetwork(
      name: "narrow", labels: try LabelSet(parsing: "trust=yes"), prefixes: [try IPPrefix(parsing: "10.0.0.0/8")])
    // A reject of the wide network is not shadowed by an allow of the narrow one.
    let policy = try given(
      [("a", rule(.allow, [.network("narrow")])), ("b", rule(.reject, [peer("trust=no")], ["tcp/22"]))],
      networks: [wide, narrow])
    let inside = Endpoint.external(policy.networks(containing: try IPAddress(parsing: "10.1.1.1")))
    let outside = Endpoint.external(policy.networks(containing: try IPAddress(parsing: "11.1.1.1")))
    #expect(inside.networks == ["narrow", "wide"])
    #expect(winner(policy.verdict(for: try flow(peer: inside))) == "allow a/incoming[0]")
    #expect(winner(policy.verdict(for: try flow(peer: inside, "tcp/22"))) == "reject b/incoming[0]")
    #expect(winner(policy.verdict(for: try flow(peer: outside))) == "reject default")
    #expect(policy.matches(try Selector(parsing: "sallyport.network=narrow"), inside))
    #expect(policy.matches(try Selector(parsing: "sallyport.network=narrow,trust=yes"), inside))
    // One network must fulfil all of a selector.
    #expect(!policy.matches(try Selector(parsing: "sallyport.network=narrow,trust=no"), inside))
  }

  @Test("exclusions lower their own network only, whatever their order")
  func exclusions() throws {
    let ten = try IPPrefix(parsing: "10.0.0.0/8")
    let one = try IPPrefix(parsing: "10.1.0.0/16")
    let policy = try PolicySet(networks: [
      ExternalNetwork(name: "a", prefixes: [ten, try IPPrefix(parsing: "10.1.2.0/24")], excluded: [one]),
      ExternalNetwork(name: "b", prefixes: [ten]),
    ])
    #expect(policy.networks(containing: try IPAddress(parsing: "10.2.0.1")) == ["a", "b"])
    #expect(policy.networks(containing: try IPAddress(parsing: "10.1.2.1")) == ["b"])
    #expect(policy.networks(containing: try IPAddress(parsing: "11.0.0.1")) == [])
    #expect(Endpoint.external([]) == .world)
  }

  @Test("every protocol is policed", arguments: ["tcp/1", "udp/1", "sctp/1", "icmp/8", "icmp6/128", "gre", "ip/253"])
  func protocols(_ port: String) throws {
    let policy = try given([("a", rule(.allow, [.any], [port]))])
    #expect(policy.verdict(for: try flow(peer: .world, port)).action == .allow)
    #expect(policy.verdict(for: try flow(peer: .world, "udp/2")).action == .reject)
    #expect(policy.verdict(for: try flow(peer: .world, "dccp")).action == .reject)
  }
}

@Suite struct ExplanationTests {
  @Test("a default reject names what to add")
  func missing() throws {
    let policy = try given([("web", rule(.allow, [peer("app=lb")], ["tcp/443"]))])
    let explanation = policy.explain(try flow(.outgoing, peer: workload("app=lb")))
    #expect(explanation.matches.isEmpty)
    #expect(explanation.ruleSets == ["web"])
    let rule = "{action: allow, peers: [{selector: app=lb}], ports: [tcp/80]}"
    #expect(
      explanation.flips == [
        "add tcp/80 to web/outgoing[0]", "add \(rule) to outgoing of web",
      ])
    let stranger = policy.explain(try flow(subject: "app=db", peer: .external(["corp"])))
    #expect(
      stranger.flips == [
        "add a rule set with subject \"app=db\" and incoming [{action: allow, peers: [{network: corp}], ports: [tcp/80]}]"
      ])
  }

  @Test("what it suggests does turn the verdict around")
  func flips() throws {
    var generator = SeededGenerator(seed: 4)
    var flipped = 0
    for _ in 0..<400 {
      let random = try RandomPolicy(seed: generator.next())
      for _ in 0..<5 {
        let flow = RandomQuestion(about: random, using: &generator).flow
        let explanation = random.policy.explain(flow)
        guard let suggestion = explanation.suggestion else { continue }
        let changed = try PolicySet(
          ruleSets: random.policy.ruleSets + [suggestion], networks: random.policy.networks,
          defaults: random.policy.defaults)
        flipped += 1
        #expect(changed.verdict(for: flow).action != explanation.verdict.action, "seed \(random.seed): \(flow)")
      }
    }
    #expect(flipped > 500)
  }

  @Test("nothing is suggested for an end that no label tells apart")
  func noLabels() throws {
    let explanation = PolicySet.empty.explain(try flow(peer: .workload(.empty)))
    #expect(explanation.suggestion == nil)
    #expect(explanation.flips == ["give both ends labels, so that a rule can name them"])
  }

  @Test("a reject names every rule in the way, and all matching rules in order")
  func rejected() throws {
    let policy = try given([
      ("b", rule(.reject)), ("a", rule(.allow)), ("c", rule(.reject, [peer("app=lb")])),
      ("d", rule(.reject, [.any], ["any"], .observe)),
    ])
    let explanation = policy.explain(try flow(peer: workload("app=lb")))
    #expect(explanation.flips == ["remove or narrow b/incoming[0] and c/incoming[0]"])
    #expect(explanation.suggestion == nil)
    #expect(
      explanation.description == """
        reject: rule b/incoming[0]
          allow by a/incoming[0]
        * reject by b/incoming[0]
          reject by c/incoming[0]
          reject by d/incoming[0], observed only
        to change it: remove or narrow b/incoming[0] and c/incoming[0]
        """)
  }

  @Test("an observed rule of the other action is one to enforce")
  func observed() throws {
    let policy = try given([("a", rule(.allow, [.any], ["any"], .observe))])
    let explanation = policy.explain(try flow(peer: .world))
    #expect(explanation.flips.first == "set `mode: enforce` on a/incoming[0]")
    #expect(explanation.matches.map(\.wins) == [true])
  }

  @Test("an unlabelled child is refused whatever policy says, and unknown to others, also to its own workload")
  func unlabelled() throws {
    let policy = try given(
      [("all", rule(.allow))], defaults: Defaults(workloads: .init(incoming: .allow, outgoing: .allow)))
    let child = Endpoint.unlabelled(childOf: "/web")
    for direction in [Direction.outgoing, .incoming] {
      let own = Flow(
        direction: direction, subject: child, peer: try workload("app=web"), protocol: .tcp, port: 80,
        sameWorkload: true)
      #expect(policy.verdict(for: own) == Verdict(action: .reject, decidedBy: .unlabelled))
      let explained = policy.explain(own)
      #expect(explained.description.contains("unlabelled child of /web"))
      #expect(explained.flips.first?.contains("children: inherit") == true && explained.suggestion == nil)
    }
    let onlyWeb = try given([("web", rule(.allow, [peer("app=web")]))])
    #expect(winner(onlyWeb.verdict(for: try flow(peer: child, local: true))) == "reject default")
    let unknown = try given([("unknown", rule(.allow, [peer("sallyport.identity=unknown")]))])
    #expect(winner(unknown.verdict(for: try flow(peer: child))).hasPrefix("allow"))
  }
}
