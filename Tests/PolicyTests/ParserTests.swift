// Is every fault in a document found, and said with its place and remedy?

import Policy
import TestSupport
import Testing

/// A fault: the text, and the one error that it must give.
struct Fault: Sendable, CustomTestStringConvertible {
  let name: String
  let text: String
  let error: String
  var testDescription: String { name }

  init(_ name: String, _ text: String, _ error: String) {
    self.name = name
    self.text = text
    self.error = error
  }

  /// A rule set whose only rule has these two fields.
  static func rule(_ name: String, peers: String = "any", ports: String = "any", _ error: String) -> Fault {
    let rule = "{action: allow, peers: \(peers), ports: \(ports)}"
    return Fault(name, document("NetworkRuleSet", "{subject: app=web, incoming: [\(rule)]}"), error)
  }
}

func document(_ kind: String, _ spec: String, name: String = "a", metadata: String = "") -> String {
  "apiVersion: sallyport/v1\nkind: \(kind)\nmetadata: {name: \(name)\(metadata)}\nspec: \(spec)\n"
}

func parse(_ text: String, file: String = "f") throws(PolicyErrors) -> ParsedPolicy {
  try PolicyParser.parse(files: [(file, Array(text.utf8))])
}

func errors(_ text: String) -> [String] {
  do {
    _ = try parse(text)
    return []
  } catch {
    return error.errors.map(\.description)
  }
}

@Suite struct ParserTests {
  static let envelope = [
    Fault(
      "apiVersion is missing", "kind: Defaults\nmetadata: {name: a}\nspec: {}",
      "f:1: apiVersion: is missing; write `apiVersion: sallyport/v1`"),
    Fault(
      "another version", "apiVersion: sallyport/v2\nkind: Defaults\nmetadata: {name: a}\nspec: {}",
      "f:1: apiVersion: \"sallyport/v2\" is not an apiVersion that is read; did you mean `sallyport/v1`?"),
    Fault(
      "kind is missing", "apiVersion: sallyport/v1\nmetadata: {name: a}\nspec: {}",
      "f:1: kind: is missing; write one of NetworkRuleSet, ExternalNetwork, Workload, Defaults"),
    Fault(
      "a kind with a typing error", document("NetworkRuleset", "{}"),
      "f:2: kind: unknown kind \"NetworkRuleset\"; did you mean `NetworkRuleSet`?"),
    Fault(
      "a document that is a list", "- a",
      "f:1: must be a mapping, not a list; "
        + "write it like {apiVersion: sallyport/v1, kind: Defaults, metadata: {name: defaults}, spec: {incoming: reject}}"
    ),
    Fault(
      "metadata is missing", "apiVersion: sallyport/v1\nkind: Defaults\nspec: {}",
      "f:1: metadata: is missing; write `metadata: {name: web}`"),
    Fault(
      "the name is missing", "apiVersion: sallyport/v1\nkind: Defaults\nmetadata: {}\nspec: {}",
      "f:3: metadata.name: is missing; give the document a name"),
    Fault(
      "spec is missing", "apiVersion: sallyport/v1\nkind: Defaults\nmetadata: {name: a}",
      "f:1: spec: is missing; write what the document says"),
    Fault(
      "a name with a blank", document("Defaults", "{}", name: "a b"),
      "f:3: metadata.name: \"a b\" is not a valid name; "
        + "use 1 to 253 letters, digits, `-`, `_`, `.` and `/`, a letter or digit first"),
    Fault(
      "an unknown field near a known one", document("NetworkRuleSet", "{subject: \"\", incomming: []}"),
      "f:4: spec.incomming: there is no such field; did you mean `incoming`?"),
    Fault(
      "an unknown field near none", document("Defaults", "{}") + "status: {}\n",
      "f:5: status: there is no such field; known here: apiVersion, kind, metadata, spec"),
    Fault(
      "two documents of defaults", document("Defaults", "{}") + "---\n" + document("Defaults", "{}"),
      "f:6: the defaults are already given at f:1; keep one of the documents"),
    Fault(
      "two rule sets of one name",
      document("NetworkRuleSet", "{subject: a, incoming: []}") + "---\n"
        + document("NetworkRuleSet", "{subject: b, incoming: []}"),
      "f:6: metadata.name: rule set \"a\" is already defined at f:1; rename one of them"),
    Fault(
      "a key twice", document("Defaults", "{incoming: allow, incoming: reject}"),
      "f:4: a mapping holds \"incoming\" more than once; keep one of them"),
    Fault(
      "no YAML", "a: [",
      "f:2: not valid YAML: did not find expected node content while parsing a flow node; "
        + "fix the syntax on this line or the one before"),
  ]

