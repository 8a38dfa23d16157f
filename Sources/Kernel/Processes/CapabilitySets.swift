// The sets of capabilities of the calling thread, with the one that bounds what its children can ever have.
internal import CLinux
internal import SystemPackage

/// What a thread may do, could raise itself to, and what bounds every program that it starts (capabilities(7)).
package struct CapabilitySets: Equatable, Sendable {
  /// What it may do now, a bit for each capability.
  package var effective: UInt64
  /// What it may raise itself to.
  package var permitted: UInt64
  /// What a program that it executes can have at most.
  package var bounding: UInt64

  /// States the sets.
  package init(effective: UInt64, permitted: UInt64, bounding: UInt64) {
    self.effective = effective
    self.permitted = permitted
    self.bounding = bounding
  }

  /// Asks the kernel; works without /proc.
  ///
  /// The corresponding calls are `capget` and `prctl(PR_CAPBSET_READ)`.
  package static func current() throws(KernelError) -> CapabilitySets {
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
  package init?(name: String) {
    let wanted = name.uppercased()
    guard let found = Self.all.first(where: { $0.description == wanted }) else { return nil }
    self = found
  }

  /// Every capability that something in Sallyport asks for.
  package static let all: [Capability] = [
    .dacReadSearch, .netAdmin, .netRaw, .sysModule, .sysPtrace, .sysAdmin, .sysResource, .perfmon, .bpf,
  ]
}
