// Which of many selectors match a label set, without trying them all.

/// All distinct selectors of a policy, found by the label that each of them needs most.
struct SelectorIndex: Sendable {
  /// The labels of a set that any selector mentions, as numbers: key in the high half, value in the low half.
  ///
  /// Sets with the same projection match the same selectors.
  typealias Projection = [UInt64]

  private struct CompiledRequirement {
    let key: UInt32
    let `operator`: Requirement.Operator
    let values: Range<Int>
  }

  /// A value that no selector mentions under its key.
  private static let otherValue = UInt32.max

  private var keys: [String: UInt32] = [:]
  private var values: [[ExactText: UInt32]] = []
  private var requirements: [CompiledRequirement] = []
  private var requirementsOfSelector: [Range<Int>] = []
  private var requiredValues: [UInt32] = []
  // Selectors by the label or key without which they cannot match.
  private var byLabel: [[UInt32]] = []
  private var byKey: [[UInt32]] = []
  private var unanchored: [UInt32] = []

  /// Numbers the selectors by their position.
  init(_ selectors: [Selector]) {
    let mentioned = Set(selectors.lazy.flatMap { $0.requirements.lazy.map(\.key) }).sorted()
    for (index, key) in mentioned.enumerated() { keys[key] = UInt32(index) }
    values = Array(repeating: [:], count: mentioned.count)
    byKey = Array(repeating: [], count: mentioned.count)
    for selector in selectors { compile(selector) }
    anchor()
  }

  private mutating func compile(_ selector: Selector) {
    let first = requirements.count
    for requirement in selector.requirements {
      guard let key = keys[requirement.key] else { continue }
      let start = requiredValues.count
      for value in requirement.exactValues {
        let known = values[Int(key)][value]
        let number = known ?? UInt32(byLabel.count)
        if known == nil {
          values[Int(key)][value] = number
          byLabel.append([])
        }
        requiredValues.append(number)
      }
      requirements.append(
        CompiledRequirement(key: key, operator: requirement.operator, values: start..<requiredValues.count))
    }
    requirementsOfSelector.append(first..<requirements.count)
  }

  /// Files each selector under the requirement that the fewest other selectors have.
  private mutating func anchor() {
    var uses = [Int](repeating: 0, count: byLabel.count)
    for requirement in requirements where requirement.operator == .isIn {
      for value in requiredValues[requirement.values] { uses[Int(value)] += 1 }
    }
    for (selector, range) in requirementsOfSelector.enumerated() {
      let narrowest = requirements[range].filter { $0.operator == .isIn }.min { left, right in
        cost(left, uses) < cost(right, uses)
      }
      if let narrowest {
        for value in requiredValues[narrowest.values] { byLabel[Int(value)].append(UInt32(selector)) }
      } else if let present = requirements[range].first(where: { $0.operator == .exists }) {
        byKey[Int(present.key)].append(UInt32(selector))
      } else {
        unanchored.append(UInt32(selector))
      }
    }
  }

  private func cost(_ requirement: CompiledRequirement, _ uses: [Int]) -> Int {
    requiredValues[requirement.values].reduce(0) { $0 + uses[Int($1)] }
  }

  /// What the selectors can see of a label set; ascending, because both sides are sorted by key.
  func project(_ labels: LabelSet, into projection: inout Projection) {
    projection.removeAll(keepingCapacity: true)
    for label in labels.labels {
      guard let key = keys[label.key] else { continue }
      let value = values[Int(key)][label.exactValue] ?? SelectorIndex.otherValue
      projection.append(UInt64(key) << 32 | UInt64(value))
    }
  }

  /// Appends the numbers of all selectors that match, in no order and each once.
  func match(_ projection: Projection, into found: inout [UInt32]) {
    func append(_ candidates: [UInt32]) {
      for selector in candidates where matches(selector, projection) { found.append(selector) }
    }
    for label in projection {
      let value = UInt32(truncatingIfNeeded: label)
      if value != SelectorIndex.otherValue { append(byLabel[Int(value)]) }
      append(byKey[Int(label >> 32)])
    }
    append(unanchored)
  }

  private func matches(_ selector: UInt32, _ projection: Projection) -> Bool {
    for requirement in requirements[requirementsOfSelector[Int(selector)]] {
      var value: UInt32?
      for label in projection where UInt32(truncatingIfNeeded: label >> 32) == requirement.key {
        value = UInt32(truncatingIfNeeded: label)
      }
      let fulfilled =
        switch requirement.operator {
        case .isIn: value.map { requiredValues[requirement.values].contains($0) } ?? false
        case .notIn: value.map { !requiredValues[requirement.values].contains($0) } ?? true
        case .exists: value != nil
        case .doesNotExist: value == nil
        }
      if !fulfilled { return false }
    }
    return true
  }
}
