// Which classes an identity falls in: equal sets of matching selectors are one class.

/// Numbers distinct sets from 1 in the order in which they come; the empty set is 0.
struct ClassNumbers: Sendable {
  private var numbers: [[UInt32]: UInt32] = [[]: 0]
  /// The set of each class; that of class 0 is empty.
  private(set) var members: [[UInt32]] = [[]]

  /// The number of the empty set once it has one of its own.
  ///
  /// Kept free from the start, so that no other class is numbered anew when it is needed.
  static let ownNumberOfNone: UInt32 = 1

  init(keepingOwnNumberOfNone: Bool = false) {
    if keepingOwnNumberOfNone { members.append([]) }
  }

  /// Gives the empty set a number of its own in the place of 0.
  mutating func numberNone() { numbers[[]] = ClassNumbers.ownNumberOfNone }

  /// The class of a sorted set, made if need be.
  mutating func number(of set: [UInt32]) -> UInt32 {
    if let known = numbers[set] { return known }
    let number = UInt32(members.count)
    numbers[set] = number
    members.append(set)
    return number
  }

  /// The class of a sorted set, or nil.
  func known(_ set: [UInt32]) -> UInt32? { numbers[set] }
}

/// The three classes of one identity.
struct ClassTriple: Sendable, Equatable {
  var outgoing: UInt32
  var incoming: UInt32
  var peer: UInt32
}

/// The selectors of a policy by use, and the classes found so far.
struct SelectorClassifier: Sendable {
  /// All distinct selectors of the policy; their positions are the numbers in the sets of subject and peer classes.
  let selectors: [Selector]
  private let index: SelectorIndex
  private let isOutgoingSubject: [Bool]
  private let isIncomingSubject: [Bool]
  private let isPeer: [Bool]
  private(set) var outgoing = ClassNumbers()
  private(set) var incoming = ClassNumbers()
  private(set) var peers = ClassNumbers(keepingOwnNumberOfNone: true)
  private var known: [SelectorIndex.Projection: ClassTriple] = [:]

  init(_ policy: PolicySet) {
    var uses: [Selector: (outgoing: Bool, incoming: Bool, peer: Bool)] = [:]
    for ruleSet in policy.ruleSets {
      uses[ruleSet.subject, default: (false, false, false)].outgoing ||= !ruleSet.outgoing.isEmpty
      uses[ruleSet.subject, default: (false, false, false)].incoming ||= !ruleSet.incoming.isEmpty
      for rule in ruleSet.outgoing + ruleSet.incoming {
        for case .selector(let selector) in rule.peers where !selector.isEverything {
          uses[selector, default: (false, false, false)].peer = true
        }
      }
    }
    let sorted = uses.map { ($0.key.description, $0.key, $0.value) }.sorted {
      $0.0.utf8.lexicographicallyPrecedes($1.0.utf8)
    }
    selectors = sorted.map(\.1)
    isOutgoingSubject = sorted.map(\.2.outgoing)
    isIncomingSubject = sorted.map(\.2.incoming)
    isPeer = sorted.map(\.2.peer)
    index = SelectorIndex(selectors)
  }

  /// The number by which peer classes know the network at a position of `PolicySet.networks`.
  func peerNumber(ofNetwork position: Int) -> UInt32 { UInt32(selectors.count + position) }

  /// The classes of a label set, made if need be.
  mutating func classify(_ labels: LabelSet, reusing projection: inout SelectorIndex.Projection) -> ClassTriple {
    index.project(labels, into: &projection)
    if let triple = known[projection] { return triple }
    var found: [UInt32] = []
    index.match(projection, into: &found)
    found.sort()
    let triple = number(found, networks: [])
    known[projection] = triple
    return triple
  }

  /// The classes of an address in these networks, made if need be.
  mutating func classify(networks positions: [Int], of networks: [ExternalNetwork]) -> ClassTriple {
    var found: Set<UInt32> = []
    var projection = SelectorIndex.Projection()
    for labels in ExternalNetwork.selectableLabels(of: positions.map { networks[$0] }) {
      var matching: [UInt32] = []
      index.project(labels, into: &projection)
      index.match(projection, into: &matching)
      found.formUnion(matching)
    }
    return number(found.sorted(), networks: positions.map(peerNumber(ofNetwork:)))
  }

  /// The numbers of the selectors that match, ascending.
  func matching(_ labels: LabelSet) -> [UInt32] {
    var projection = SelectorIndex.Projection()
    index.project(labels, into: &projection)
    var found: [UInt32] = []
    index.match(projection, into: &found)
    found.sort()
    return found
  }

  /// The classes of what some selectors match, made if need be.
  mutating func classify(matching found: [UInt32]) -> ClassTriple { number(found, networks: []) }

  /// Gives what no peer matches a peer class of its own: class 0 finds cells for any peer alone, also those that are not
  /// meant for it.
  mutating func numberNobody() { peers.numberNone() }

  /// Drops what only a compilation needs: an entry per different label set.
  mutating func forgetProjections() { known = [:] }

  private mutating func number(_ found: [UInt32], networks: [UInt32]) -> ClassTriple {
    ClassTriple(
      outgoing: outgoing.number(of: found.filter { isOutgoingSubject[Int($0)] }),
      incoming: incoming.number(of: found.filter { isIncomingSubject[Int($0)] }),
      peer: peers.number(of: found.filter { isPeer[Int($0)] } + networks))
  }

  /// The classes of a label set if all three are known.
  func known(_ labels: LabelSet) -> ClassTriple? {
    let found = matching(labels)
    guard let outgoing = outgoing.known(found.filter { isOutgoingSubject[Int($0)] }),
      let incoming = incoming.known(found.filter { isIncomingSubject[Int($0)] }),
      let peer = peers.known(found.filter { isPeer[Int($0)] })
    else { return nil }
    return ClassTriple(outgoing: outgoing, incoming: incoming, peer: peer)
  }
}

infix operator ||= : AssignmentPrecedence

extension Bool {
  fileprivate static func ||= (left: inout Bool, right: Bool) { left = left || right }
}
