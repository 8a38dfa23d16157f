// From a policy and the identities of a host to the tables of its kernel.

/// A policy that does not fit the tables.
package struct CompileError: Error, Equatable, CustomStringConvertible {
  /// What does not fit, with the figures.
  package let problem: String
  /// What to do about it.
  package let remedy: String

  /// One line.
  package var description: String { "compile policy: \(problem); \(remedy)" }

  static func tooManyCells(_ limit: Int) -> CompileError {
    CompileError(
      problem: "the rules need more than \(limit) table entries",
      remedy: "use fewer peers and port ranges per rule, or fewer different subjects")
  }
}

/// Tables, and what is needed to place new identities in them without compiling again.
package struct Compiled: Sendable {
  /// What the kernel is to hold.
  package internal(set) var tables: Tables
  /// Selectors that match nothing on this host nor any network: probably a typing error, or a workload to come.
  package let warnings: [PolicyError]
  var classifier: SelectorClassifier
  var table: RuleTable
  var probes: SubjectProbes
  let defaults: Defaults
  /// How many label sets got classes of their own since everything was compiled.
  var extensions = 0

  /// The classes of a workload's identity that was not there when the policy was compiled.
  ///
  /// Nil if it falls in no known class: compile again with it.
  package func classes(for labels: LabelSet) -> Classes? {
    classifier.known(labels).map { probes.classes($0, defaults.actions(for: labels)) }
  }

  /// Puts an identity's classes into the tables without compiling again; the rest of the tables stays as it is.
  ///
  /// Nil, and nothing done, if it falls in no known class: compile again with it.
  @discardableResult
  package mutating func insert(_ number: IdentityNumber, _ labels: LabelSet) -> Classes? {
    guard let classes = classes(for: labels) else { return nil }
    insert(number, classes)
    return classes
  }

  /// Likewise, with classes that `classes(for:)` gave.
  package mutating func insert(_ number: IdentityNumber, _ classes: Classes) { tables.classes[number] = classes }
}

/// Which kinds of cells each subject class has.
struct SubjectProbes: Sendable {
  var outgoing: [Probes]
  var incoming: [Probes]

  func classes(_ triple: ClassTriple, _ defaults: Defaults.Actions) -> Classes {
    Classes(
      outgoingSubject: triple.outgoing, incomingSubject: triple.incoming, peer: triple.peer,
      outgoingProbes: outgoing[Int(triple.outgoing)], incomingProbes: incoming[Int(triple.incoming)],
      outgoingDefault: defaults.outgoing, incomingDefault: defaults.incoming)
  }
}

/// Compiles policies.
///
/// Pure: the same input gives the same tables, number for number.
package enum Compiler {
  /// Compiles a policy for the identities of this host.
  ///
  /// - Parameter identities: the allotted identities. Reserved ones are always compiled; only the labels of `.host`
  ///   may be given, to add to its own.
  /// - Parameter maximumCells: how many cells the kernel's table holds; a policy that needs more is refused.
  /// - Parameter widePeers: from how many classes of peers on a rule for nearly all of them is written as one for any,
  ///   and cells for whom it leaves out. It costs the others a probe or two, so small policies do without.
  package static func compile(
    policy: PolicySet, identities: [IdentityNumber: LabelSet], maximumCells: Int = 4_194_304, widePeers: Int = 256
  ) throws(CompileError) -> Compiled {
    try compile(
      policy: policy, sorted: identities.sorted { $0.key < $1.key }, maximumCells: maximumCells, widePeers: widePeers)
  }

  /// Likewise, for identities in the order of their numbers, each once.
  package static func compile(
    policy: PolicySet, sorted identities: [(key: IdentityNumber, value: LabelSet)], maximumCells: Int = 4_194_304,
    widePeers: Int = 256
  ) throws(CompileError) -> Compiled {
    let reserved = try reserved(with: identities)
    let prefixTable = try PrefixTable(policy.networks)
    var classifier = SelectorClassifier(policy)
    var triples: [(IdentityNumber, ClassTriple, Defaults.Actions)] = []
    triples.reserveCapacity(reserved.count + identities.count + prefixTable.sets.count)
    var projection = SelectorIndex.Projection()
    func classify(_ identities: some Sequence<(key: IdentityNumber, value: LabelSet)>) {
      for (number, labels) in identities {
        let defaults = number == .host ? policy.defaults.host : policy.defaults.actions(for: labels)
        triples.append((number, classifier.classify(labels, reusing: &projection), defaults))
      }
    }
    // Classes are numbered in the order in which they are met. External sets come before allotted identities, so that
    // a new identity, which has the highest number, leaves all other classes as they are.
    classify(reserved)
    var externals: [IdentityNumber: [String]] = [:]
    for (index, set) in prefixTable.sets.enumerated() {
      let number = PrefixTable.number(at: index)
      externals[number] = set.map { policy.networks[$0].name }
      let triple = classifier.classify(networks: set, of: policy.networks)
      triples.append((number, triple, policy.defaults.workloads))
    }
    classify(identities.drop { $0.key < .firstAllotted })
    let table = try RuleTable(policy, classifier, maximumCells: maximumCells, widePeers: widePeers)
    if table.hasWideRules { classifier.numberNobody() }
    let (portClasses, cells, rules, probes) = try table.build(classifier)
    var classes = ClassTable()
    for (number, var triple, defaults) in triples {
      if table.hasWideRules, triple.peer == 0 { triple.peer = ClassNumbers.ownNumberOfNone }
      classes[number] = probes.classes(triple, defaults)
    }
    let tables = Tables(
      classes: classes, portClasses: portClasses, cells: cells, prefixes: prefixTable.prefixes, externals: externals,
      rules: rules)
    classifier.forgetProjections()
    let warnings = classifier.unmatched(in: policy)
    return Compiled(
      tables: tables, warnings: warnings, classifier: classifier, table: table, probes: probes,
      defaults: policy.defaults)
  }

  /// The reserved identities, each with its own labels or those given for it.
  private static func reserved(
    with identities: [(key: IdentityNumber, value: LabelSet)]
  ) throws(CompileError) -> [(key: IdentityNumber, value: LabelSet)] {
    let stranger = identities.first { number, labels in
      number >= .firstExternal || (number < .firstAllotted && number != .host && labels != number.reservedLabels)
    }
    if let stranger {
      throw CompileError(
        problem: "identity number \(stranger.key) cannot stand for a label set",
        remedy: "allot numbers from \(IdentityNumber.firstAllotted) up to \(IdentityNumber.firstExternal.rawValue - 1)")
    }
    let given = identities.prefix { $0.key < .firstAllotted }
    return [IdentityNumber.unknown, .host, .world].compactMap { number in
      (given.first { $0.key == number }?.value ?? number.reservedLabels).map { (number, $0) }
    }
  }
}
