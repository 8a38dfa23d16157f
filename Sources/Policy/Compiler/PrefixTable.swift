// External networks as one longest-prefix table: every prefix knows the whole set of networks around it.

/// The flattened networks of a policy.
struct PrefixTable {
  /// As in `Tables.prefixes`.
  private(set) var prefixes: [IPPrefix: IdentityNumber] = [:]
  /// The positions (in `PolicySet.networks`) of the networks of each external number, in order of the numbers.
  private(set) var sets: [[Int]] = []

  /// Flattens networks sorted by name.
  ///
  /// An address belongs to every network that contains it, not only to the narrowest: a rule that rejects 10.0.0.0/8
  /// must hold for an address that a narrower network allows.
  init(_ networks: [ExternalNetwork]) throws(CompileError) {
    var members: [IPPrefix: [Int]] = [:]
    var exclusions: [IPPrefix: [Int]] = [:]
    for (index, network) in networks.enumerated() {
      for prefix in Set(network.prefixes) { members[prefix, default: []].append(index) }
      for prefix in Set(network.excluded) { exclusions[prefix, default: []].append(index) }
    }
    var all = Set(members.keys).union(exclusions.keys)
    // An IPv6 prefix that covers the mapped range in the 128-bit space does not mean IPv4: give IPv4 its own root.
    if all.contains(where: { !$0.isIPv4 && IPPrefix.allIPv4.address.masked(to: $0.length) == $0.address }) {
      all.insert(.allIPv4)
    }
    var containing: [(IPPrefix, [Int])] = []
    for family in [all.filter(\.isIPv4), all.filter { !$0.isIPv4 }] {
      // Wider prefixes come first, so that the stack always holds the chain of prefixes around the current one.
      var stack: [(prefix: IPPrefix, inside: Set<Int>, outside: Set<Int>)] = []
      for prefix in family.sorted() {
        while let top = stack.last, !top.prefix.contains(prefix) { stack.removeLast() }
        let inside = (stack.last?.inside ?? []).union(members[prefix] ?? [])
        let outside = (stack.last?.outside ?? []).union(exclusions[prefix] ?? [])
        stack.append((prefix, inside, outside))
        containing.append((prefix, inside.subtracting(outside).sorted()))
      }
    }
    try number(containing)
  }

  private mutating func number(_ containing: [(IPPrefix, [Int])]) throws(CompileError) {
    sets = Set(containing.map(\.1)).filter { !$0.isEmpty }.sorted { $0.lexicographicallyPrecedes($1) }
    let room = Int(IdentityNumber.capacity - IdentityNumber.firstExternal.rawValue)
    guard sets.count <= room else {
      throw CompileError(
        problem: "external networks overlap in \(sets.count) different ways; the tables hold \(room)",
        remedy: "define fewer overlapping networks")
    }
    var numbers: [[Int]: IdentityNumber] = [[]: .world]
    for (index, set) in sets.enumerated() { numbers[set] = PrefixTable.number(at: index) }
    for (prefix, set) in containing { prefixes[prefix] = numbers[set] }
  }

  /// The number of the set at an index of `sets`.
  static func number(at index: Int) -> IdentityNumber {
    IdentityNumber(rawValue: IdentityNumber.firstExternal.rawValue + UInt32(index))
  }
}
