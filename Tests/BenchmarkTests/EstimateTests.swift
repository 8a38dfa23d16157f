// What batches say about a quantity, and about two beside each other.

import Testing

@testable import Benchmark

@Suite struct EstimateTests {
  /// Batches around a value, with noise of so many percent, the same for the same seed.
  static func batches(_ value: Double, noise: Int = 2, rounds: Int = 20, sittings: Int = 2, seed: UInt64) -> Batches {
    var numbers = SeededNumbers(seed: seed)
    return (0..<sittings).map { _ in
      (0..<rounds).map { _ in value * (1 + Double(numbers.below(noise * 200 + 1) - noise * 100) / 10_000) }
    }
  }

  @Test func valueIsTheMedianAndSpreadHoldsIt() throws {
    let estimate = try #require(Estimate(of: [[5, 1, 4], [2, 3, 6]]))
    #expect(estimate.value == 3.5)
    #expect(estimate.spread == Interval(1, 6))
    #expect(estimate.isBounded)
  }

  @Test func sittingsThatDifferWidenTheSpread() throws {
    let calm = try #require(Estimate(of: [Array(repeating: 10, count: 40)]))
    #expect(calm.spread == Interval(10, 10))
    // Each sitting alone is sure of itself; together they are not.
    let shifted = try #require(
      Estimate(of: [Array(repeating: 10, count: 40), Array(repeating: 11, count: 10)]))
    #expect(shifted.spread == Interval(10, 11))
  }

  @Test func tooFewBatchesAreSaidToBeTooFew() throws {
    let estimate = try #require(Estimate(of: [[1, 2, 3, 4, 5]]))
    #expect(!estimate.isBounded)
    #expect(estimate.spread == Interval(1, 5))
    #expect(Estimate(of: [[], []]) == nil)
  }

  @Test func whatDisturbsBothOfARoundDoesNotShowInTheirRatio() throws {
    // Every round twice as slow as the one before.
    let base = [(0..<12).map { Double(1 << $0) }]
    let own = base.map { $0.map { $0 * 1.25 } }
    let ratio = try #require(Paired.ratio(own, to: base))
    #expect(ratio.value == 1.25)
    #expect(ratio.spread == Interval(1.25, 1.25))
  }

  @Test func ratioOfNoisyBatchesHoldsTheTruth() throws {
    for seed in 1...20 as ClosedRange<UInt64> {
      let ratio = try #require(
        Paired.ratio(Self.batches(110, seed: seed), to: Self.batches(100, seed: seed + 100), level: 0.99))
      #expect(ratio.spread.low <= 1.1 && 1.1 <= ratio.spread.high)
      #expect(ratio.uncertainty < 0.03)
    }
  }

  @Test func addedCostIsComparedWithThatOfTheFloor() throws {
    let base = Self.batches(1000, noise: 1, seed: 1)
    let floor = Self.batches(1100, noise: 1, seed: 2)
    let own = Self.batches(1250, noise: 1, seed: 3)
    let added = try #require(Paired.added(own, over: floor, base: base))
    #expect((2.2...2.8).contains(added.value))
    #expect(added.spread.low < added.value && added.value < added.spread.high)
    // The same rounds give the same interval.
    #expect(Paired.added(own, over: floor, base: base) == added)
  }

  @Test func aFloorThatCannotBeToldFromNothingIsNoMeasure() {
    let base = Self.batches(1000, noise: 3, seed: 1)
    let floor = Self.batches(1000, noise: 3, seed: 2)
    #expect(Paired.added(Self.batches(1250, seed: 3), over: floor, base: base) == nil)
  }
}

@Suite struct QuietnessTests {
  private let stat = """
    cpu  1000 0 500 8000 100 0 100 300 0 0
    cpu0 1 2 3
    """

  @Test func countersAreReadInSeconds() throws {
    let pressure = "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=0"
    let times = try #require(ProcessorTimes(stat: stat, pressure: pressure, ticks: 100))
    #expect(times.total == 100)
    #expect(times.busy == 16)
    #expect(times.stolen == 3)
    #expect(times.waiting == 2.5)
    #expect(ProcessorTimes(stat: "intr 1", pressure: nil, ticks: 100) == nil)
    #expect(ProcessorTimes(stat: stat, pressure: nil, ticks: 100)?.waiting == nil)
  }

  @Test(arguments: [(0.0, 0.0, true), (0.5, 0.0, false), (0.0, 8.0, false), (0.2, 1.0, true)])
  func aMachineIsQuietIfNobodyElseWorks(stolen: Double, others: Double, isQuiet: Bool) throws {
    var (before, after) = (ProcessorTimes(), ProcessorTimes())
    // 20 s on 2 processors, of which the run used 30 s.
    (before.total, after.total) = (1000, 1040)
    (before.busy, before.own) = (100, 10)
    (after.own, after.stolen) = (40, stolen)
    after.busy = 100 + 30 + others
    (before.wall, after.wall) = (5, 25)
    let disturbance = try #require(Disturbance(from: before, to: after, loadBefore: 0.5))
    #expect(disturbance.complaints.isEmpty == isQuiet)
    #expect(disturbance.verdict.hasPrefix(isQuiet ? "quiet" : "noisy"))
  }

  @Test func noTimeIsNoAnswer() {
    #expect(Disturbance(from: ProcessorTimes(), to: ProcessorTimes(), loadBefore: 0) == nil)
  }
}
