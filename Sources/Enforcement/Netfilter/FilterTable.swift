// A filter table as iptables-save prints it: which chains there are, and their rules in order.

/// The filter table of one family of one network namespace.
struct FilterTable: Equatable, Sendable {
  /// Each chain's rules as iptables-save prints them, without `-A CHAIN `.
  var rules: [String: [String]] = [:]

  init() {}

  /// Reads what `iptables-save -t filter` printed; other tables are passed over.
  init(saved text: String) {
    var isFilter = false
    for line in text.split(separator: "\n") {
      switch line.first {
      case "*": isFilter = line == "*filter"
      case ":" where isFilter:
        let name = line.dropFirst().prefix { $0 != " " }
        rules[String(name), default: []] += []
      case "-" where isFilter:
        let words = line.split(separator: " ", maxSplits: 2)
        guard words.count == 3, words[0] == "-A" else { continue }
        rules[String(words[1]), default: []].append(String(words[2]))
      default: continue
      }
    }
  }
}

/// A rule that leads from a chain of others into one of ours.
struct OwnJump: Equatable, Sendable {
  /// OUTPUT or INPUT, unless somebody else made it.
  let chain: String
  /// Its place among the chain's rules, from 1.
  let place: Int
  /// The rule as iptables-save prints it, without `-A CHAIN `.
  let rule: String
}

/// What one instance has, or is to have, in a filter table.
struct OwnRules: Equatable, Sendable {
  /// Its chains and their rules; the order is that in which they are made.
  var chains: [(name: String, rules: [String])] = []
  /// Its jumps, in the order of their places.
  var jumps: [OwnJump] = []

  static func == (left: OwnRules, right: OwnRules) -> Bool {
    left.jumps == right.jumps && left.chains.elementsEqual(right.chains) { $0.name == $1.name && $0.rules == $1.rules }
  }

  /// Nothing.
  init() {}

  init(chains: [(name: String, rules: [String])], jumps: [OwnJump]) {
    self.chains = chains
    self.jumps = jumps
  }

  /// What is in a table of chains with these names, and of jumps to them, in whichever chain of others those are.
  init(of names: NetfilterChains, in table: FilterTable) {
    chains = names.all.compactMap { name in table.rules[name].map { (name, $0) } }
    for (chain, rules) in table.rules.sorted(by: { $0.key > $1.key }) where !names.all.contains(chain) {
      for (index, rule) in rules.enumerated() where names.all.contains(target(of: rule)) {
        jumps.append(OwnJump(chain: chain, place: index + 1, rule: rule))
      }
    }
  }

  var isEmpty: Bool { chains.isEmpty && jumps.isEmpty }

  /// The transaction that leads from here to `wanted`, for `iptables-restore --noflush`.
  ///
  /// The tables of iptables change as a whole when it is committed: at no instant is a packet judged by half of it. It
  /// fails, and changes nothing, if the jumps are no longer as they were read.
  func transaction(to wanted: OwnRules) -> String {
    var lines = ["*filter"]
    // A chain that is named is made if it is missing, and emptied.
    let kept = wanted.chains.map(\.name)
    let dropped = chains.map(\.name).filter { !kept.contains($0) }
    lines += (kept + dropped).map { ":\($0) - [0:0]" }
    lines += jumps.map { "-D \($0.chain) \($0.rule)" }
    for (name, rules) in wanted.chains { lines += rules.map { "-A \(name) \($0)" } }
    lines += wanted.jumps.map { "-I \($0.chain) \($0.place) \($0.rule)" }
    lines += dropped.map { "-X \($0)" }
    return (lines + ["COMMIT", ""]).joined(separator: "\n")
  }
}

/// Where a rule leads: the word after -j or -g, empty if there is none.
private func target(of rule: String) -> String {
  let words = rule.split(separator: " ")
  guard let flag = words.lastIndex(where: { $0 == "-j" || $0 == "-g" }), flag + 1 < words.count else { return "" }
  return String(words[flag + 1])
}
