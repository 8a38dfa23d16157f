// YAML that messages tell people to write: each piece is itself accepted where it is shown, and a test sees to it.

/// A piece of YAML that a remedy quotes.
struct Template {
  /// What stands in the message.
  let text: String
  /// A whole document with `@` where the piece belongs.
  let context: String

  private init(_ text: String, in context: String) {
    self.text = text
    self.context = context
  }

  /// The document in which the piece stands.
  var document: String {
    context.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).joined(separator: text)
  }

  private static func native(_ kind: String, _ spec: String) -> String {
    "apiVersion: sallyport/v1\nkind: \(kind)\nmetadata: {name: a}\nspec: \(spec)\n"
  }

  private static func rule(_ fields: String) -> String {
    native("NetworkRuleSet", "{subject: app=web, incoming: [{\(fields)}]}") + "---\n"
      + native("ExternalNetwork", "{cidrs: [10.0.0.0/8]}").replacing("name: a", with: "name: corp")
  }

  static let document = Template(
    "{apiVersion: sallyport/v1, kind: Defaults, metadata: {name: defaults}, spec: {incoming: reject}}", in: "@")
  static let metadata = Template("metadata: {name: web}", in: "apiVersion: sallyport/v1\nkind: Defaults\n@\nspec: {}\n")
  static let names = Template("{name: web}", in: "apiVersion: sallyport/v1\nkind: Defaults\nmetadata: @\nspec: {}\n")
  static let ruleSet = Template("{subject: app=web, incoming: []}", in: native("NetworkRuleSet", "@"))
  static let networkSpec = Template("{cidrs: [10.0.0.0/8]}", in: native("ExternalNetwork", "@"))
  static let workloadSpec = Template(
    "{labels: {app: web}, match: {units: [nginx.service]}}", in: native("Workload", "@"))
  static let defaultsSpec = Template("{incoming: reject, outgoing: allow}", in: native("Defaults", "@"))
  static let defaultActions = Template("{incoming: allow, outgoing: allow}", in: native("Defaults", "{host: @}"))
  static let subject = Template("subject: app=web", in: native("NetworkRuleSet", "{@, incoming: []}"))
  static let rules = Template(
    "[{action: allow, peers: any, ports: any}]", in: native("NetworkRuleSet", "{subject: app=web, incoming: @}"))
  static let oneRule = Template(
    "{action: allow, peers: any, ports: any}", in: native("NetworkRuleSet", "{subject: app=web, incoming: [@]}"))
  static let anyPeer = Template("peers: any", in: rule("action: allow, @, ports: any"))
  static let anyPort = Template("ports: any", in: rule("action: allow, peers: any, @"))
  static let peers = Template("[{selector: app=lb}, {network: corp}]", in: rule("action: allow, ports: any, peers: @"))
  static let onePeer = Template("{selector: app=lb}", in: rule("action: allow, ports: any, peers: [@]"))
  static let networkPeer = Template("{network: corp}", in: rule("action: allow, ports: any, peers: [@]"))
  static let ports = Template("[tcp/443, udp/53, icmp/8]", in: rule("action: allow, peers: any, ports: @"))
  static let selector = Template(
    "app=web,tier in (a,b),!legacy", in: rule("action: allow, ports: any, peers: [{selector: \"@\"}]"))
  static let matchLabels = Template(
    "{matchLabels: {app: web}}", in: rule("action: allow, ports: any, peers: [{selector: @}]"))
  static let expression = Template(
    "{key: app, operator: In, values: [web]}",
    in: rule("action: allow, ports: any, peers: [{selector: {matchExpressions: [@]}}]"))
  static let expressions = Template(
    "[{key: app, operator: In, values: [web]}]",
    in: rule("action: allow, ports: any, peers: [{selector: {matchExpressions: @}}]"))
  static let values = Template(
    "[web]",
    in: rule(
      "action: allow, ports: any, peers: [{selector: {matchExpressions: [{key: app, operator: In, values: @}]}}]"))
  static let cidrs = Template("[10.0.0.0/8, \"!10.1.0.0/16\"]", in: native("ExternalNetwork", "{cidrs: @}"))
  static let labels = Template("{app: web}", in: native("Workload", "{labels: @, addresses: [10.0.0.5]}"))
  static let match = Template("{units: [nginx.service]}", in: native("Workload", "{labels: {app: web}, match: @}"))
  static let addresses = Template(
    "[10.0.0.5, \"2001:db8::5\"]", in: native("Workload", "{labels: {app: web}, addresses: @}"))

  static let all = [
    document, metadata, names, ruleSet, networkSpec, workloadSpec, defaultsSpec, defaultActions, subject, rules,
    oneRule,
    anyPeer, anyPort, peers, onePeer, networkPeer, ports, selector, matchLabels, expression, expressions, values, cidrs,
    labels, match, addresses,
  ]
}