  static let rules = [
    Fault(
      "subject is missing", document("NetworkRuleSet", "{incoming: []}"),
      "f:4: spec.subject: is missing; write `subject: app=web`, or `subject: \"\"` for everything"),
    Fault(
      "subject is nothing", document("NetworkRuleSet", "{subject: , incoming: []}"),
      "f:4: spec.subject: is empty; write a selector like app=web, or \"\" for everything"),
    Fault(
      "incoming is nothing", document("NetworkRuleSet", "{subject: \"\", incoming: }"),
      "f:4: spec.incoming: is empty; expected something like [{action: allow, peers: any, ports: any}]"),
    Fault(
      "peers are missing",
      document("NetworkRuleSet", "{subject: \"\", incoming: [{action: allow, ports: any}]}"),
      "f:4: spec.incoming[0].peers: is missing; write `peers: any`, or a list of selectors and networks"),
    Fault(
      "ports are missing",
      document("NetworkRuleSet", "{subject: \"\", incoming: [{action: allow, peers: any}]}"),
      "f:4: spec.incoming[0].ports: is missing; write `ports: any`, or a list like [tcp/443]"),
    Fault(
      "action is missing", document("NetworkRuleSet", "{subject: \"\", incoming: [{peers: any, ports: any}]}"),
      "f:4: spec.incoming[0].action: is missing; write `action: allow` or `action: reject`"),
    Fault(
      "an action that there is not",
      document("NetworkRuleSet", "{subject: \"\", incoming: [{action: deny, peers: any, ports: any}]}"),
      "f:4: spec.incoming[0].action: \"deny\" is not an action; write `reject`"),
    Fault(
      "log: yes is no truth",
      document("NetworkRuleSet", "{subject: \"\", incoming: [{action: allow, peers: any, ports: any, log: yes}]}"),
      "f:4: spec.incoming[0].log: \"yes\" is not a boolean; did you mean `true`?"),
    .rule(
      "peers is a text", peers: "all",
      "f:4: spec.incoming[0].peers: must be a list, not \"all\"; write `peers: any`"),
    .rule(
      "a peer is a text", peers: "[app=lb]",
      "f:4: spec.incoming[0].peers[0]: must be a mapping, not \"app=lb\"; write {selector: app=lb}"),
    .rule(
      "a peer is selector and network", peers: "[{selector: a, network: b}]",
      "f:4: spec.incoming[0].peers[0]: must have either selector or network; "
        + "write {selector: app=lb} or {network: corp}"),
    .rule(
      "a network that there is not", peers: "[{selector: a}, {network: corp}]",
      "f:4: spec.incoming[0].peers[1].network: there is no external network \"corp\"; "
        + "define it with a document of kind ExternalNetwork"),
    .rule(
      "a selector that is none", peers: "[{selector: a in b}]",
      "f:4: spec.incoming[0].peers[0].selector: selector \"a in b\" has `b` where `(` is expected; "
        + "write it like app=web,tier in (a,b),!legacy"),
    .rule(
      "a port out of range", ports: "[tcp/80, tcp/65536]",
      "f:4: spec.incoming[0].ports[1]: \"tcp/65536\" has a port outside 0…65535; give a port from 0 to 65535"),
    .rule(
      "a type out of range", ports: "[icmp/256]",
      "f:4: spec.incoming[0].ports[0]: \"icmp/256\" has a type outside 0…255; give a type from 0 to 255"),
    .rule(
      "a reversed range", ports: "[tcp/90-80]",
      "f:4: spec.incoming[0].ports[0]: \"tcp/90-80\" is a range that ends before it begins; write tcp/80-90"),
    .rule(
      "a port without protocol", ports: "[443]",
      "f:4: spec.incoming[0].ports[0]: \"443\" does not begin with a protocol; write tcp/443"),
    .rule(
      "a port of a protocol without ports", ports: "[gre/1]",
      "f:4: spec.incoming[0].ports[0]: \"gre/1\" gives a port to a protocol that has none; write gre"),
    .rule(
      "a matchExpressions operator that there is not",
      peers: "[{selector: {matchExpressions: [{key: a, operator: in, values: [b]}]}}]",
      "f:4: spec.incoming[0].peers[0].selector.matchExpressions[0].operator: "
        + "\"in\" is not an operator; write `In`"),
    .rule(
      "In without values", peers: "[{selector: {matchExpressions: [{key: a, operator: In, values: []}]}}]",
      "f:4: spec.incoming[0].peers[0].selector.matchExpressions[0]: requirement on a needs at least one value; "
        + "write it like {key: app, operator: In, values: [web]}"),
  ]

