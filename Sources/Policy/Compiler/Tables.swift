// What the kernel holds of a policy, and the walk over it that the kernel makes.

/// The classes of one identity: two identities of the same classes are the same to every rule.
package struct Classes: Sendable, Hashable {
  /// The class of the rule sets whose outgoing rules apply; 0 = none.
  package var outgoingSubject: UInt32
  /// The class of the rule sets whose incoming rules apply; 0 = none.
  package var incomingSubject: UInt32
  /// The class of the narrow peers (selectors but the empty one, networks) that match; 0 = none.
  package var peer: UInt32
  /// Which kinds of cells the outgoing subject class has.
  package var outgoingProbes: Probes
  /// Which kinds of cells the incoming subject class has.
  package var incomingProbes: Probes
  /// What happens to outgoing flows that no cell decides.
  package var outgoingDefault: Action
  /// What happens to incoming flows that no cell decides.
  package var incomingDefault: Action

  package init(
    outgoingSubject: UInt32, incomingSubject: UInt32, peer: UInt32, outgoingProbes: Probes, incomingProbes: Probes,
    outgoingDefault: Action, incomingDefault: Action
  ) {
    self.outgoingSubject = outgoingSubject
    self.incomingSubject = incomingSubject
    self.peer = peer
    self.outgoingProbes = outgoingProbes
    self.incomingProbes = incomingProbes
    self.outgoingDefault = outgoingDefault
    self.incomingDefault = incomingDefault
  }

  /// The subject class of one direction.
  package func subject(_ direction: Direction) -> UInt32 {
    direction == .outgoing ? outgoingSubject : incomingSubject
  }
  /// The probes of one direction.
  package func probes(_ direction: Direction) -> Probes { direction == .outgoing ? outgoingProbes : incomingProbes }
  /// The default of one direction.
  package func `default`(_ direction: Direction) -> Action {
    direction == .outgoing ? outgoingDefault : incomingDefault
  }
}

/// Which kinds of cells a subject class has, so that the kernel need not look for others.
package struct Probes: OptionSet, Sendable, Hashable {
  /// The bits as the kernel's table holds them.
  package let rawValue: UInt8

  /// Takes the bits as the kernel's table holds them.
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Cells of a peer class and a port class.
  package static let peerAndPort = Probes(rawValue: 1)
  /// Cells of a peer class and any port.
  package static let peer = Probes(rawValue: 2)
  /// Cells of any peer and a port class.
  package static let port = Probes(rawValue: 4)
  /// The cell of any peer and any port.
  package static let any = Probes(rawValue: 8)
}

/// Where a cell stands.
package struct CellKey: Sendable, Hashable, Comparable {
  /// The direction, whose subject classes are numbered on their own.
  package let direction: Direction
  /// The subject class, never 0.
  package let subject: UInt32
  /// The peer class; 0 = any.
  package let peer: UInt32
  /// The port class; 0 = any.
  package let portClass: UInt16

  package init(direction: Direction, subject: UInt32, peer: UInt32, portClass: UInt16) {
    self.direction = direction
    self.subject = subject
    self.peer = peer
    self.portClass = portClass
  }

  private var subjectWord: UInt64 { UInt64(direction.rawValue) << 32 | UInt64(subject) }
  private var peerWord: UInt64 { UInt64(peer) << 16 | UInt64(portClass) }

  /// Feeds two words: cells come by the hundred thousand.
  package func hash(into hasher: inout Hasher) {
    hasher.combine(subjectWord)
    hasher.combine(peerWord)
  }

  /// Compares two words.
  package static func == (left: CellKey, right: CellKey) -> Bool {
    left.subjectWord == right.subjectWord && left.peerWord == right.peerWord
  }

  /// Orders by direction, subject, peer and port class.
  package static func < (left: CellKey, right: CellKey) -> Bool {
    // Two words each: cells are compared by the hundred thousand.
    let (leftSubject, rightSubject) = (left.subjectWord, right.subjectWord)
    return leftSubject == rightSubject ? left.peerWord < right.peerWord : leftSubject < rightSubject
  }
}

/// What a cell says; it already stands for every wider cell that it hides.
package struct Cell: Sendable, Hashable {
  /// What enforced rules do; nil (0 in the kernel) = none of them matches, so the default decides.
  package var action: Action?
  /// The number of the enforced rule that wins; 0 = none.
  package var rule: UInt32
  /// What the observed rule would do, if one wins when all rules count; nil (0 in the kernel) otherwise.
  package var observedAction: Action?
  /// The number of that observed rule; 0 = none.
  package var observedRule: UInt32
  /// Whether the winner or the observed winner asks for a log line.
  package var log: Bool

  package init(action: Action?, rule: UInt32, observedAction: Action?, observedRule: UInt32, log: Bool) {
    self.action = action
    self.rule = rule
    self.observedAction = observedAction
    self.observedRule = observedRule
    self.log = log
  }
}

