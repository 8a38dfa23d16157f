// Which label sets a rule means: the conjunction of requirements on keys.

/// One requirement on one key.
package struct Requirement: Sendable, Hashable, Comparable {
  /// What is required.
  package enum Operator: UInt8, Sendable, Hashable {
    /// The key has one of the values.
    case isIn
    /// The key is absent or has none of the values, as in kubectl.
    case notIn
    /// The key is there.
    case exists
    /// The key is not there.
    case doesNotExist
  }

  /// The key.
  package let key: String
  /// What is required of it.
  package let `operator`: Operator
  let exactValues: [ExactText]

  /// The values of `isIn` and `notIn`, sorted by their bytes and distinct.
  package var values: [String] { exactValues.map(\.text) }

  /// Checks the key and values.
  ///
  /// `isIn` and `notIn` need at least one value, the others none.
  package init(_ key: String, _ operator: Operator, _ values: [String] = []) throws(LabelError) {
    try Label.checkKey(key)
    for value in values { try Label.checkValue(value, key: key) }
    let needsValues = `operator` == .isIn || `operator` == .notIn
    guard values.isEmpty != needsValues else {
      throw LabelError(
        subject: "requirement on \(key)", problem: needsValues ? "needs at least one value" : "takes no values")
    }
    self.key = key
    self.operator = `operator`
    exactValues = Set(values.map(ExactText.init)).sorted()
  }

  /// Takes what has been checked already, or is this program's own.
  init(uncheckedKey key: String, _ operator: Operator, _ values: [String] = []) {
    self.key = key
    self.operator = `operator`
    exactValues = Set(values.map(ExactText.init)).sorted()
  }

  /// Requires exactly this label.
  package init(_ label: Label) {
    key = label.key
    self.operator = .isIn
    exactValues = [label.exactValue]
  }

  /// Whether a label set fulfils it.
  package func matches(_ labels: LabelSet) -> Bool {
    let value = labels.exactValue(of: key)
    return switch self.operator {
    case .isIn: value.map(exactValues.contains) ?? false
    case .notIn: value.map { !exactValues.contains($0) } ?? true
    case .exists: value != nil
    case .doesNotExist: value == nil
    }
  }

  /// Orders by key, operator and values.
  package static func < (left: Requirement, right: Requirement) -> Bool {
    if left.key != right.key { return left.key < right.key }
    if left.operator != right.operator { return left.operator.rawValue < right.operator.rawValue }
    return left.exactValues.lexicographicallyPrecedes(right.exactValues)
  }
}

extension Requirement: CustomStringConvertible {
  /// As kubectl writes it.
  package var description: String {
    let list = exactValues.map(\.quotedIfNeeded).joined(separator: ",")
    return switch (self.operator, exactValues.count) {
    case (.isIn, 1): "\(key)=\(list)"
    case (.isIn, _): "\(key) in (\(list))"
    case (.notIn, 1): "\(key)!=\(list)"
    case (.notIn, _): "\(key) notin (\(list))"
    case (.exists, _): key
    case (.doesNotExist, _): "!\(key)"
    }
  }
}

/// All of some requirements; none at all matches everything.
package struct Selector: Sendable, Hashable, CustomStringConvertible {
  /// The requirements, sorted and distinct.
  package let requirements: [Requirement]

  /// The empty selector, which matches every label set.
  package static let everything = Selector([])

  /// Takes requirements in any order.
  package init(_ requirements: [Requirement]) { self.requirements = Set(requirements).sorted() }

  /// Whether it has no requirement and so matches every endpoint.
  package var isEverything: Bool { requirements.isEmpty }

  /// Whether a label set fulfils every requirement.
  package func matches(_ labels: LabelSet) -> Bool { requirements.allSatisfy { $0.matches(labels) } }

  /// The canonical form, which `init(parsing:)` reads back.
  package var description: String { requirements.map(\.description).joined(separator: ",") }
}
