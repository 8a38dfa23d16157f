// What may be said of many measurements.

import Testing

@testable import Benchmark

@Suite struct SamplesTests {
  @Test func quantilesAreInterpolatedWhateverTheOrder() {
    let samples = Samples([4, 1, 3, 2])
    #expect(samples.minimum == 1)
    #expect(samples.median == 2.5)
    #expect(samples.lowerQuartile == 1.75)
    #expect(samples.quantile(1) == 4)
    #expect(Samples([]).median == nil)
  }

  /// The table of every textbook of order statistics: n, rank at 95 %.
  @Test(arguments: [(6, 1), (8, 1), (9, 2), (12, 3), (20, 6), (50, 18), (100, 40)])
  func medianIntervalIsThatOfTheBinomialDistribution(count: Int, rank: Int) {
    let samples = Samples((1...count).map(Double.init))
    #expect(samples.medianInterval(0.95) == Interval(Double(rank), Double(count - rank + 1)))
  }

  @Test func tooFewMeasurementsHaveNoInterval() {
    #expect(Samples([1, 2, 3, 4, 5]).medianInterval(0.95) == nil)
    #expect(Samples([1, 2, 3, 4, 5, 6, 7]).medianInterval(0.99) == nil)
    #expect(Samples((1...8).map(Double.init)).medianInterval(0.99) == Interval(1, 8))
  }

  @Test func intervalHoldsTheMedianAsOftenAsItSays() {
    var numbers = SeededNumbers(seed: 7)
    var held = 0
    for _ in 0..<2000 {
      // Skewed, as times are: the median of an exponential distribution is where half of it lies below.
      let values = (0..<30).map { _ in Double(numbers.below(1000) * numbers.below(1000)) }
      guard let interval = Samples(values).medianInterval(0.95) else { continue }
      // The product of two uniform numbers below 1000 has its median at 186,682.
      if interval.low <= 186_682, 186_682 <= interval.high { held += 1 }
    }
    #expect((1880...1980).contains(held))
  }

  @Test func thousandsOfMeasurementsHaveANarrowInterval() throws {
    let interval = try #require(Samples((0..<10_000).map(Double.init)).medianInterval(0.95))
    #expect(interval.high - interval.low < 210)
    #expect(interval.high - interval.low > 180)
  }
}
