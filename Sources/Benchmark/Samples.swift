// Many measurements of one thing, and what may be said of them.

internal import Glibc

/// A range in which a quantity lies, both ends included.
package struct Interval: Sendable, Equatable {
  /// Where it begins.
  package let low: Double
  /// Where it ends.
  package let high: Double

  /// Takes both ends, in either order.
  package init(_ one: Double, _ other: Double) {
    low = min(one, other)
    high = max(one, other)
  }

  /// Whether the two have a point in common.
  package func overlaps(_ other: Interval) -> Bool { low <= other.high && other.low <= high }

  /// The smallest range that holds both.
  package func hull(_ other: Interval) -> Interval { Interval(min(low, other.low), max(high, other.high)) }
}

/// Measurements in one unit.
package struct Samples: Sendable {
  private let sorted: [Double]

  /// Takes measurements in any order.
  package init(_ values: [Double]) { sorted = values.sorted() }

  /// How many there are.
  package var count: Int { sorted.count }
  /// The least of them: what is left when nothing disturbs.
  package var minimum: Double? { sorted.first }
  /// The greatest of them.
  package var maximum: Double? { sorted.last }
  /// The middle one.
  package var median: Double? { quantile(0.5) }
  /// A quarter lies below.
  package var lowerQuartile: Double? { quantile(0.25) }
  /// A quarter lies above.
  package var upperQuartile: Double? { quantile(0.75) }

  /// The value below which this share (0…1) lies; between two measurements it is interpolated.
  package func quantile(_ share: Double) -> Double? {
    guard let last = sorted.last else { return nil }
    let position = share * Double(sorted.count - 1)
    let index = Int(position)
    guard index + 1 < sorted.count else { return last }
    return sorted[index] + (sorted[index + 1] - sorted[index]) * (position - Double(index))
  }

  /// Where the median of everything that could have been measured lies, with at least this probability.
  ///
  /// By order statistics: the number of measurements below the median is binomial whatever their distribution, so
  /// nothing is assumed of it. Nil if there are too few: 95 % takes six, 99 % takes eight.
  package func medianInterval(_ level: Double) -> Interval? {
    let rank = Self.rank(count: count, tail: (1 - level) / 2)
    guard rank >= 1 else { return nil }
    return Interval(sorted[rank - 1], sorted[count - rank])
  }

  /// The greatest k with P(Binomial(count, 1/2) < k) ≤ tail.
  private static func rank(count: Int, tail: Double) -> Int {
    // In logarithms: 2^-count is 0 for a thousand measurements.
    var logarithm = -Double(count) * log(2)
    var below = 0.0
    for k in 0..<count {
      below += exp(logarithm)
      if below > tail { return k }
      logarithm += log(Double(count - k)) - log(Double(k + 1))
    }
    return 0
  }
}