  static let others = [
    Fault(
      "a CIDR that is none", document("ExternalNetwork", "{cidrs: [10.0.0/8]}"),
      "f:4: spec.cidrs[0]: \"10.0.0/8\" is not a CIDR; write it like 10.0.0.0/8 or 2001:db8::/32"),
    Fault(
      "a CIDR that is not canonical", document("ExternalNetwork", "{cidrs: [\"!10.1.2.3/8\"]}"),
      "f:4: spec.cidrs[0]: \"10.1.2.3/8\" has bits set after the prefix; write 10.0.0.0/8"),
    Fault(
      "a CIDR without length", document("ExternalNetwork", "{cidrs: [10.1.2.3]}"),
      "f:4: spec.cidrs[0]: \"10.1.2.3\" has no prefix length; write 10.1.2.3/32 for one address"),
    Fault(
      "cidrs are missing", document("ExternalNetwork", "{}"),
      "f:4: spec.cidrs: is missing; write `cidrs: [10.0.0.0/8, \"!10.1.0.0/16\"]`"),
    Fault(
      "a reserved label on a network",
      document("ExternalNetwork", "{cidrs: []}", metadata: ", labels: {sallyport.network: x}"),
      "f:3: metadata.labels.sallyport.network: "
        + "keys that begin with sallyport., container. or k8s. are set by the agent alone; use a key of your own"),
    Fault(
      "a reserved label on a workload", document("Workload", "{labels: {k8s.namespace: x}, addresses: []}"),
      "f:4: spec.labels.k8s.namespace: "
        + "keys that begin with sallyport., container. or k8s. are set by the agent alone; use a key of your own"),
    Fault(
      "a workload without labels", document("Workload", "{labels: {}, addresses: []}"),
      "f:4: spec.labels: holds no label; write it like {app: web}"),
    Fault(
      "a control character in a label", document("Workload", "{labels: {app: \"a\\e[2J\"}, addresses: []}"),
      "f:4: spec.labels.app: value of label app holds a control character: \"a\\u{1b}[2J\"; "
        + "use printable text of at most 253 bytes, and a key like app"),
    Fault(
      "a label that is a list", document("Workload", "{labels: {app: [a]}, addresses: []}"),
      "f:4: spec.labels.app: must be text, not a list; write it like app: web"),
    Fault(
      "a label key that is none", document("Workload", "{labels: {\"a b\": c}, addresses: []}"),
      "f:4: spec.labels.\"a b\": label key \"a b\" may hold only letters, digits, `-`, `_` and `.`; "
        + "use printable text of at most 253 bytes, and a key like app"),
    Fault(
      "an executable that is not an absolute path",
      document("Workload", "{labels: {a: b}, match: {executables: [nginx]}}"),
      "f:4: spec.match.executables[0]: \"nginx\" must be an absolute path or begin with **, of at most 4096 bytes; "
        + "write it like /usr/bin/nginx"),
    Fault(
      "an address that is none", document("Workload", "{labels: {a: b}, addresses: [10.0.0.300]}"),
      "f:4: spec.addresses[0]: \"10.0.0.300\" is not an IP address; write it like 10.0.0.1 or 2001:db8::1"),
    Fault(
      "an address of two workloads",
      document("Workload", "{labels: {a: b}, addresses: [10.0.0.1]}") + "---\n"
        + document("Workload", "{labels: {a: c}, addresses: [\"::ffff:10.0.0.1\"]}", name: "z"),
      "f:6: spec.addresses[0]: 10.0.0.1 already belongs to workload \"a\" at f:1; "
        + "give each address to one workload, once"),
    Fault(
      "a default that is no action", document("Defaults", "{host: {incoming: drop}}"),
      "f:4: spec.host.incoming: \"drop\" is not an action; write `reject`"),
    Fault(
      "an alias without an anchor", document("Workload", "{labels: {app: *x}, addresses: []}"),
      "f:4: there is no anchor &x before the alias *x; write the value out, or put it in quotes if it is text"),
    Fault(
      "a value that begins with an exclamation mark",
      document("ExternalNetwork", "{cidrs: [10.0.0.0/8, !10.1.0.0/16]}"),
      "f:4: a value that begins with `!` must be quoted; write \"!10.1.0.0/16\""),
    Fault(
      "an indentation by tabs",
      "apiVersion: sallyport/v1\nkind: Defaults\nmetadata: {name: a}\nspec:\n\tincoming: allow\n",
      "f:5: line 5 is indented with a tab; YAML allows only spaces"),
    Fault(
      "a tag", document("Workload", "{labels: {app: !!binary aGk=}, addresses: []}"),
      "f:4: YAML tags (!) are not read; remove the tag, or put the value in quotes"),
  ]

  @Test("each fault gives exactly its error", arguments: envelope + rules + others)
  func faults(_ fault: Fault) {
    #expect(errors(fault.text) == [fault.error])
  }

