// What the numbers in records stand for, already written as JSON, shared by every record that uses them.

package import Enforcement
internal import JSON
internal import Kernel
package import Policy

/// Who an identity number stands for.
package final class IdentityName: Sendable {
  /// The labels.
  package let labels: LabelSet
  /// The names of the external networks, sorted; empty for workloads.
  package let networks: [String]
  /// The identity that these labels have on every host.
  package let identity: Identity
  /// `"identity":…,"labels":{…}` and, for external addresses, `,"networks":[…]`.
  let json: [UInt8]

  /// A name for labels, or for an address in these networks.
  package init(labels: LabelSet, networks: [String] = []) {
    self.labels = labels
    self.networks = networks
    identity = labels.identity
    var json = JSONWriter(capacity: 128)
    json.raw("\"identity\":")
    json.string(identity.description)
    json.raw(",\"labels\":{")
    for (index, label) in labels.labels.enumerated() {
      if index > 0 { json.raw(",") }
      json.string(label.key)
      json.raw(":")
      json.string(label.value)
    }
    json.raw("}")
    if !networks.isEmpty {
      json.raw(",\"networks\":[")
      for (index, name) in networks.enumerated() {
        if index > 0 { json.raw(",") }
        json.string(name)
      }
      json.raw("]")
    }
    self.json = json.bytes
  }
}

/// The rule that a rule number stands for.
package final class RuleName: Sendable {
  /// The rule.
  package let reference: RuleReference
  /// `{"ruleSet":…,"name":…,"position":…}`.
  let json: [UInt8]

  /// A name for a rule.
  package init(_ reference: RuleReference) {
    self.reference = reference
    var json = JSONWriter(capacity: 96)
    json.raw("{\"ruleSet\":")
    json.string(reference.ruleSet)
    json.raw(",\"name\":")
    json.string(reference.name)
    json.raw(",\"direction\":")
    json.string(reference.direction.description)
    json.raw(",\"position\":")
    json.number(UInt64(max(reference.position, 0)))
    json.raw("}")
    self.json = json.bytes
  }
}

/// The cgroup path that a cgroup id stands for.
package final class WorkloadName: Sendable {
  /// The path below the hierarchy's root.
  package let path: String
  /// The path as a JSON string.
  let json: [UInt8]

  /// A name for a workload.
  package init(path: String) {
    self.path = path
    var json = JSONWriter(capacity: 64)
    json.string(path)
    self.json = json.bytes
  }
}

/// What the numbers of one generation stand for.
///
/// A name is made when a record first needs it: of a hundred thousand identities few ever speak. Names that did not
/// change are the same objects as in the generation before, so that a flow that lives long keeps alive its own few
/// names and not the tables they came from.
package struct FlowNames: Sendable {
  private let source: NamesInForce
  private let rules: [RuleName]
  private let made: MadeNames

  /// Names of the reserved identities only.
  package static let reserved = FlowNames(NamesInForce(), reusing: nil)

  /// The generation.
  package var generation: UInt32 { source.generation }

  /// Names the numbers of a generation; what is the same in `previous` is taken from there.
  package init(_ source: NamesInForce, reusing previous: FlowNames?) {
    self.source = source
    made = previous?.made ?? MadeNames()
    if let previous, previous.source.rules == source.rules {
      rules = previous.rules
    } else {
      rules = source.rules.enumerated().map { index, reference in
        let known = previous.flatMap { $0.rule(UInt32(index + 1)) }
        return known?.reference == reference ? known ?? RuleName(reference) : RuleName(reference)
      }
    }
  }

  /// Who a number stands for; nil if it was not in this generation.
  package func identity(_ number: IdentityNumber) -> IdentityName? { made.identity(number, in: source) }

  /// The rule of a number; nil for 0.
  package func rule(_ number: UInt32) -> RuleName? {
    number == 0 || Int(number) > rules.count ? nil : rules[Int(number) - 1]
  }

  /// The workload of a cgroup id; nil for 0, which is the host.
  package func workload(_ id: UInt64) -> WorkloadName? {
    id == 0 ? nil : made.workload(CgroupID(rawValue: id), in: source)
  }
}

/// The names of the last generations: records arrive a little after the tables that they speak of.
struct NameHistory: Sendable {
  private var generations: [(generation: UInt32, names: FlowNames)] = []
  private let limit = 8

  var latest: FlowNames { generations.last?.names ?? .reserved }

  mutating func publish(_ names: FlowNames, generation: UInt32) {
    generations.removeAll { $0.generation == generation }
    generations.append((generation, names))
    if generations.count > limit { generations.removeFirst() }
  }

  /// The names in force in a generation; those of the nearest earlier one that is known, else the latest.
  func names(for generation: UInt32) -> FlowNames {
    generations.last { $0.generation == generation || Int32(bitPattern: generation &- $0.generation) > 0 }?.names
      ?? latest
  }
}
