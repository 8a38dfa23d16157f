// The policy of `Rivals` as people write it without Sallyport: for iptables with ipset, and for nft.

/// So many rules, half of them for what leaves the client and half for what arrives at the server.
///
/// The first lets replies pass, by conntrack. The rule that decides comes last, after those for other peers: on the
/// average a packet passes half of them. What arrives is told by address: neither xt_cgroup nor `socket cgroupv2` sees
/// the sender there.
struct RivalRules: Sendable {
  let count: Int
  /// The client's cgroup from the hierarchy's root, without the first slash.
  let client: String
  /// Its depth.
  let level: Int

  /// Rules for other peers in each half; the reject rule and two that let the bench in are the others.
  private var others: Range<Int> { 0..<max(count / 2 - 2, 0) }

  private static func peer(_ index: Int) -> String { "10.1.\(index / 250).\(index % 250 + 1)" }
  private static func port(_ index: Int) -> Int { 8000 + index % 50_000 }

  /// The queue of a program in user space; queues are numbered by namespace.
  static let queueNumber = 1

  // MARK: iptables and ipset

  /// One set for each rule's peers, as `ipset restore` reads them.
  var sets: String {
    var text = "create bench hash:ip\nadd bench 127.0.0.1\n"
    for index in others {
      text += "create peers\(index) hash:ip,port\nadd peers\(index) \(Self.peer(index)),tcp:\(Self.port(index))\n"
    }
    return text
  }

  /// As `iptables-restore` reads them.
  var iptables: String {
    let own = "-m cgroup --path \(client)"
    let replies = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    var rules = [
      "OUTPUT \(replies)", "OUTPUT \(own) -p tcp --dport 9 -j REJECT --reject-with tcp-reset",
    ]
    rules += others.map { "OUTPUT \(own) -m set --match-set peers\($0) dst,dst -j ACCEPT" }
    rules += ["OUTPUT \(own) -m set --match-set bench dst -j ACCEPT", "OUTPUT \(own) -j DROP", "INPUT \(replies)"]
    rules += others.map { "INPUT -m set --match-set peers\($0) src,dst -j ACCEPT" }
    rules += ["tcp", "udp"].map { "INPUT -p \($0) --dport 10:65535 -m set --match-set bench src -j ACCEPT" }
    rules.append("INPUT -j DROP")
    return "*filter\n" + rules.map { "-A \($0)\n" }.joined() + "COMMIT\n"
  }

  /// Sallyport's own rules, calling a program that is pinned elsewhere.
  static func calling(_ program: String) -> String {
    let judged = "-m bpf --object-pinned \(program)"
    return "*filter\n-A OUTPUT -p tcp \(judged) -j REJECT --reject-with tcp-reset\n"
      + "-A OUTPUT ! -p tcp \(judged) -j DROP\n-A INPUT \(judged) -j DROP\nCOMMIT\n"
  }

  /// Everything, or what conntrack does not know yet, goes to user space once, on its way out; what is refused there is
  /// marked, because only the filter table can reset.
  func queue(everyPacket: Bool) -> String {
    let own = "OUTPUT -m cgroup --path \(client)"
    let queue = "-j NFQUEUE --queue-num \(Self.queueNumber)"
    let queued =
      everyPacket
      ? ["OUTPUT -p tcp \(queue)", "OUTPUT -p udp \(queue)"]
      : ["\(own) -p tcp --syn \(queue)", "\(own) -p udp -m conntrack --ctstate NEW \(queue)"]
    let judged = [
      "OUTPUT -p tcp -m mark --mark 1 -j REJECT --reject-with tcp-reset", "OUTPUT -m mark --mark 1 -j DROP",
    ]
    func lines(_ rules: [String]) -> String { rules.map { "-A \($0)\n" }.joined() }
    return "*mangle\n\(lines(queued))COMMIT\n*filter\n\(lines(judged))COMMIT\n"
  }

  // MARK: nft

  /// The same with all peers of a direction in one set.
  var nftSet: String {
    let own = "socket cgroupv2 level \(level) \"\(client)\""
    let replies = "ct state established,related accept"
    let elements = others.map { "\(Self.peer($0)) . \(Self.port($0))" }.joined(separator: ", ")
    let set = "set peers {\n  type ipv4_addr . inet_service;\n  elements = { \(elements) }\n}\n"
    let output = [
      replies, "\(own) tcp dport 9 reject with tcp reset", "\(own) ip daddr . tcp dport @peers accept",
      "\(own) ip daddr 127.0.0.1 accept", "\(own) drop",
    ]
    let allowed = ["tcp", "udp"].map { "ip saddr 127.0.0.1 \($0) dport 10-65535 accept" }
    let input = [replies, "ip saddr . tcp dport @peers accept"] + allowed + ["drop"]
    return "table ip bench {\n" + set + chain("output", output) + chain("input", input) + "}\n"
  }

  /// As `nft -f` reads them.
  var nft: String {
    let own = "socket cgroupv2 level \(level) \"\(client)\""
    let replies = "ct state established,related accept"
    var output = [replies, "\(own) tcp dport 9 reject with tcp reset"]
    output += others.map { "\(own) ip daddr \(Self.peer($0)) tcp dport \(Self.port($0)) accept" }
    output += ["\(own) ip daddr 127.0.0.1 accept", "\(own) drop"]
    var input = [replies]
    input += others.map { "ip saddr \(Self.peer($0)) tcp dport \(Self.port($0)) accept" }
    input += ["tcp", "udp"].map { "ip saddr 127.0.0.1 \($0) dport 10-65535 accept" }
    input.append("drop")
    return "table ip bench {\n" + chain("output", output) + chain("input", input) + "}\n"
  }

  private func chain(_ hook: String, _ rules: [String]) -> String {
    "chain \(hook) {\n  type filter hook \(hook) priority 0;\n" + rules.map { "  \($0)\n" }.joined() + "}\n"
  }
}
