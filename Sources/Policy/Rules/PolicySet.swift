// Everything that the documents say, checked as a whole.

/// A named, labelled list of address blocks with no enforcer behind it.
package struct ExternalNetwork: Sendable, Hashable {
  /// Unique among networks.
  package var name: String
  /// Labels that selectors see, besides `sallyport.network=NAME`.
  package var labels: LabelSet
  /// The blocks it contains.
  package var prefixes: [IPPrefix]
  /// Blocks that it does not contain, whatever `prefixes` says and in whatever order they were written.
  package var excluded: [IPPrefix]
  /// Whether nobody gave it a name: it stands for the CIDRs of one rule, and what is only in such is still the world to
  /// selectors.
  package var isAnonymous: Bool
  /// Where it was written.
  package var source: SourceLocation

  package init(
    name: String, labels: LabelSet = .empty, prefixes: [IPPrefix], excluded: [IPPrefix] = [],
    isAnonymous: Bool = false, source: SourceLocation = .none
  ) {
    self.name = name
    self.labels = labels
    self.prefixes = prefixes
    self.excluded = excluded
    self.isAnonymous = isAnonymous
    self.source = source
  }

  /// Whether the network contains an address.
  package func contains(_ address: IPAddress) -> Bool {
    prefixes.contains { $0.contains(address) } && !excluded.contains { $0.contains(address) }
  }

  /// What selectors see of an address in this network.
  package var selectableLabels: LabelSet {
    labels.merging(LabelSet(sorted: [Label(uncheckedKey: "sallyport.network", value: name)]))
  }

  /// What selectors see of an address in all of these networks: any one of the sets may match.
  static func selectableLabels(of networks: some Sequence<ExternalNetwork>) -> [LabelSet] {
    let named = networks.filter { !$0.isAnonymous }
    return named.isEmpty ? [.world] : named.map(\.selectableLabels)
  }
}

/// What happens to flows that no rule matches.
package struct Defaults: Sendable, Hashable {
  /// One action per direction.
  package struct Actions: Sendable, Hashable {
    /// For flows towards the subject.
    package var incoming: Action
    /// For flows from the subject.
    package var outgoing: Action

    package init(incoming: Action, outgoing: Action) {
      self.incoming = incoming
      self.outgoing = outgoing
    }

    /// The action of one direction.
    package subscript(direction: Direction) -> Action { direction == .incoming ? incoming : outgoing }
  }

  /// For every subject but the host.
  package var workloads: Actions
  /// For the host itself.
  package var host: Actions
  /// For subjects with the label `k8s.namespace`.
  package var pods: Actions
  /// Where they were written.
  package var source: SourceLocation

  /// Workloads are refused and the host is not, unless told otherwise; nil for pods = as other workloads.
  package init(
    workloads: Actions = Actions(incoming: .reject, outgoing: .reject),
    host: Actions = Actions(incoming: .allow, outgoing: .allow), pods: Actions? = nil,
    source: SourceLocation = .none
  ) {
    self.workloads = workloads
    self.host = host
    self.pods = pods ?? workloads
    self.source = source
  }

  /// Those of a subject.
  package func actions(for subject: Endpoint) -> Actions {
    subject.kind == .host ? host : actions(for: subject.labels)
  }

  /// Those of a subject that is not the host.
  func actions(for labels: LabelSet) -> Actions { labels.exactValue(of: PodLabel.namespace) == nil ? workloads : pods }
}

/// A whole policy: names are unique per kind and every network that a rule names exists.
package struct PolicySet: Sendable, Equatable {
  /// Sorted by name.
  package let ruleSets: [RuleSet]
  /// Sorted by name.
  package let networks: [ExternalNetwork]
  /// Sorted by name.
  package let workloads: [WorkloadRule]
  /// The pods of manifests, sorted by namespace and name.
  package let pods: [Pod]
  /// What happens to flows that no rule matches.
  package let defaults: Defaults

  /// No documents at all: the defaults decide.
  package static let empty = PolicySet(
    sortedRuleSets: [], networks: [], workloads: [], pods: [], defaults: Defaults())

  init(
    sortedRuleSets: [RuleSet], networks: [ExternalNetwork], workloads: [WorkloadRule], pods: [Pod],
    defaults: Defaults
  ) {
    ruleSets = sortedRuleSets
    self.networks = networks
    self.workloads = workloads
    self.pods = pods
    self.defaults = defaults
  }

  /// Whether rules, networks and defaults are the same, whoever the workloads are: then so are the tables for the same
  /// identities, with the places in documents that they name.
  package func hasSameRules(as other: PolicySet) -> Bool {
    ruleSets == other.ruleSets && networks == other.networks && defaults == other.defaults
  }

  /// The network of a name, or nil.
  package func network(named name: String) -> ExternalNetwork? { networks.first { $0.name == name } }

  /// The names of all networks that contain an address, sorted.
  package func networks(containing address: IPAddress) -> [String] {
    networks.filter { $0.contains(address) }.map(\.name)
  }
}
