// Which number stands for which set of labels on this host; numbers come back last, and late.

package import Policy

/// A set of labels that cannot get a number.
package struct IdentityError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The labels.
  package let labels: LabelSet
  /// Why they cannot.
  package let problem: String
  /// What to do about it.
  package let remedy: String

  /// One line.
  package var description: String { "identity of \(labels): \(problem); \(remedy)" }
}

/// Allots numbers to sets of labels, counted by how many workloads have them.
///
/// A number that nobody uses any more keeps its labels for `quarantine` generations, because records and conversations
/// may still name it; then it may be given away, after all numbers that never were.
package struct IdentityAllocator: Sendable {
  /// A set of labels that has a number.
  struct Entry: Sendable {
    var labels: LabelSet
    var identity: Identity
    var uses: UInt32
    /// Which of its rests it is in, if it has no users.
    var rest: UInt32 = 0
  }

  /// A number without users, since a generation.
  private struct Rest {
    var number: IdentityNumber
    var since: UInt32
    var turn: UInt32
  }

  /// The labels of numbers, for whoever shows them.
  typealias Names = NumberedRows<Entry>

  /// For how many generations an unused number stays its last user's.
  package let quarantine: UInt32
  private let hash: @Sendable (LabelSet) -> Identity
  /// What every number that has labels stands for.
  private(set) var names = Names()
  private var numbers: [Identity: IdentityNumber] = [:]
  /// Numbers that lost their last user, in that order; some have users again: finding those each time would cost as
  /// much as there are numbers.
  private var resting: [Rest] = []
  private var turn: UInt32 = 0
  private var next: UInt32 = IdentityNumber.firstAllotted.rawValue
  private let end: UInt32

  /// Starts with nothing allotted.
  ///
  /// `hash` and `end` (the first number that is not allotted) are given by tests only.
  package init(
    quarantine: UInt32 = 1024, end: IdentityNumber = .firstExternal,
    hash: @escaping @Sendable (LabelSet) -> Identity = { $0.identity }
  ) {
    self.quarantine = quarantine
    self.end = end.rawValue
    self.hash = hash
  }

  /// The labels of all numbers that somebody uses.
  package var identities: [IdentityNumber: LabelSet] {
    Dictionary(uniqueKeysWithValues: sortedIdentities.map { ($0.key, $0.value) })
  }

  /// Likewise, in the order of the numbers, as a compiler takes them.
  package var sortedIdentities: [(key: IdentityNumber, value: LabelSet)] {
    var found: [(key: IdentityNumber, value: LabelSet)] = []
    found.reserveCapacity(numbers.count)
    names.forEach { number, entry in
      if entry.uses > 0 { found.append((number, entry.labels)) }
    }
    return found
  }

  /// The labels of all numbers that records may still name.
  package var named: [IdentityNumber: LabelSet] {
    var found: [IdentityNumber: LabelSet] = [:]
    names.forEach { found[$0] = $1.labels }
    return found
  }

  /// How many users a number has.
  func uses(of number: IdentityNumber) -> UInt32 { names[number]?.uses ?? 0 }

  /// The labels of a number that records may still name.
  func labels(of number: IdentityNumber) -> LabelSet? { names[number]?.labels }

  /// The number that a set of labels has, in use or resting.
  package func number(of labels: LabelSet) -> IdentityNumber? { numbers[hash(labels)] }

  /// Counts one more user of a set of labels; gives it a number if it has none.
  package mutating func retain(_ labels: LabelSet, generation: UInt32) throws(IdentityError) -> IdentityNumber {
    let identity = hash(labels)
    if let number = numbers[identity], let entry = names[number] {
      guard entry.labels == labels else {
        throw IdentityError(
          labels: labels, problem: "has the hash \(identity), which is that of \(entry.labels)",
          remedy: "change one label of either")
      }
      names[number]?.uses += 1
      return number
    }
    if let name = labels["sallyport.identity"] {
      throw IdentityError(
        labels: labels, problem: "sallyport.identity=\(name) is reserved", remedy: "remove that label")
    }
    let number = try freeNumber(for: labels, generation)
    names[number] = Entry(labels: labels, identity: identity, uses: 1)
    numbers[identity] = number
    return number
  }

  /// Counts one user less; a number that has none is not used, and rests.
  package mutating func release(_ number: IdentityNumber, generation: UInt32) {
    guard let uses = names[number]?.uses, uses > 0 else { return }
    names[number]?.uses = uses - 1
    if uses == 1 { rest(number, generation) }
  }

  /// Takes over a number from before a restart, without users yet: `retain` finds it again.
  package mutating func adopt(_ number: IdentityNumber, _ labels: LabelSet, generation: UInt32) {
    guard number >= .firstAllotted, number.rawValue < end, names[number] == nil else { return }
    let identity = hash(labels)
    guard numbers[identity] == nil else { return }
    names[number] = Entry(labels: labels, identity: identity, uses: 0)
    numbers[identity] = number
    rest(number, generation)
    next = max(next, number.rawValue + 1)
  }

  /// Keeps a number from being allotted whose labels nobody knows: a row of the kernel's still has it.
  package mutating func reserve(_ number: IdentityNumber) {
    guard number.rawValue < end else { return }
    next = max(next, number.rawValue + 1)
  }

  /// Takes a number out of those that are allotted, for rows that are about to get labels; nil if there is none.
  mutating func reserveNext() -> IdentityNumber? {
    guard next < end else { return nil }
    defer { next += 1 }
    return IdentityNumber(rawValue: next)
  }

  private mutating func rest(_ number: IdentityNumber, _ generation: UInt32) {
    if resting.count > 2 * numbers.count { resting = resting.filter(isCurrent) }
    turn &+= 1
    names[number]?.rest = turn
    resting.append(Rest(number: number, since: generation, turn: turn))
  }

  private func isCurrent(_ rest: Rest) -> Bool {
    names[rest.number].map { $0.uses == 0 && $0.rest == rest.turn } ?? false
  }

  private mutating func freeNumber(
    for labels: LabelSet, _ generation: UInt32
  ) throws(IdentityError) -> IdentityNumber {
    if next < end {
      defer { next += 1 }
      return IdentityNumber(rawValue: next)
    }
    let usedAgain = resting.firstIndex(where: isCurrent) ?? resting.count
    resting.removeFirst(usedAgain)
    guard let oldest = resting.first, generation &- oldest.since >= quarantine else {
      throw IdentityError(
        labels: labels, problem: "all \(end - IdentityNumber.firstAllotted.rawValue) numbers are in use or at rest",
        remedy: "use fewer distinct sets of labels: leave out those that no selector names")
    }
    resting.removeFirst()
    if let former = names[oldest.number] { numbers[former.identity] = nil }
    names[oldest.number] = nil
    return oldest.number
  }
}
