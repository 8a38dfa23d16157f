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
