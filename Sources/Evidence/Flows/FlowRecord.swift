// One line of evidence: what happened to one flow, with every number that is known about it and its names.

package import Enforcement
internal import Policy

/// What is reported of a flow when it opens, is refused or closes.
package struct FlowRecord: Sendable {
  /// What is reported.
  package enum Event: UInt8, Sendable {
    /// It was let through and has begun.
    case open
    /// It was not let through, or was cut.
    case refused
    /// It is over; the counts are final.
    case close

    /// As written in the log.
    package var name: StaticString {
      switch self {
      case .open: "open"
      case .refused: "refused"
      case .close: "close"
      }
    }
  }

  /// What is reported.
  package var event: Event
  /// When, by the clock on the wall.
  package var time: WallTime
  /// All numbers, joined from every record about the flow.
  package var flow: FlowEvent
  /// The names of these numbers.
  package var names: Names
  /// How long it lived, in nanoseconds; only in `close`.
  package var duration: UInt64?
  /// Whether the record with the identities and the verdict never came.
  package var isIncomplete: Bool

  /// The names of a flow's numbers, resolved when it was judged.
  package struct Names: Sendable {
    /// The subject's identity.
    package var subject: IdentityName?
    /// The peer's identity.
    package var peer: IdentityName?
    /// The subject's workload; nil = the host.
    package var subjectWorkload: WorkloadName?
    /// The peer's workload, when it is on this host.
    package var peerWorkload: WorkloadName?
    /// The rule that decided.
    package var rule: RuleName?
    /// The observed rule that would have.
    package var observedRule: RuleName?
    /// The process at the subject's end.
    package var process: ProcessName?

    /// No names.
    package init() {}

    /// The names of an event's numbers.
    package init(of event: FlowEvent, in names: FlowNames, process: ProcessName?) {
      subject = names.identity(event.subject)
      peer = names.identity(event.peer)
      subjectWorkload = names.workload(event.workload)
      peerWorkload = names.workload(event.peerWorkload)
      rule = names.rule(event.rule)
      observedRule = names.rule(event.observedRule)
      self.process = process
    }
  }
}

extension FlowEvent.DecidedBy {
  /// As written in the log.
  package var name: StaticString {
    switch self {
    case .nothing: "nothing"
    case .rule: "rule"
    case .default: "default"
    case .local: "local"
    case .excluded: "excluded"
    case .invalid: "invalid"
    case .error: "error"
    case .unlabelled: "unlabelled"
    case .sender: "sender"
    case .ambiguous: "ambiguous"
    }
  }
}

extension FlowEvent.Assurance {
  /// As written in the log.
  package var name: StaticString {
    switch self {
    case .unknown: "unknown"
    case .address: "address"
    case .socket: "socket"
    case .handoff: "handoff"
    }
  }
}

extension Action {
  var name: StaticString { self == .allow ? "allow" : "reject" }
}
