// Who a socket or process is to policy, as the kernel programs resolve it: lib/identity.h in Swift.

package import Kernel
package import Policy

/// What is policed on behalf of a socket or process.
package struct PolicedSubject: Sendable, Hashable {
  /// The labelled cgroup; nil = the host.
  package var workload: CgroupID?
  /// The number of its identity now; unknown for an unlabelled child that is refused.
  package var identity: IdentityNumber
  /// Whether its verdicts are reported and not applied.
  package var observe: Bool
  /// Whether cgroups below the workload that have no labels of their own are refused instead of being it.
  package var rejectsUnlabelledChildren: Bool
  /// Whether it is such a cgroup: refused whatever policy says, unless observed.
  package private(set) var isUnlabelled = false

  package init(
    workload: CgroupID?, identity: IdentityNumber, observe: Bool = false, rejectsUnlabelledChildren: Bool = false
  ) {
    self.workload = workload
    self.identity = identity
    self.observe = observe
    self.rejectsUnlabelledChildren = rejectsUnlabelledChildren
  }

  /// A labelled cgroup by its row.
  package init(_ row: WorkloadRow, of cgroup: CgroupID) {
    self.init(
      workload: cgroup, identity: row.identity, observe: row.observe,
      rejectsUnlabelledChildren: row.rejectsUnlabelledChildren)
  }

  /// Whatever runs outside of every labelled cgroup.
  package static let host = PolicedSubject(workload: nil, identity: .host)

  /// What a cgroup below this one is that has no row of its own.
  ///
  /// Nobody, if the workload rejects such children; under observation nothing may change for others, so its identity
  /// stays.
  package var unlabelledChild: PolicedSubject {
    guard rejectsUnlabelledChildren else { return self }
    var child = self
    child.isUnlabelled = true
    if !observe { child.identity = .unknown }
    return child
  }

  /// Whether it is nobody to others, also to the workload above it.
  var isNobody: Bool { isUnlabelled && !observe }
}
