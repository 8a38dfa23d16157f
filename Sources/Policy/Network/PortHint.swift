// What people mean by ports that are not written as this policy has them.

enum PortHint {
  private static let services: [String: [String]] = [
    "http": ["tcp/80"], "https": ["tcp/443"], "ssh": ["tcp/22"], "dns": ["udp/53", "tcp/53"],
    "domain": ["udp/53", "tcp/53"], "ntp": ["udp/123"], "smtp": ["tcp/25"], "postgres": ["tcp/5432"],
    "postgresql": ["tcp/5432"], "mysql": ["tcp/3306"], "redis": ["tcp/6379"], "ldap": ["tcp/389"], "ldaps": ["tcp/636"],
    "ftp": ["tcp/21"], "imap": ["tcp/143"], "imaps": ["tcp/993"], "kafka": ["tcp/9092"], "snmp": ["udp/161"],
    "syslog": ["udp/514"], "ping": ["icmp/8", "icmp6/128"],
  ]
  private static let everything: Set<String> = ["any", "all", "*", ""]

  /// What to write for text that is not a port; empty = no better remedy.
  ///
  /// `inList`: it stands in a list already.
  static func remedy(_ text: String, inList: Bool) -> String {
    let lower = text.lowercased().filter { $0 != " " }
    if everything.contains(lower) { return "write `\(Template.anyPort.text)`" }
    let meant = parts(lower)
    guard !meant.isEmpty else { return inList ? "" : "write it like \(Template.ports.text)" }
    if meant.count == 1, inList { return "write \(meant[0])" }
    return "write " + (inList ? meant.joined(separator: ", ") : "[\(meant.joined(separator: ", "))]")
  }

  /// What to write for `{protocol: TCP, port: 443}`.
  static func remedy(_ node: DocumentNode) -> String {
    let proto = (node.plainText("protocol") ?? "tcp").lowercased()
    let port = node.plainText("port") ?? node.plainText("number") ?? "443"
    let meant = "\(proto)/\(port)"
    return "write it like \((try? PortSpec(parsing: meant)) == nil ? "tcp/443" : meant)"
  }

  /// The specifications that are meant; empty if that cannot be told.
  private static func parts(_ text: String) -> [String] {
    if isPort(text) { return [text] }
    if let known = services[text] { return known }
    if isPort("tcp/\(text)") { return ["tcp/\(text)"] }
    for separator in [":", "/", "-", "_"] as [Character] {
      let halves = text.split(separator: separator, maxSplits: 1).map(String.init)
      guard halves.count == 2 else { continue }
      if isPort("\(halves[0])/\(halves[1])") { return ["\(halves[0])/\(halves[1])"] }
      if isPort("\(halves[1])/\(halves[0])") { return ["\(halves[1])/\(halves[0])"] }
      // `tcp/80,443`
      let list = halves[1].split(separator: ",").map { "\(halves[0])/\($0)" }
      if list.count > 1, list.allSatisfy(isPort) { return list }
      if let known = services[halves[1]], known.count == 1, known[0].hasPrefix("\(halves[0])/") { return known }
    }
    let items = text.split(separator: ",")
    guard (2...64).contains(items.count) else { return [] }
    let list = items.map { parts(String($0)) }
    return list.allSatisfy { !$0.isEmpty } ? list.flatMap { $0 } : []
  }

  private static func isPort(_ text: String) -> Bool { (try? PortSpec(parsing: text)) != nil }
}