/// What the kernel holds of a policy.
package struct Tables: Sendable, Equatable {
  /// How many entries `portClasses` has.
  package static let portClassCount = 197_376

  /// The classes of every identity: the reserved ones, the given ones, the external sets.
  package internal(set) var classes: ClassTable
  /// The port class of every port, type and protocol, at `portIndex`; 0 = no narrow port specification matches.
  package internal(set) var portClasses: [UInt16]
  /// What the rules say, by classes.
  package internal(set) var cells: CellTable
  /// The longest-prefix table of addresses, both families in one 128-bit space; an address that no prefix contains is
  /// the world.
  package internal(set) var prefixes: [IPPrefix: IdentityNumber]
  /// The sorted names of the networks of every external number.
  package internal(set) var externals: [IdentityNumber: [String]]
  /// All rules; the rule of number n is at n - 1.
  package internal(set) var rules: [RuleReference]

  /// The rule of a number in a cell, nil for 0 and for numbers that there are not.
  package func rule(_ number: UInt32) -> RuleReference? {
    number == 0 || Int(number) > rules.count ? nil : rules[Int(number) - 1]
  }

  /// Where `portClasses` holds a destination port, ICMP type or other protocol.
  ///
  /// 65536 each for TCP, UDP and SCTP, then 256 each for ICMP and ICMPv6 types and for protocol numbers.
  package static func portIndex(_ proto: IPProtocol, _ port: UInt16) -> Int {
    switch proto {
    case .tcp: Int(port)
    case .udp: 65536 + Int(port)
    case .sctp: 131_072 + Int(port)
    case .icmp: 196_608 + Int(port & 0xff)
    case .icmp6: 196_864 + Int(port & 0xff)
    default: 197_120 + Int(proto.rawValue)
    }
  }

  /// The number of the set of networks that contain an address: the kernel's longest-prefix match.
  package func identity(of address: IPAddress) -> IdentityNumber {
    for length in stride(from: 128, through: 0, by: -1) {
      if let found = prefixes[IPPrefix(masking: address, length: length)] { return found }
    }
    return .world
  }

  /// The verdict at one end of a flow, by the same walk as the kernel's: the first cell that exists decides.
  ///
  /// An identity without classes is judged as unknown.
  package func verdict(
    _ direction: Direction, subject: IdentityNumber, peer: IdentityNumber, protocol: IPProtocol, port: UInt16
  ) -> Verdict {
    guard let own = classes[subject] ?? classes[.unknown], let other = classes[peer] ?? classes[.unknown] else {
      return Verdict(action: .reject, decidedBy: .default)
    }
    let portClass = portClasses[Tables.portIndex(`protocol`, port)]
    let cell = cell(direction, own, other.peer, portClass)
    return verdict(of: cell, default: own.default(direction))
  }

  /// The action at one end of a flow, and the number of the enforced rule that decides, 0 = the default; the same walk
  /// as `verdict`, which names the rule as well.
  package func decision(
    _ direction: Direction, subject: IdentityNumber, peer: IdentityNumber, protocol: IPProtocol, port: UInt16
  ) -> (action: Action, rule: UInt32) {
    guard let own = classes[subject] ?? classes[.unknown], let other = classes[peer] ?? classes[.unknown] else {
      return (.reject, 0)
    }
    let cell = cell(direction, own, other.peer, portClasses[Tables.portIndex(`protocol`, port)])
    guard let cell, let action = cell.action else { return (own.default(direction), 0) }
    return (action, cell.rule)
  }

  private func cell(_ direction: Direction, _ own: Classes, _ peer: UInt32, _ portClass: UInt16) -> Cell? {
    let subject = own.subject(direction)
    let probes = own.probes(direction)
    guard subject != 0 else { return nil }
    let steps: InlineArray<4, (Probes, UInt32, UInt16)> = [
      (.peerAndPort, peer, portClass), (.peer, peer, 0), (.port, 0, portClass), (.any, 0, 0),
    ]
    for index in steps.indices {
      let (kind, peer, portClass) = steps[index]
      guard probes.contains(kind) else { continue }
      // A class of 0 is no class: its cell is that of a wider kind, whose turn comes.
      if kind != .any && kind != .port && peer == 0 { continue }
      if kind != .any && kind != .peer && portClass == 0 { continue }
      let key = CellKey(direction: direction, subject: subject, peer: peer, portClass: portClass)
      if let found = cells[key] { return found }
    }
    return nil
  }

  private func verdict(of cell: Cell?, default: Action) -> Verdict {
    guard let cell else { return Verdict(action: `default`, decidedBy: .default) }
    var observed: Verdict.Observation?
    if let action = cell.observedAction, let reference = rule(cell.observedRule) {
      observed = Verdict.Observation(action: action, rule: reference)
    }
    guard let action = cell.action, let reference = rule(cell.rule) else {
      return Verdict(action: `default`, decidedBy: .default, observed: observed, log: cell.log)
    }
    return Verdict(action: action, decidedBy: .rule(reference), observed: observed, log: cell.log)
  }
}
