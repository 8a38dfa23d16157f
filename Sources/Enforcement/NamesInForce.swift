// What the numbers of one generation stand for, held as the enforcer holds it: taking it costs nothing.

package import Kernel
package import Policy

/// Names for the numbers in records of one generation.
package struct NamesInForce: Sendable {
  /// The generation.
  package let generation: UInt32
  /// The rules, in the order of their numbers; the first is number 1.
  package let rules: [RuleReference]
  private let identities: IdentityAllocator.Names
  private let externals: [IdentityNumber: [String]]
  private let workloads: KeyedRows<CgroupID, Roster.Member>

  init(
    generation: UInt32, rules: [RuleReference], identities: IdentityAllocator.Names,
    externals: [IdentityNumber: [String]], workloads: KeyedRows<CgroupID, Roster.Member>
  ) {
    self.generation = generation
    self.rules = rules
    self.identities = identities
    self.externals = externals
    self.workloads = workloads
  }

  /// Takes names from elsewhere.
  package init(
    generation: UInt32 = 0, rules: [RuleReference] = [], identities: [IdentityNumber: LabelSet] = [:],
    externals: [IdentityNumber: [String]] = [:], workloads: [WorkloadInstance] = []
  ) {
    var names = IdentityAllocator.Names()
    for (number, labels) in identities {
      names[number] = IdentityAllocator.Entry(labels: labels, identity: labels.identity, uses: 1)
    }
    var members = KeyedRows<CgroupID, Roster.Member>()
    for instance in workloads { members[instance.cgroup] = Roster.Member(instance: instance, number: .unknown) }
    self.init(generation: generation, rules: rules, identities: names, externals: externals, workloads: members)
  }

  /// The labels of a number, reserved or allotted.
  package func labels(of number: IdentityNumber) -> LabelSet? { number.reservedLabels ?? identities[number]?.labels }

  /// The identity of an allotted number; quicker than that of its labels.
  package func identity(of number: IdentityNumber) -> Identity? { identities[number]?.identity }

  /// The names of the networks that a number stands for.
  package func networks(of number: IdentityNumber) -> [String]? { externals[number] }

  /// The path of a workload's cgroup.
  package func path(of workload: CgroupID) -> String? { workloads[workload]?.instance.path }
}

extension Enforcer {
  /// What the numbers of the generation in force stand for.
  package var names: NamesInForce {
    NamesInForce(
      generation: shadow.generation, rules: compiled?.tables.rules ?? [], identities: allocator.names,
      externals: compiled?.tables.externals ?? [:], workloads: roster.members)
  }

  /// The workloads that have addresses of their own.
  package var workloadsWithAddresses: [WorkloadInstance] {
    roster.members.values.lazy.filter { !$0.claimed.isEmpty }.map(\.instance)
  }

  /// The workloads in force, in no order; those that ended are left out.
  package var workloads: [WorkloadInstance] { roster.members.values.filter { $0.ended == 0 }.map(\.instance) }

  /// The documents of the policy in force; empty when it is not known.
  package var policySources: [PolicySource] { sources }

  /// Whether it is known which documents are in force.
  package var recognisesPolicy: Bool { isRecognised || policy != nil }

  /// Whether a policy can be extended to workloads that come; if not, it must be applied first.
  package var knowsPolicy: Bool { policy != nil }
}
