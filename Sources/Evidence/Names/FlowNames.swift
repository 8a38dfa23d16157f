// What the numbers in records stand for, already written as JSON, shared by every record that uses them.

public import Policy

/// Who an identity number stands for.
public final class IdentityName: Sendable {
  /// The labels.
  public let labels: LabelSet
  /// The names of the external networks, sorted; empty for workloads.
  public let networks: [String]
  /// The identity that these labels have on every host.
  public let identity: Identity
  /// `"identity":…,"labels":{…}` and, for external addresses, `,"networks":[…]`.
  let json: [UInt8]

  /// A name for labels, or for an address in these networks.
  public init(labels: LabelSet, networks: [String] = []) {
    self.labels = labels
    self.networks = networks
    identity = labels.identity
    var json = JSONBytes(capacity: 128)
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

  func means(_ labels: LabelSet, _ networks: [String]) -> Bool { self.labels == labels && self.networks == networks }
}

/// The rule that a rule number stands for.
public final class RuleName: Sendable {
  /// The rule.
  public let reference: RuleReference
  /// `{"ruleSet":…,"name":…,"position":…}`.
  let json: [UInt8]

  /// A name for a rule.
  public init(_ reference: RuleReference) {
    self.reference = reference
    var json = JSONBytes(capacity: 96)
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
public final class WorkloadName: Sendable {
  /// The path below the hierarchy's root.
  public let path: String
  /// The path as a JSON string.
  let json: [UInt8]

  /// A name for a workload.
  public init(path: String) {
    self.path = path
    var json = JSONBytes(capacity: 64)
    json.string(path)
    self.json = json.bytes
  }
}

/// What the numbers of one generation stand for.
///
/// Names that did not change are the same objects as in the generation before, so that a flow that lives long keeps
/// alive its own few names and not the tables they came from.
public struct FlowNames: Sendable {
  private var identities: [IdentityNumber: IdentityName] = [:]
  private var rules: [RuleName] = []
  private var workloads: [UInt64: WorkloadName] = [:]

  /// Names of the reserved identities only.
  public static let reserved = FlowNames(identities: [:], externals: [:], rules: [], workloads: [:], reusing: nil)

  /// Names the numbers of a generation.
  ///
  /// `rules` are in the order of their numbers (number 1 first); `workloads` are cgroup paths by cgroup id; what is the
  /// same in `previous` is taken from there.
  public init(
    identities: [IdentityNumber: LabelSet], externals: [IdentityNumber: [String]], rules: [RuleReference],
    workloads: [UInt64: String], reusing previous: FlowNames?
  ) {
    var named = identities.map { ($0, $1, [String]()) }
    for number in [IdentityNumber.unknown, .host, .world] where identities[number] == nil {
      named.append((number, number.reservedLabels ?? .empty, []))
    }
    // Outside of every label: an address is known by its networks.
    named += externals.map { ($0, LabelSet.empty, $1) }
    self.identities.reserveCapacity(named.count)
    for (number, labels, networks) in named {
      if let known = previous?.identities[number], known.means(labels, networks) {
        self.identities[number] = known
      } else {
        self.identities[number] = IdentityName(labels: labels, networks: networks)
      }
    }
    self.rules = rules.enumerated().map { index, reference in
      if let previous, index < previous.rules.count, previous.rules[index].reference == reference {
        return previous.rules[index]
      }
      return RuleName(reference)
    }
    for (id, path) in workloads {
      let known = previous?.workloads[id]
      self.workloads[id] = known?.path == path ? known : WorkloadName(path: path)
    }
  }

  /// Who a number stands for; nil if it was not in this generation.
  public func identity(_ number: IdentityNumber) -> IdentityName? { identities[number] }

  /// The rule of a number; nil for 0.
  public func rule(_ number: UInt32) -> RuleName? {
    number == 0 || Int(number) > rules.count ? nil : rules[Int(number) - 1]
  }

  /// The workload of a cgroup id; nil for 0, which is the host.
  public func workload(_ id: UInt64) -> WorkloadName? { id == 0 ? nil : workloads[id] }
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
