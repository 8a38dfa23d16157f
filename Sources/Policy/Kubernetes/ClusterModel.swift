// Who there is in a cluster, and what its selectors come to: pods are known by labels alone.

/// Namespaces by name and the container ports of pods.
struct ClusterModel {
  /// The labels of every namespace that a document is, or mentions.
  let namespaces: [String: LabelSet]
  /// The different sets of named ports that pods have.
  let portSets: Set<[Pod.Port]>
  private var names: [Selector: [String]] = [:]

  init(_ manifests: Manifests) {
    var namespaces: [String: LabelSet] = [:]
    func mention(_ name: String) {
      if namespaces[name] == nil {
        namespaces[name] = LabelSet(sorted: [Label(uncheckedKey: NamespaceManifest.nameKey, value: name)])
      }
    }
    for namespace in manifests.namespaces { namespaces[namespace.name] = namespace.labels }
    for pod in manifests.pods { mention(pod.namespace) }
    for namespace in manifests.finishedIn { mention(namespace) }
    for policy in manifests.policies {
      if case .own(let name) = policy.subject.namespaces { mention(name) }
    }
    self.namespaces = namespaces
    portSets = Set(manifests.pods.map(\.ports))
  }

  /// What a pod's labels must fulfil to be in the scope; nil = no namespace is.
  private mutating func requirements(_ scope: NamespaceScope) -> [Requirement]? {
    let key = PodLabel.namespace
    let isPod = Requirement(uncheckedKey: key, .exists)
    switch scope {
    case .own(let name): return [Requirement(uncheckedKey: key, .isIn, [name])]
    case .matching(let selector) where selector.isEverything: return [isPod]
    // The name says all, so namespaces that nobody wrote down are judged as well.
    case .matching(let selector) where selector.requirements.allSatisfy({ $0.key == NamespaceManifest.nameKey }):
      if selector.requirements.contains(where: { $0.operator == .doesNotExist }) { return nil }
      return [isPod] + selector.requirements.map { Requirement(uncheckedKey: key, $0.operator, $0.values) }
    case .matching(let selector):
      let found = names[selector] ?? namespaces.filter { selector.matches($0.value) }.keys.sorted()
      names[selector] = found
      return found.isEmpty ? nil : [Requirement(uncheckedKey: key, .isIn, found)]
    }
  }

  /// The selector of some pods by the labels they have here; nil = no namespace matches.
  ///
  /// `withUntold`: also those in namespaces that no document tells of, if those without labels are meant.
  mutating func selector(_ pods: PodSet, withUntold: Bool = false) -> Selector? {
    if withUntold, let untold = untold(pods.namespaces, orMatching: true) { return selector(pods, untold) }
    return requirements(pods.namespaces).map { selector(pods, $0) }
  }

  /// The pods of namespaces that no document tells of; nil if a namespace without labels is not meant.
  func untold(_ pods: PodSet) -> Selector? {
    untold(pods.namespaces, orMatching: false).map { selector(pods, $0) }
  }

  private func untold(_ scope: NamespaceScope, orMatching: Bool) -> [Requirement]? {
    let nameKey = NamespaceManifest.nameKey
    // A selector over names alone judges them already.
    guard case .matching(let selector) = scope, !selector.requirements.allSatisfy({ $0.key == nameKey }),
      selector.requirements.allSatisfy({ $0.key == nameKey || $0.matches(.empty) }),
      !selector.requirements.contains(where: { $0.key == nameKey && $0.operator == .doesNotExist })
    else { return nil }
    let key = PodLabel.namespace
    let told = namespaces.filter { !orMatching || !selector.matches($0.value) }.keys.sorted()
    let names = selector.requirements.filter { $0.key == nameKey }
    return [Requirement(uncheckedKey: key, .exists)]
      + (told.isEmpty ? [] : [Requirement(uncheckedKey: key, .notIn, told)])
      + names.map { Requirement(uncheckedKey: key, $0.operator, $0.values) }
  }

  private func selector(_ pods: PodSet, _ namespaces: [Requirement]) -> Selector {
    var all = namespaces
    all += pods.pods.requirements.map {
      Requirement(uncheckedKey: PodLabel.own($0.key), $0.operator, $0.values)
    }
    if !pods.includesHostNetwork { all.append(Requirement(uncheckedKey: PodLabel.hostNetwork, .doesNotExist)) }
    return Selector(all)
  }

  /// What some port names come to on the pods that there are.
  ///
  /// Each variant is one answer: the requirements of the pods that it holds for, which exclude each other, and their
  /// ports. A name that a pod gives to a number that no manifest does is as if the pod did not have it.
  func variants(of names: Set<PortManifest>) -> [PortVariant] {
    var numbers: [String: Set<String>] = [:]
    var found: Set<[String: Pod.Port]> = [[:]]
    for ports in portSets {
      var projection: [String: Pod.Port] = [:]
      for name in names {
        for port in name.named(in: ports) {
          let key = PodLabel.port(port.protocol, port.name)
          // Of equal names for one protocol the first counts.
          projection[key] = projection[key] ?? port
        }
      }
      for (key, port) in projection { numbers[key, default: []].insert(String(port.number)) }
      found.insert(projection)
    }
    let sorted = numbers.sorted { $0.key < $1.key }
    return found.map { projection in
      let requirements = sorted.map { key, numbers in
        projection[key].map { Requirement(uncheckedKey: key, .isIn, [String($0.number)]) }
          ?? Requirement(uncheckedKey: key, .notIn, Array(numbers))
      }
      return PortVariant(requirements: requirements, ports: projection.values.sorted())
    }.sorted { $0.ports.lexicographicallyPrecedes($1.ports) }
  }

  /// Every number that a name has anywhere, with the label of the pods that have it.
  func numbers(of name: PortManifest) -> [(requirement: Requirement, port: Pod.Port)] {
    variants(of: [name]).flatMap(\.ports).reduce(into: Set<Pod.Port>()) { $0.insert($1) }.sorted().map { port in
      let key = PodLabel.port(port.protocol, port.name)
      return (Requirement(uncheckedKey: key, .isIn, [String(port.number)]), port)
    }
  }
}

/// Pods on which some port names mean the same.
struct PortVariant {
  let requirements: [Requirement]
  let ports: [Pod.Port]

  /// ` http=tcp/80`, or nothing; sorts before every character of a name.
  var suffix: String {
    ports.isEmpty ? "" : "#" + ports.map { "\($0.name)=\($0.protocol)/\($0.number)" }.joined(separator: ",")
  }
}

extension PortManifest {
  /// Which of a pod's ports are meant by a name.
  func named(in ports: [Pod.Port]) -> [Pod.Port] {
    guard case .named(let name, let proto) = self else { return [] }
    return ports.filter { $0.name == name && (proto == nil || $0.protocol == proto) }
  }

  /// The specification of a range, or of what a name means among some ports.
  func specs(among ports: [Pod.Port]) -> [PortSpec] {
    switch self {
    case .range(let proto, let range): [.ports(proto, range)]
    case .named: named(in: ports).map { .ports($0.protocol, PortRange($0.number, $0.number)) }
    }
  }
}

extension RuleSet {
  /// What the name of a rule set ends in that is for pods of namespaces that no document tells of.
  static let untoldSuffix = "#untold"

  /// Whether there may well be no such pod.
  var isForUntold: Bool { tier != .native && name.hasSuffix(Self.untoldSuffix) }
}
