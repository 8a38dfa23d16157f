// Which datapath the tests of this run are about.
package import Enforcement
internal import Glibc
package import SystemPackage
package import Testing

extension DatapathKind {
  /// The one that SALLYPORT_DATAPATH names; the cgroup datapath if it names none.
  package static let underTest: DatapathKind = {
    guard let name = unsafe getenv("SALLYPORT_DATAPATH") else { return .cgroup }
    return DatapathKind(rawValue: unsafe String(cString: name)) ?? .cgroup
  }()
}

extension NetfilterView {
  /// The one that SALLYPORT_NETFILTER_VIEW names; nil = as exactly as this kernel can.
  package static let underTest: NetfilterView? = {
    guard let name = unsafe getenv("SALLYPORT_NETFILTER_VIEW") else { return nil }
    return NetfilterView(rawValue: unsafe String(cString: name))
  }()
}

extension Errno {
  /// What connect() of a stream says when policy refuses: a program on the cgroup answers it, a rule can only reset.
  package static var refusedConnect: Errno { DatapathKind.underTest == .cgroup ? .notPermitted : .connectionRefused }
}

extension Trait where Self == ConditionTrait {
  /// Skips the test where the datapath under test is not one of these, for a reason that its coverage statement gives.
  package static func only(on kinds: DatapathKind..., because reason: String) -> ConditionTrait {
    .enabled("the \(DatapathKind.underTest.rawValue) datapath does not cover it: \(reason)") {
      kinds.contains(.underTest)
    }
  }
}
