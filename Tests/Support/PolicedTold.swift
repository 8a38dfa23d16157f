// Who listens, told to the told view of the netfilter datapath without delay.
@testable import Enforcement

extension Policed {
  /// What tells who listens, for tests about anything else than that the told view learns of it late.
  var tellListeners: @Sendable () -> Void {
    guard tellsAtOnce, let told = (datapath as? NetfilterDatapath)?.told else { return {} }
    return { try? told.tellListeners() }
  }
}
