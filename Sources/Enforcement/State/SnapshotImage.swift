// The state at one moment, held as the enforcer holds it: taking it costs nothing, making text of it happens elsewhere.

internal import Kernel
internal import Policy

/// What a snapshot is made from.
struct SnapshotImage: Sendable {
  /// What is small, as it will be shown; the lists are empty.
  var summary = Snapshot()
  var members = KeyedRows<CgroupID, Roster.Member>()
  var names = IdentityAllocator.Names()
  var rules: [RuleReference] = []
  var externals: [IdentityNumber: [String]] = [:]

  /// The identities with their hashes, in the order of their numbers; the reserved ones come first.
  func eachIdentity<Failure>(
    _ body: (IdentityNumber, Identity, LabelSet) throws(Failure) -> Void
  ) throws(Failure) {
    for number in [IdentityNumber.unknown, .host, .world] {
      if let labels = number.reservedLabels { try body(number, labels.identity, labels) }
    }
    try names.forEach { (number, entry) throws(Failure) in try body(number, entry.identity, entry.labels) }
  }

  var workloads: [WorkloadInstance] {
    members.values.filter { $0.ended == 0 }.map(\.instance).sorted { $0.path < $1.path }
  }

  /// Those whose cgroups were removed, the oldest first.
  var ended: [WorkloadInstance] {
    members.values.filter { $0.ended != 0 }.sorted { $0.ended < $1.ended }.map(\.instance)
  }
}

extension Snapshot {
  /// The state of an image, for readers in this process.
  init(_ image: SnapshotImage) {
    self = image.summary
    workloads = image.workloads
    let ended = image.ended
    self.ended = ended.isEmpty ? nil : ended
    var identities: [NumberedIdentity] = []
    image.eachIdentity { number, identity, labels in
      identities.append(
        NumberedIdentity(number: number.rawValue, identity: identity.description, labels: labels.dictionary))
    }
    self.identities = identities
    rules = image.rules.enumerated().map { NumberedRule(number: UInt32($0.offset + 1), $0.element) }
    externals = image.externals.sorted { $0.key < $1.key }.map {
      NumberedNetworks(number: $0.key.rawValue, networks: $0.value)
    }
  }
}

extension Snapshot.NumberedRule {
  init(number: UInt32, _ rule: RuleReference) {
    self.init(
      number: number, ruleSet: rule.ruleSet, direction: rule.direction.description, position: rule.position,
      name: rule.name, action: rule.action.description, mode: rule.mode.description,
      source: rule.source.description)
  }
}
