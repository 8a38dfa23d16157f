// Cuts the live connections that policy no longer allows.
internal import Enforcement
internal import Kernel

/// What the agent asks for after every change in force.
struct Revocation: Sendable {
  let pipeline: FlowPipeline

  /// Re-evaluates live connections and destroys the losers; returns how many.
  func revoke(after enforcer: Enforcer) async throws -> Int {
    0
  }
}