  @Test("all faults of all files are told at once, by file and line")
  func collects() {
    let first = document("Defaults", "{incoming: x, outgoing: y}")
    let second = document("ExternalNetwork", "{cidrs: [a, 10.0.0.0/33]}")
    let files = [("z.yaml", Array(first.utf8)), ("a.yaml", Array(second.utf8))]
    let error = #expect(throws: PolicyErrors.self) { try PolicyParser.parse(files: files) }
    let places = error?.errors.map { "\($0.file):\($0.line): \($0.field)" }
    #expect(
      places == [
        "z.yaml:4: spec.incoming", "z.yaml:4: spec.outgoing", "a.yaml:4: spec.cidrs[0]", "a.yaml:4: spec.cidrs[1]",
      ])
  }

  @Test("names that two files share are told with both places")
  func sharedNames() {
    let text = Array(document("ExternalNetwork", "{cidrs: [10.0.0.0/8]}").utf8)
    let error = #expect(throws: PolicyErrors.self) { try PolicyParser.parse(files: [("a", text), ("b", text)]) }
    #expect(
      error?.description
        == "b:1: metadata.name: external network \"a\" is already defined at a:1; rename one of them")
  }

  @Test("bytes that are no text are refused with their line")
  func bytes() {
    func error(_ bytes: [UInt8]) -> String? {
      #expect(throws: PolicyErrors.self) { try PolicyParser.parse(files: [("f", bytes)]) }?.description
    }
    #expect(error([10, 0]) == "f:2: the file holds a NUL byte; remove it: policy documents are text")
    #expect(error([97, 10, 10, 0xff, 10]) == "f:3: the file is not UTF-8; save it as UTF-8")
    let large = [UInt8](repeating: 10, count: PolicyParser.maximumFileSize + 1)
    #expect(error(large) == "f:1: the file has 134217729 bytes; at most 134217728 are read; split the file")
  }

  @Test("hostile YAML ends in an error, and soon", .timeLimit(.minutes(5)))
  func hostile() {
    var bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
    for level in 1...12 {
      bomb += "a\(level): &a\(level) [" + [String](repeating: "*a\(level - 1)", count: 9).joined(separator: ",") + "]\n"
    }
    #expect(
      errors(bomb) == ["f:6: aliases stand for more than 100000 values in this document; write fewer values out"])
    #expect(errors(bomb + "? *a12\n: x\n").count == 1)
    // No alias is large, and each stands deeper than the one before.
    let chain = (1...4000).map { "a\($0): &a\($0) [*a\($0 - 1)]\n" }.joined()
    #expect(!errors("a0: &a0 [x]\n" + chain).isEmpty)
    #expect(errors("&a [*a]").count == 1)
    let deep = String(repeating: "[", count: 1_000_000)
    #expect(errors(deep).count == 1)
    #expect(errors(String(repeating: "{a: ", count: 100_000)).count == 1)
    #expect(errors(String(repeating: "- ", count: 100_000)).count == 1)
    #expect(errors("a: \"\\ud800\"").count == 1)
  }

  @Test("words in comments and quotes that look like aliases are no aliases")
  func harmlessAliases() throws {
    let text = "# *all* & *none*, &c\n" + document("Workload", "{labels: {app: \"x *c &c\"}, addresses: []}")
    #expect(try parse(text).policy.workloads[0].labels["app"] == "x *c &c")
  }

  @Test("whatever the bytes, the answer is a policy or errors", arguments: 0..<8)
  func mutations(batch: Int) throws {
    var random = SeededGenerator(seed: UInt64(batch))
    let texts = (ParserTests.envelope + ParserTests.rules + ParserTests.others).map { Array($0.text.utf8) }
    let pieces = [
      "&a ", "*a", "? ", "- ", ": ", "[", "]", "{", "}", "\"", "'", "|", "\n", "\t", "!!", "%", "@", "#", "---\n",
    ]
    var refused = 0
    for _ in 0..<400 {
      var bytes = random.pick(texts) ?? []
      for _ in 0...random.below(4) {
        let place = random.below(bytes.count)
        switch random.below(4) {
        case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
        case 1: bytes.remove(at: place)
        case 2: bytes.insert(contentsOf: Array((random.pick(pieces) ?? "").utf8), at: place)
        default: bytes.insert(contentsOf: bytes[random.below(place)..<place], at: place)
        }
        if bytes.isEmpty { break }
      }
      do throws(PolicyErrors) {
        _ = try PolicyParser.parse(files: [("f", bytes)])
      } catch {
        refused += 1
        #expect(!error.errors.isEmpty)
        let lines = bytes.count { $0 == UInt8(ascii: "\n") } + 2
        #expect(error.errors.allSatisfy { (1...lines).contains($0.line) }, "\(bytes)")
      }
    }
    #expect(refused > 200)
  }
}
