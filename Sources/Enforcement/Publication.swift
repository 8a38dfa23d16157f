// What became of a change: the answer to whoever asked for it.

/// A change that is in force.
package struct Publication: Sendable, Equatable {
  /// The generation that it is in force with.
  package var generation: UInt32
  /// How many rows were written or removed.
  package var rowsWritten: Int
  /// How long it took, from the call to the last write.
  package var duration: Duration
  /// How many live flows were ended because of it; whoever revokes them sets this.
  package var revoked: Int
  /// What was probably not meant.
  package var warnings: [String]
  /// What the time went into.
  package var phases = Phases()

  /// The parts of a change, for measuring.
  package struct Phases: Sendable, Equatable {
    /// Compiling the policy.
    package var compile: Duration = .zero
    /// Finding the rows that differ, compiling left out.
    package var plan: Duration = .zero
    /// Waiting until no packet reads the slot that was in force before.
    package var grace: Duration = .zero
    /// Writing rows.
    package var write: Duration = .zero
    /// Putting the generation in force.
    package var flip: Duration = .zero

    /// Nothing done.
    package init() {}
  }

  package init(
    generation: UInt32, rowsWritten: Int = 0, duration: Duration = .zero, revoked: Int = 0, warnings: [String] = []
  ) {
    self.generation = generation
    self.rowsWritten = rowsWritten
    self.duration = duration
    self.revoked = revoked
    self.warnings = warnings
  }
}
