// From a policy and the identities of a host to the tables of its kernel.

/// A policy that does not fit the tables.
public struct CompileError: Error, Equatable, CustomStringConvertible {
  /// What does not fit, with the figures.
  public let problem: String
  /// What to do about it.
  public let remedy: String

  /// One line.
  public var description: String { "compile policy: \(problem); \(remedy)" }

  static func tooManyCells(_ limit: Int) -> CompileError {
    CompileError(
      problem: "the rules need more than \(limit) table entries",
      remedy: "use fewer peers and port ranges per rule, or fewer different subjects")
  }
}

/// Tables, and what is needed to place new identities in them without compiling again.
public struct Compiled: Sendable {
  /// What the kernel is to hold.
  public let tables: Tables
  /// Selectors that match nothing on this host nor any network: probably a typing error, or a workload to come.
  public let warnings: [PolicyError]
  let classifier: Classifier
  let probes: SubjectProbes
  let defaults: Defaults

  /// The classes of a workload's identity that was not there when the policy was compiled.
  ///
  /// Nil if it falls in no known class: compile again with it.
  public func classes(for labels: LabelSet) -> Classes? {
    classifier.known(labels).map { probes.classes($0, defaults.workloads) }
  }
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
public enum Compiler {
  /// Compiles a policy for the identities of this host.
  ///
  /// - Parameter identities: the allotted identities. Reserved ones are always compiled; only the labels of `.host`
  ///   may be given, to add to its own.
  /// - Parameter maximumCells: how many cells the kernel's table holds; a policy that needs more is refused.
  public static func compile(
    policy: PolicySet, identities: [IdentityNumber: LabelSet], maximumCells: Int = 4_194_304
  ) throws(CompileError) -> Compiled {
    let all = try withReserved(identities)
    let numbers = all.keys.sorted()
    let prefixTable = try PrefixTable(policy.networks)
    var classifier = Classifier(policy)
    var triples: [(IdentityNumber, ClassTriple)] = []
    triples.reserveCapacity(all.count + prefixTable.sets.count)
    var projection = SelectorIndex.Projection()
    func classify(_ numbers: some Sequence<IdentityNumber>) {
      for number in numbers {
        guard let labels = all[number] else { continue }
        triples.append((number, classifier.classify(labels, reusing: &projection)))
      }
    }
    // Classes are numbered in the order in which they are met. External sets come before allotted identities, so that
    // a new identity, which has the highest number, leaves all other classes as they are.
    let allotted = numbers.firstIndex { $0 >= .firstAllotted } ?? numbers.endIndex
    classify(numbers[..<allotted])
    var externals: [IdentityNumber: [String]] = [:]
    for (index, set) in prefixTable.sets.enumerated() {
      let number = PrefixTable.number(at: index)
      externals[number] = set.map { policy.networks[$0].name }
      triples.append((number, classifier.classify(networks: set, of: policy.networks)))
    }
    classify(numbers[allotted...])
    let (portClasses, cells, rules, probes) = try RuleTable(policy, classifier).build(maximumCells)
    var classes: [IdentityNumber: Classes] = [:]
    classes.reserveCapacity(triples.count)
    for (number, triple) in triples {
      classes[number] = probes.classes(triple, number == .host ? policy.defaults.host : policy.defaults.workloads)
    }
    let tables = Tables(
      classes: classes, portClasses: portClasses, cells: cells, prefixes: prefixTable.prefixes, externals: externals,
      rules: rules)
    classifier.forgetProjections()
    let warnings = classifier.unmatched(in: policy)
    return Compiled(
      tables: tables, warnings: warnings, classifier: classifier, probes: probes, defaults: policy.defaults)
  }

  private static func withReserved(
    _ identities: [IdentityNumber: LabelSet]
  ) throws(CompileError) -> [IdentityNumber: LabelSet] {
    let strangers = identities.filter { number, labels in
      number >= .firstExternal || (number < .firstAllotted && number != .host && labels != number.reservedLabels)
    }
    if let first = strangers.keys.min() {
      throw CompileError(
        problem: "identity number \(first) cannot stand for a label set",
        remedy: "allot numbers from \(IdentityNumber.firstAllotted) up to \(IdentityNumber.firstExternal.rawValue - 1)")
    }
    var all = identities
    for number in [IdentityNumber.unknown, .host, .world] where all[number] == nil {
      all[number] = number.reservedLabels
    }
    return all
  }
}
