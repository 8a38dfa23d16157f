// All rules of a policy in the order in which they are asked.

/// Ranks of rules: 0 is the strongest.
///
/// Rules are numbered by rule-set name, direction and position, because people read these numbers in records; what is
/// merged in cells are ranks, so that the stronger of two rules is the smaller number whatever their tiers.
struct RuleRanks {
  /// The number of the rule of each rank, from 1.
  private var numbers: [UInt32] = []
  /// The rank of the rule of each number - 1.
  private var ranks: [UInt32] = []
  /// The strongest rule that passes: what is stronger has the last word.
  private var firstPass = UInt32.max

  init(_ policy: PolicySet) {
    var rules: [(strength: Strength, number: UInt32)] = []
    var passing: Set<UInt32> = []
    for ruleSet in policy.ruleSets {
      for direction in [Direction.outgoing, .incoming] {
        for rule in ruleSet.rules(direction) {
          rules.append((Strength(ruleSet.tier, rule.action), UInt32(rules.count + 1)))
          if rule.action == .pass { passing.insert(UInt32(rules.count)) }
        }
      }
    }
    rules.sort { $0.strength == $1.strength ? $0.number < $1.number : $0.strength < $1.strength }
    numbers = rules.map(\.number)
    ranks = Array(repeating: 0, count: rules.count)
    for (rank, number) in numbers.enumerated() {
      ranks[Int(number) - 1] = UInt32(rank)
      if firstPass == .max, passing.contains(number) { firstPass = UInt32(rank) }
    }
  }

  /// What a rule says, given its number from 1.
  func winners(ofRule number: Int, _ tier: Tier, _ rule: Rule) -> Winners {
    let rank = ranks[number - 1]
    let isUpper = Step(tier, rule.action).isUpper
    return Winners(rank: rank, isUpper: isUpper, isFinal: isUpper && rank < firstPass, mode: rule.mode)
  }

  /// The number of the rule of a rank.
  func number(of rank: UInt32) -> UInt32 { numbers[Int(rank)] }
}
