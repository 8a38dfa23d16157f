// Room for an identity that falls in no known class: the cells of its classes alone, and none of the others anew.

extension Compiled {
  /// From how many extensions on everything is better compiled anew: nothing takes out classes that nobody is in any more.
  package static let mostExtensions = 256

  /// Puts an identity's classes into the tables, with cells for those that are new; cheaper than compiling by as much as
  /// there are other classes.
  ///
  /// Classes are numbered as a compilation would with this identity as the last.
  ///
  /// - Returns: false if there were `mostExtensions`; nothing is done then, and everything is to be compiled anew.
  /// - Throws: if the cells do not fit; the tables are as they were.
  package mutating func extend(_ number: IdentityNumber, _ labels: LabelSet) throws(CompileError) -> Bool {
    guard extensions < Compiled.mostExtensions else { return false }
    var next = self
    try next.add(number, labels)
    self = next
    return true
  }

  private mutating func add(_ number: IdentityNumber, _ labels: LabelSet) throws(CompileError) {
    let found = classifier.matching(labels)
    let (outgoing, incoming) = (classifier.outgoing.members.count, classifier.incoming.members.count)
    let peers = classifier.peers.members.count
    let triple = classifier.classify(matching: found)
    extensions += 1
    var more = CellTable()
    var concerned: (outgoing: Set<UInt32>, incoming: Set<UInt32>) = ([], [])
    if classifier.peers.members.count > peers { concerned = table.add(peer: triple.peer, matching: Set(found)) }
    probes.outgoing = try extend(.outgoing, outgoing, classifier.outgoing, concerned.outgoing, triple.peer, &more)
    probes.incoming = try extend(.incoming, incoming, classifier.incoming, concerned.incoming, triple.peer, &more)
    guard tables.cells.count + more.count <= table.maximumCells else {
      throw CompileError.tooManyCells(table.maximumCells)
    }
    tables.cells.merge(more)
    // A class whose cells are of more kinds now is looked up in more steps.
    for (other, var classes) in tables.classes {
      classes.outgoingProbes = probes.outgoing[Int(classes.outgoingSubject)]
      classes.incomingProbes = probes.incoming[Int(classes.incomingSubject)]
      if tables.classes[other] != classes { tables.classes[other] = classes }
    }
    tables.classes[number] = probes.classes(triple, defaults.actions(for: labels))
  }

  /// Adds the cells of a new peer class at the subjects that it concerns, and all those of a new subject class; returns
  /// the kinds of cells of every subject class.
  private func extend(
    _ direction: Direction, _ former: Int, _ subjects: ClassNumbers, _ concerned: Set<UInt32>, _ peer: UInt32,
    _ cells: inout CellTable
  ) throws(CompileError) -> [Probes] {
    var kinds = direction == .outgoing ? probes.outgoing : probes.incoming
    for subject in 0..<former where subjects.members[subject].contains(where: concerned.contains) {
      kinds[subject].formUnion(try table.write(direction, UInt32(subject), subjects, of: peer, &cells))
    }
    for subject in former..<subjects.members.count {
      kinds.append(try table.write(direction, UInt32(subject), subjects, &cells))
    }
    return kinds
  }
}
