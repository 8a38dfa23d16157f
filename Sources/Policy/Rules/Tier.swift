// Who speaks first: the tiers that rules come in, and the order in which a flow meets them.

/// Which policy a rule set belongs to, and so when its rules are asked.
package enum Tier: Sendable, Hashable {
  /// This project's own rule sets.
  case native
  /// A Kubernetes ClusterNetworkPolicy of the Admin tier; a smaller priority is asked first.
  case admin(priority: UInt16)
  /// A Kubernetes NetworkPolicy: its rejects are the isolation of what it selects, and give way to what is allowed.
  case namespaced
  /// A Kubernetes ClusterNetworkPolicy of the Baseline tier; a smaller priority is asked first.
  case baseline(priority: UInt16)
}

/// One step of the way that a flow goes through the rules that match it; the first step with an answer decides.
///
///     native reject ─▶ Admin ─▶ native allow, NetworkPolicy allow ─▶ isolation ─▶ Baseline ─▶ the default
enum Step: Int, Comparable, CaseIterable {
  /// Native rejects: reject beats allow, whoever allows.
  case nativeReject
  /// The Admin tier; `pass` leaves it.
  case admin
  /// What native rule sets and NetworkPolicies allow, as one union.
  case allow
  /// What a NetworkPolicy selects and nobody allowed.
  case isolation
  /// The Baseline tier; `pass` leaves it for the default.
  case baseline

  static func < (left: Step, right: Step) -> Bool { left.rawValue < right.rawValue }

  init(_ tier: Tier, _ action: RuleAction) {
    switch (tier, action) {
    case (.admin, _): self = .admin
    case (.baseline, _): self = .baseline
    case (.native, .reject): self = .nativeReject
    case (.namespaced, .reject): self = .isolation
    case (.native, _), (.namespaced, _): self = .allow
    }
  }

  /// Whether a rule of this step that passes hides only what is asked before `allow`.
  var isUpper: Bool { self < .allow }
}

/// How strong a rule is: the smaller, the earlier it is asked.
///
/// Rules of equal strength are asked by rule-set name, then position.
struct Strength: Comparable {
  let step: Step
  let priority: UInt16

  init(_ tier: Tier, _ action: RuleAction) {
    step = Step(tier, action)
    switch tier {
    case .admin(let priority), .baseline(let priority): self.priority = priority
    case .native, .namespaced: priority = 0
    }
  }

  static func < (left: Strength, right: Strength) -> Bool {
    left.step == right.step ? left.priority < right.priority : left.step < right.step
  }
}
