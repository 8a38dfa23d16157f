// Three ways in which a look at something can end: nothing that was not looked at is told as a finding.

/// What a look came to.
package enum Look<Value> {
  /// This was seen.
  case seen(Value)
  /// It was looked for, and it is not there.
  case absent
  /// It could not be looked at, and why.
  case unseen(String)

  /// What was seen, or nil.
  package var value: Value? {
    guard case .seen(let value) = self else { return nil }
    return value
  }

  /// Why it could not be looked at, or nil.
  package var obstacle: String? {
    guard case .unseen(let why) = self else { return nil }
    return why
  }

  /// The same look with something made of what was seen.
  package func map<Other>(_ transform: (Value) -> Other) -> Look<Other> {
    switch self {
    case .seen(let value): .seen(transform(value))
    case .absent: .absent
    case .unseen(let why): .unseen(why)
    }
  }
}

extension Look: Sendable where Value: Sendable {}
extension Look: Equatable where Value: Equatable {}
