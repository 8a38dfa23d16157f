// What became of single attempts, and what follows from them for a class of traffic.
internal import SystemPackage

/// What became of one attempt.
enum Outcome: Equatable, Sendable {
  /// It arrived.
  case passed
  /// The kernel told the sender that it may not.
  case refused(Errno)
  /// It did not arrive, and nobody was told.
  case lost

  /// What people read.
  var text: String {
    switch self {
    case .passed: "passes"
    case .refused(let errno): "refused with \(errno.symbol)"
    case .lost: "does not arrive"
    }
  }
}

extension Errno {
  /// The name of the number where it is one that datapaths give, else the number.
  var symbol: String {
    switch self {
    case .notPermitted: "EPERM"
    case .permissionDenied: "EACCES"
    case .connectionRefused: "ECONNREFUSED"
    case .connectionReset: "ECONNRESET"
    case .connectionAbort: "ECONNABORTED"
    case .brokenPipe: "EPIPE"
    case .noRouteToHost: "EHOSTUNREACH"
    case .timedOut: "ETIMEDOUT"
    default: "errno \(rawValue)"
    }
  }
}

/// What was tried for one class of traffic.
struct Finding: Sendable {
  /// One attempt; its name is the subject of a sentence that ends with its outcome.
  struct Attempt: Sendable {
    var name: String
    var outcome: Outcome
    /// Whether a refusal without an error is no fault: the sender is at the other end.
    var mayBeSilent = false
  }

  /// What policy allows.
  var allowed: [Attempt] = []
  /// What it does not allow.
  var denied: [Attempt] = []

  /// Adds what both ends' policies allow.
  func allowing(_ outcome: Outcome) -> Finding { allowing("what is allowed", outcome) }

  /// Adds what policy allows.
  func allowing(_ name: String, _ outcome: Outcome) -> Finding {
    var copy = self
    copy.allowed.append(Attempt(name: name, outcome: outcome))
    return copy
  }

  /// Adds what policy does not allow.
  func denying(_ name: String, silent: Bool = false, _ outcome: Outcome) -> Finding {
    var copy = self
    copy.denied.append(Attempt(name: name, outcome: outcome, mayBeSilent: silent))
    return copy
  }

  /// Adds what only the sender's own policy refuses.
  func atSender(_ outcome: Outcome) -> Finding { denying(Self.sender, outcome) }

  /// Adds what only the receiver's policy refuses; on another namespace's side a silent drop is all there can be.
  func atReceiver(_ outcome: Outcome) -> Finding { denying(Self.receiver, silent: true, outcome) }

  static let sender = "what the sender's policy refuses"
  static let receiver = "what the receiver's policy refuses"

  /// How far the class is covered.
  var result: CoverageResult {
    if allowed.contains(where: { $0.outcome != .passed }) { return .refused }
    let passing = denied.filter { $0.outcome == .passed }
    if denied.isEmpty { return .unknown }
    if passing.count == denied.count { return .notCovered }
    if !passing.isEmpty || denied.contains(where: { $0.outcome == .lost && !$0.mayBeSilent }) { return .partly }
    return .covered
  }

  /// Every attempt as people read it.
  var seen: [String] { (allowed + denied).map { "\($0.name): \($0.outcome.text)" } }

  /// What is wrong, in words; empty for what is covered.
  var reason: String {
    func names(_ attempts: [Attempt]) -> String { attempts.map(\.name).joined(separator: "; ") }
    switch result {
    case .refused:
      return denied.isEmpty || allowed.contains { $0.outcome == .passed }
        ? "does not pass: " + names(allowed.filter { $0.outcome != .passed })
        : "nothing passes; policy in force may refuse what the host sends"
    case .partly, .notCovered:
      let passing = denied.filter { $0.outcome == .passed }
      if !passing.isEmpty { return "passes: " + names(passing) }
      return "refused without an error: " + names(denied.filter { $0.outcome == .lost && !$0.mayBeSilent })
    case .covered, .absent, .unknown: return ""
    }
  }
}

/// This kernel has no such traffic.
struct Absent: Error {
  /// What it said.
  var reason: String
}
