// Do good documents say what was written?

import Policy
import Testing

@Suite struct DocumentTests {
  @Test("a rule set is read as written")
  func ruleSet() throws {
    let text = """
      apiVersion: sallyport/v1
      kind: NetworkRuleSet
      metadata: {name: web}
      spec:
        subject: app=web
        incoming:
          - name: from-lb
            action: allow
            peers: [{selector: app=lb}, {network: corp}]
            ports: [tcp/80, tcp/8000-8080, udp/53, icmp/8]
            log: true
            mode: observe
        outgoing: []
      ---
      # An empty document says nothing.
      ---
      apiVersion: sallyport/v1
      kind: ExternalNetwork
      metadata: {name: corp, labels: {site: north}}
      spec: {cidrs: [10.0.0.0/8, "!10.1.0.0/16"]}
      """
    let policy = try parse(text).policy
    let rule = Rule(
      name: "from-lb", action: .allow,
      peers: [.selector(try Selector(parsing: "app=lb")), .network("corp")],
      ports: [
        .ports(.tcp, PortRange(80, 80)), .ports(.tcp, PortRange(8000, 8080)), .ports(.udp, PortRange(53, 53)),
        .ports(.icmp, PortRange(8, 8)),
      ], log: true, mode: .observe, source: SourceLocation(file: "f", line: 7, column: 7))
    #expect(
      policy.ruleSets == [
        RuleSet(
          name: "web", subject: try Selector(parsing: "app=web"), incoming: [rule],
          source: SourceLocation(file: "f", line: 1, column: 1))
      ])
    let corp = try #require(policy.network(named: "corp"))
    #expect(corp.labels == (try LabelSet(parsing: "site=north")))
    #expect(corp.contains(try IPAddress(parsing: "10.2.0.0")))
    #expect(!corp.contains(try IPAddress(parsing: "10.1.0.0")))
    #expect(policy.defaults == Defaults())
  }

  @Test("workloads and defaults are read as written")
  func workload() throws {
    let text =
      document(
        "Workload",
        """
        {labels: {app: web}, match: {cgroups: [/a/*], units: [n.service], executables: [/usr/bin/n], users: [www, 33]},
         addresses: [10.0.0.5, "2001:db8::5"], mode: observe}
        """) + "---\n"
      + document("Defaults", "{incoming: allow, host: {outgoing: reject}}")
    let policy = try parse(text).policy
    let workload = try #require(policy.workloads.first)
    #expect(workload.match.cgroups == [Glob("/a/*")])
    #expect(workload.match.units == [Glob("n.service")])
    #expect(workload.match.executables == [Glob("/usr/bin/n")])
    #expect(workload.match.users == ["www", "33"])
    #expect(workload.addresses.map(\.description) == ["10.0.0.5", "2001:db8::5"])
    #expect(workload.mode == .observe)
    #expect(policy.defaults.workloads == Defaults.Actions(incoming: .allow, outgoing: .reject))
    #expect(policy.defaults.host == Defaults.Actions(incoming: .allow, outgoing: .reject))
  }

  @Test("label values are the text as written, whatever YAML makes of it")
  func norway() throws {
    let text = document(
      "Workload", "{labels: {a: no, b: 1, c: 1.10, d: ~, e: , f: 0x1F, g: 2001-01-01}, addresses: []}")
    let labels = try parse(text).policy.workloads[0].labels
    #expect(labels.labels.map(\.value) == ["no", "1", "1.10", "~", "", "0x1F", "2001-01-01"])
  }

  @Test("JSON is read as well")
  func json() throws {
    let text = """
      {"apiVersion": "sallyport/v1", "kind": "NetworkRuleSet", "metadata": {"name": "web"},
      \t"spec": {"subject": {"matchLabels": {"app": "web"}, "matchExpressions":
      \t  [{"key": "tier", "operator": "NotIn", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"}]},
      \t"incoming": [{"action": "allow", "peers": "any", "ports": "any", "log": true}]}}
      """
    let policy = try parse(text).policy
    #expect(policy.ruleSets[0].subject.description == "app=web,!old,tier notin (a,b)")
    #expect(policy.ruleSets[0].incoming[0].peers == [.any])
    #expect(policy.ruleSets[0].incoming[0].ports == [.any])
  }

  @Test("what is odd is a warning, not an error")
  func warnings() throws {
    func warnings(_ text: String) throws -> [String] { try parse(text).warnings.map(\.description) }
    let empty = "{subject: \"\", incoming: [{action: allow, peers: [], ports: []}]}"
    #expect(
      try warnings(document("NetworkRuleSet", empty)) == [
        "f:4: spec.incoming[0].peers: an empty list matches nothing; write `any` for everything, or remove the rule",
        "f:4: spec.incoming[0].ports: an empty list matches nothing; write `any` for everything, or remove the rule",
      ])
    #expect(
      try warnings(document("ExternalNetwork", "{cidrs: [10.0.0.0/8, \"!11.0.0.0/8\"]}")) == [
        "f:4: spec.cidrs[1]: 11.0.0.0/8 is not inside any CIDR of this network, so the exclusion has no effect; remove or correct it"
      ])
    #expect(try warnings(document("Workload", "{labels: {a: b}}")).count == 1)
    #expect(try warnings(document("Defaults", "{}")).isEmpty)
  }

  @Test("no files at all are the empty policy")
  func nothing() throws {
    #expect(try PolicyParser.parse(files: []).policy == .empty)
    #expect(try parse("\u{feff}# nothing\n").policy == .empty)
  }

  @Test("the order of documents does not matter")
  func order() throws {
    let one = document("NetworkRuleSet", "{subject: a, incoming: []}", name: "x")
    let other = document("NetworkRuleSet", "{subject: b, incoming: []}", name: "y")
    let first = try PolicyParser.parse(files: [("1", Array(one.utf8)), ("2", Array(other.utf8))])
    let second = try PolicyParser.parse(files: [("2", Array(other.utf8)), ("1", Array(one.utf8))])
    #expect(first.policy == second.policy)
  }
}
