// What the batches of a run say about a quantity: its value, and how far that may be off.

/// Batches of one quantity: sitting by sitting, round by round.
///
/// A sitting has processes, sockets and namespaces of its own, because what those happen to get (addresses, cache lines,
/// hash buckets) shifts all of its rounds alike: rounds alone would promise more than a second run keeps.
package typealias Batches = [[Double]]

/// A quantity with its spread.
package struct Estimate: Sendable, Equatable {
  /// The median of all batches.
  package let value: Double
  /// Where the median lies: the interval of all batches, widened to hold the median of every sitting.
  package let spread: Interval
  /// How many batches there were.
  package let count: Int
  /// Whether they were enough for the level that was asked for; if not, `spread` is all that was measured.
  package let isBounded: Bool

  /// Half the width of the spread as a share of the value.
  package var uncertainty: Double { value == 0 ? .infinity : (spread.high - spread.low) / 2 / value.magnitude }

  package init(value: Double, spread: Interval, count: Int, isBounded: Bool) {
    self.value = value
    self.spread = spread
    self.count = count
    self.isBounded = isBounded
  }

  /// The median of batches; nil if there are none.
  package init?(of batches: Batches, level: Double = Estimate.usualLevel) {
    let all = Samples(batches.flatMap { $0 })
    guard let median = all.median, let least = all.minimum, let most = all.maximum else { return nil }
    value = median
    count = all.count
    let interval = all.medianInterval(level)
    isBounded = interval != nil
    var spread = interval ?? Interval(least, most)
    for sitting in batches {
      if let middle = Samples(sitting).median { spread = spread.hull(Interval(middle, middle)) }
    }
    self.spread = spread
  }

  /// The level of a spread that is shown.
  package static let usualLevel = 0.95
  /// The level by which two runs are compared: many quantities are, and few should differ by chance.
  package static let comparisonLevel = 0.99
}

/// One quantity beside another that was measured in the same rounds.
package enum Paired {
  /// What `combine` makes of each round's two batches: neighbours in time, so what disturbs one disturbs the other.
  package static func batches(
    _ own: Batches, _ base: Batches, _ combine: (Double, Double) -> Double
  ) -> Batches {
    zip(own, base).map { own, base in zip(own, base).map { combine($0, $1) } }
  }

  /// How many times the other quantity this one is.
  package static func ratio(_ own: Batches, to base: Batches, level: Double = Estimate.usualLevel) -> Estimate? {
    Estimate(of: batches(own, base) { $1 > 0 ? $0 / $1 : .nan }, level: level)
  }

  /// How much more this one is.
  package static func difference(_ own: Batches, from base: Batches) -> Estimate? {
    Estimate(of: batches(own, base, -))
  }

  /// How many times as much this one adds to the base as the floor does, with its spread by resampling rounds.
  ///
  /// The median of the differences, because a ratio of differences of single rounds has no bounds. Nil if the floor adds
  /// nothing that can be told from nothing.
  package static func added(_ own: Batches, over floor: Batches, base: Batches) -> Estimate? {
    let rows = zip(zip(own, floor), base).flatMap { pair, base in
      zip(zip(pair.0, pair.1), base).map { (own: $0.0 - $1, floor: $0.1 - $1) }
    }
    func statistic(_ indices: [Int]) -> Double? {
      guard let own = Samples(indices.map { rows[$0].own }).median,
        let floor = Samples(indices.map { rows[$0].floor }).median, floor > 0
      else { return nil }
      return own / floor
    }
    guard let value = statistic(Array(rows.indices)) else { return nil }
    var numbers = SeededNumbers(seed: 1)
    let resampled = (0..<1000).compactMap { _ in statistic(rows.indices.map { _ in numbers.below(rows.count) }) }
    // More than the tails without a floor: there is none to compare with.
    guard resampled.count >= 950 else { return nil }
    let samples = Samples(resampled)
    let (low, high) = (samples.quantile(0.025) ?? value, samples.quantile(0.975) ?? value)
    return Estimate(
      value: value, spread: Interval(min(low, value), max(high, value)), count: rows.count, isBounded: rows.count >= 6)
  }
}
