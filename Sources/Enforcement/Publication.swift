// What became of a change: the answer to whoever asked for it.

/// A change that is in force.
public struct Publication: Sendable, Equatable {
  /// The generation that it is in force with.
  public var generation: UInt32
  /// How many rows were written or removed.
  public var rowsWritten: Int
  /// How long it took, from the call to the last write.
  public var duration: Duration
  /// How many live flows were ended because of it; whoever revokes them sets this.
  public var revoked: Int
  /// What was probably not meant.
  public var warnings: [String]
  /// What the time went into.
  public var phases = Phases()

  /// The parts of a change, for measuring.
  public struct Phases: Sendable, Equatable {
    /// Compiling the policy.
    public var compile: Duration = .zero
    /// Finding the rows that differ, compiling left out.
    public var plan: Duration = .zero
    /// Waiting until no packet reads the slot that was in force before.
    public var grace: Duration = .zero
    /// Writing rows.
    public var write: Duration = .zero
    /// Putting the generation in force.
    public var flip: Duration = .zero

    /// Nothing done.
    public init() {}
  }

  /// Takes all its parts.
  public init(
    generation: UInt32, rowsWritten: Int = 0, duration: Duration = .zero, revoked: Int = 0, warnings: [String] = []
  ) {
    self.generation = generation
    self.rowsWritten = rowsWritten
    self.duration = duration
    self.revoked = revoked
    self.warnings = warnings
  }
}
