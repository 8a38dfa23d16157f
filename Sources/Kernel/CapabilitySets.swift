// The sets of capabilities of the calling thread, with the one that bounds what its children can ever have.
internal import CLinux
internal import SystemPackage

/// What a thread may do, could raise itself to, and what bounds every program that it starts (capabilities(7)).
public struct CapabilitySets: Equatable, Sendable {
  /// What it may do now, a bit for each capability.
  public var effective: UInt64
  /// What it may raise itself to.
  public var permitted: UInt64
  /// What a program that it executes can have at most.
  public var bounding: UInt64

  /// States the sets.
  public init(effective: UInt64, permitted: UInt64, bounding: UInt64) {
    self.effective = effective
    self.permitted = permitted
    self.bounding = bounding
  }

  /// Asks the kernel; works without /proc.
  ///
  /// The corresponding calls are `capget` and `prctl(PR_CAPBSET_READ)`.
  public static func current() throws(KernelError) -> CapabilitySets {
    var effective: UInt64 = 0
    var permitted: UInt64 = 0
    var bounding: UInt64 = 0
    try check(unsafe sp_capget(&effective, &permitted), "read", "capabilities")
    try check(unsafe sp_capability_bounding(&bounding), "read", "bounding set of capabilities")
    return CapabilitySets(effective: effective, permitted: permitted, bounding: bounding)
  }
}

extension Capability {
  /// The capability of a name such as `CAP_NET_ADMIN`, in any case; nil for one that Sallyport has no word for.
  public init?(name: String) {
    let wanted = name.uppercased()
    guard let found = Self.all.first(where: { $0.description == wanted }) else { return nil }
    self = found
  }

  /// Every capability that something in Sallyport asks for.
  public static let all: [Capability] = [
    .dacReadSearch, .netAdmin, .netRaw, .sysModule, .sysPtrace, .sysAdmin, .sysResource, .perfmon, .bpf,
  ]
}
