// How the rules of the netfilter datapath are written.

/// What people may choose about the rules.
public struct NetfilterSettings: Sendable, Equatable {
  /// The usual settings.
  public init() {}
}
