// The known word that somebody probably meant: a slip of the hand, or another product's word for it.

/// Finds near misses of names.
package enum Spelling {
  /// The known name with the fewest edits, if they are few for its length; the first in order among equals.
  ///
  /// A few letters are soon another word's: up to 2 need to be the same but for case, up to 5 may have one edit.
  package static func nearest(to name: String, in known: some Collection<String>) -> String? {
    let length = name.utf8.count
    let limit = length < 3 ? 0 : length < 6 ? 1 : length < 9 ? 2 : 3
    let ranked = known.map { (distance(name, $0), $0) }.filter { $0.0 <= limit }
    return ranked.min { ($0.0, $0.1) < ($1.0, $1.1) }?.1
  }

  /// Insertions, deletions, replacements and exchanges of neighbours, without regard to case; names are cut at 64 bytes.
  private static func distance(_ one: String, _ other: String) -> Int {
    let one = Array(one.lowercased().utf8.prefix(64))
    let other = Array(other.lowercased().utf8.prefix(64))
    var before: [Int] = []
    var row = Array(0...other.count)
    for (index, byte) in one.enumerated() {
      var next = [index + 1] + Array(repeating: 0, count: other.count)
      for column in other.indices {
        let replaced = row[column] + (byte == other[column] ? 0 : 1)
        next[column + 1] = min(replaced, min(row[column + 1], next[column]) + 1)
        if index > 0, column > 0, byte == other[column - 1], one[index - 1] == other[column] {
          next[column + 1] = min(next[column + 1], before[column - 1] + 1)
        }
      }
      before = row
      row = next
    }
    return row[other.count]
  }

  // MARK: Other products' words

  /// The known word that means the same as a word of another product, or is the same but for case.
  static func synonym(of word: String, in known: [String], among groups: [Set<String>]) -> String? {
    let lower = word.lowercased()
    if let same = known.first(where: { $0.lowercased() == lower }) { return same }
    for group in groups where group.contains(lower) {
      if let found = known.first(where: { group.contains($0.lowercased()) }) { return found }
    }
    return nil
  }

  /// Words for values.
  ///
  /// No group holds opposites, and a word is in one group alone.
  static let values: [Set<String>] = [
    ["allow", "accept", "permit", "permitted", "allowed", "accepted", "grant", "allowlist", "whitelist"],
    [
      "reject", "deny", "drop", "block", "refuse", "denied", "dropped", "blocked", "rejected", "forbid", "disallow",
      "prohibit", "discard", "denylist", "blacklist",
    ],
    [
      "observe", "audit", "monitor", "log", "report", "watch", "dry-run", "dryrun", "dry_run", "permissive", "warn",
      "alert", "observing", "learning", "detect", "simulate",
    ],
    ["enforce", "enforcing", "enforced", "active", "strict", "prevent"],
    ["incoming", "ingress", "inbound", "input"],
    ["outgoing", "egress", "outbound", "output"],
    ["true", "yes", "on"],
    ["false", "no", "off"],
    ["in", "equals", "equal", "is", "="],
    ["notin", "notequals", "not-in", "not_in", "!="],
    ["exists", "exist"],
    ["doesnotexist", "notexists", "not-exists", "absent"],
  ]

  /// Words for fields: which one is meant depends on what is known where they stand.
  static let fields: [Set<String>] = [
    ["incoming", "ingress", "inbound", "input"],
    ["outgoing", "egress", "outbound", "output"],
    ["peers", "peer", "from", "to", "source", "sources", "destination", "destinations", "src", "dst"],
    ["ports", "port", "toports", "protocols", "protocol", "services"],
    ["subject", "podselector", "endpointselector", "selector", "target", "appliesto", "workload"],
    ["action", "effect", "verdict", "decision"],
    ["selector", "podselector", "endpointselector", "matchlabels", "labels"],
    ["cidrs", "cidr", "prefixes", "addresses", "subnets", "ips", "ipblock", "networks"],
    ["labels", "label", "tags"],
    ["match", "matches", "selector", "where"],
    ["units", "unit", "services", "service"],
    ["executables", "executable", "exe", "exes", "binary", "binaries", "program", "programs", "paths", "path"],
    ["users", "user", "uid", "uids"],
    ["groups", "group", "gid", "gids"],
    ["cgroups", "cgroup"],
    ["sha256", "digest", "digests", "hash", "hashes"],
    ["addresses", "address", "ip", "ips"],
    ["log", "logging"],
    ["mode", "enforcement"],
    ["placement", "place"],
  ]
}
