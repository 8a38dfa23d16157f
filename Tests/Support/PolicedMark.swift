// Who listens, told to the mark view of the netfilter datapath without delay.
@testable import Enforcement

extension Policed {
  /// What tells who listens, for tests about anything else than that the mark view learns of it late.
  var tellListeners: @Sendable () -> Void {
    guard tellsAtOnce, let markState = (datapath as? NetfilterDatapath)?.markState else { return {} }
    return { try? markState.tellListeners() }
  }
}
