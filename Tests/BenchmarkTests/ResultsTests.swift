// Results as a file, as tables, as a document; two of them side by side; what they say of the promises.

import Testing

@testable import Benchmark

@Suite struct ResultsTests {
  /// A run in which Sallyport costs so many times nothing, and its program so many nanoseconds.
  static func results(
    own: Double = 1060, program: Double = 70, rounds: Int = 20, seed: UInt64 = 1
  ) -> Results {
    var results = Results(
      machine: [Fact("kernel", "6.18"), Fact("load average", "0.\(seed)")], settings: [Fact("rounds", "\(rounds)")])
    let names = ["nothing", "empty programs", "sallyport cgroup, 1000 rules", "NFQUEUE, first packets"]
    results.entrants = [
      Entrant(name: names[0], role: .baseline), Entrant(name: names[1], role: .floor),
      Entrant(name: names[2], role: .own, size: 16_000, family: Targets.Names.own),
      Entrant(name: names[3], role: .rival),
      Entrant(name: "nft", role: .rival, leftOut: "find nft: install nftables"),
    ]
    for (index, value) in [1000, 1050, own, 2000].enumerated() {
      for workload in ["tcp-pingpong", "connect"] {
        var one = Measurement(
          section: Targets.Names.sockets, contestant: names[index], workload: workload, unit: "round trip")
        one.cpu = EstimateTests.batches(value, noise: 1, rounds: rounds, seed: seed * 10 + UInt64(index))
        one.wall = one.cpu
        results.measurements.append(one)
      }
    }
    var measured = ProgramMeasurement(contestant: names[2], workload: "connect", program: "sp_ingress")
    measured.nanoseconds = EstimateTests.batches(program, noise: 4, rounds: 10, seed: seed)
    measured.runsPerUnit = 7
    results.programs = [measured]
    results.quantities = [Quantity("compile", unit: "ms", [700, 710, 705])]
    return results
  }

  // MARK: Files

  @Test func whatIsWrittenIsRead() throws {
    let results = Self.results()
    let bytes = try results.json()
    let read = try Results(json: bytes, file: "a.json")
    #expect(read.entrants == results.entrants)
    #expect(read.measurements.count == 8)
    #expect(try read.json() == bytes)
    let (written, again) = (results.measurements[2].cpu[0][0], read.measurements[2].cpu[0][0])
    #expect((written - again).magnitude <= 0.05)
  }

  @Test(arguments: ["", "{}", "[1]", "{\"format\":1}", "not JSON", "{\"format\":1,\"machine\":3}"])
  func anotherFileIsRefusedWithItsName(text: String) {
    let error = #expect(throws: ResultsError.self) { try Results(json: Array(text.utf8), file: "a.json") }
    #expect(error?.file == "a.json")
  }

  @Test func anotherFormatIsRefusedAsThat() {
    let error = #expect(throws: ResultsError.self) { try Results(json: Array("{\"format\":99}".utf8), file: "a") }
    #expect(error?.reason.contains("format 99") == true)
  }

  // MARK: Comparison

  @Test func twoRunsOfTheSameAgree() {
    for seed in 1...20 as ClosedRange<UInt64> {
      let comparison = Comparison(Self.results(seed: seed), Self.results(seed: seed + 50))
      #expect(comparison.agrees, "seed \(seed): \(comparison.verdict)")
      #expect(comparison.machine.isEmpty)
    }
  }

  @Test func aSlowerProgramIsFoundAndNamed() throws {
    let comparison = Comparison(Self.results(), Self.results(own: 1400, program: 900, seed: 2))
    #expect(!comparison.agrees)
    #expect(comparison.suspects == ["sp_ingress"])
    #expect(comparison.regressions.count == 3)
    #expect(comparison.improvements.isEmpty)
    #expect(comparison.verdict.contains("programs that became dearer: sp_ingress"))
    let back = Comparison(Self.results(own: 1400, program: 900), Self.results(seed: 2))
    #expect(back.improvements.count == 3)
    #expect(back.suspects.isEmpty)
  }

  @Test func aSlowerMachineIsNoSlowerMechanism() {
    var slow = Self.results(seed: 2)
    for index in slow.measurements.indices {
      slow.measurements[index].cpu = slow.measurements[index].cpu.map { $0.map { $0 * 3 } }
    }
    #expect(Comparison(Self.results(), slow).agrees)
  }

  /// A run whose batches of Sallyport lie evenly between two values, beside one that never changes.
  private static func spread(from low: Double, to high: Double) -> Results {
    var results = results()
    for index in results.measurements.indices {
      let name = results.measurements[index].contestant
      results.measurements[index].cpu = [
        (0..<40).map { round in
          switch name {
          case "nothing": 1000
          case "empty programs": 1050
          default: low + (high - low) * Double(round) / 39
          }
        }
      ]
    }
    return results
  }

  @Test func spreadsThatOverlapAreNoDifference() {
    // The medians are 4 % apart.
    let (one, other) = (Self.spread(from: 1000, to: 1200), Self.spread(from: 1044, to: 1244))
    let work = Comparison(one, other).work
    #expect(work.count { $0.change > 1.03 } == 4)
    #expect(work.allSatisfy { $0.outcome == .same })
    // As far apart, and sure of it.
    let sure = Comparison(Self.spread(from: 1099, to: 1101), Self.spread(from: 1143, to: 1145))
    #expect(sure.regressions.contains { $0.unit == "÷ nothing" })
  }

  @Test func aPromiseThatLiesWithinTheSpreadIsOpen() throws {
    // 1.04 times the empty programs, give or take 5 %.
    let row = try #require(Targets(Self.spread(from: 1030, to: 1154)).rows.first { $0.id == "P3" })
    #expect(try #require(row.measured) < 1.05)
    #expect(row.outcome == .open)
  }

  @Test func aProgramIsComparedWithTheEmptyOneOfItsRounds() {
    func results(own: Double, empty: Double, seed: UInt64) -> Results {
      var results = Self.results(program: own, seed: seed)
      var floor = ProgramMeasurement(contestant: "empty programs", workload: "connect", program: "empty sp_ingress")
      floor.nanoseconds = EstimateTests.batches(empty, noise: 4, rounds: 10, seed: seed + 7)
      results.programs.append(floor)
      return results
    }
    let before = results(own: 130, empty: 26, seed: 1)
    // All programs of the machine a third slower: nobody is to blame.
    #expect(Comparison(before, results(own: 173, empty: 34.6, seed: 2)).agrees)
    #expect(Comparison(before, results(own: 173, empty: 26, seed: 2)).suspects == ["sp_ingress"])
  }

  @Test func tooFewRoundsAreNoAgreement() {
    let comparison = Comparison(Self.results(rounds: 2), Self.results(rounds: 2, seed: 2))
    #expect(comparison.work.allSatisfy { $0.outcome == .unclear })
    #expect(comparison.verdict.contains("too few batches"))
  }

  @Test func nothingInCommonIsNoAgreement() {
    let empty = Results(machine: [], settings: [])
    #expect(!Comparison(Self.results(), empty).agrees)
    #expect(Comparison(Self.results(), empty).unmatched.count == 6)
    var other = Self.results(seed: 2)
    other.machine[0] = Fact("kernel", "6.1")
    #expect(Comparison(Self.results(), other).machine == ["kernel: 6.18 / 6.1"])
  }

  // MARK: Promises

  @Test func promisesAreJudgedByTheirWholeSpread() throws {
    func outcome(_ results: Results, _ id: String, _ part: String) -> TargetRow.Outcome? {
      Targets(results).rows.first { $0.id == id && $0.measure.contains(part) }?.outcome
    }
    #expect(outcome(Self.results(), "P3", "connect") == .met)
    #expect(outcome(Self.results(own: 1200), "P3", "connect") == .missed)
    #expect(outcome(Self.results(own: 1102), "P3", "connect") == .open)
    #expect(outcome(Self.results(rounds: 1), "P3", "connect") == .open)
    #expect(outcome(Self.results(), "P1", "ping-pong") == .met)
    #expect(outcome(Self.results(own: 1100), "P1", "ping-pong") == .missed)
    #expect(outcome(Self.results(), "P4", "NFQUEUE") == .met)
    #expect(outcome(Self.results(own: 1500), "P4", "NFQUEUE") == .missed)
    #expect(outcome(Self.results(), "P7", "compile") == .met)
    #expect(outcome(Self.results(), "P10", "cut") == .unmeasured)
    #expect(Set(Targets(Self.results()).rows.map(\.id)).count == 12)
  }

  // MARK: Tables and plots

  @Test func tablesNameTheirDoubts() {
    var results = Self.results(rounds: 1)
    #expect(results.warnings.contains { $0.contains("too few rounds") })
    #expect(results.leftOutTable.rows == [[.text("nft"), .text("find nft: install nftables")]])
    results.disturbance = Disturbance(stolen: 0, others: 0.4, pressure: nil, loadBefore: 3)
    #expect(results.warnings.contains { $0.contains("other processes used 40.0 %") })
  }

  @Test func documentHasTargetsMethodAndMachine() throws {
    var results = Self.results()
    var one = results.measurements[4]
    results.entrants.append(Entrant(name: "large", role: .own, size: 1_000_000, family: Targets.Names.own))
    for name in ["nothing", "sallyport cgroup, 1000 rules", "large"] {
      one = Measurement(section: Targets.Names.sizes, contestant: name, workload: "connect", unit: "connection")
      one.cpu = EstimateTests.batches(name == "nothing" ? 1000 : 1100, seed: 9)
      results.measurements.append(one)
    }
    let files = results.document()
    let page = try #require(files.first { $0.path == "BENCHMARKS.md" }).contents
    for part in ["## Targets", "| P12 |", "## Method", "| kernel | 6.18 |", "benchmarks/sizes-connect.svg", "Left out"]
    {
      #expect(page.contains(part), "\(part)")
    }
    #expect(files.contains { $0.path == "benchmarks/sizes-connect.svg" && $0.contents.hasPrefix("<svg") })
  }

  @Test func csvQuotesWhatMustBe() {
    let table = ReportTable("a, b", columns: ["x"], rows: [[.text("say \"no\"")], [.number(1.25, 1)], [.none]])
    #expect(table.csv == "table,x\n\"a, b\",\"say \"\"no\"\"\"\n\"a, b\",1.3\n\"a, b\",-\n")
    #expect(table.markdown == "| x |\n|---|\n| say \"no\" |\n| 1.3 |\n| - |\n")
  }

  @Test func axesHoldAllValues() {
    let decades = Plot.Axis([1, 1_000_000])
    #expect(decades.marks == [1, 10, 100, 1000, 10_000, 100_000, 1_000_000])
    #expect(decades.position(1) == 0)
    #expect((decades.position(1000) - 0.5).magnitude < 1e-9)
    let narrow = Plot.Axis([1.02, 1.31])
    #expect(narrow.low == 1 && narrow.high == 1.5)
    for values in [[3.0], [0.2, 0.9], [1e-3, 5e5], []] {
      let axis = Plot.Axis(values)
      #expect(values.allSatisfy { axis.low <= $0 && $0 <= axis.high })
      #expect(axis.high > axis.low)
    }
  }

  @Test func picturesAreWellFormedWhateverTheNames() {
    let line = PlotLine(
      "<a & b>", [.init(x: 10, y: 2, spread: Interval(1, 3)), .init(x: 1, y: 1, spread: Interval(1, 1))])
    let svg = Plot("t", horizontal: "x", vertical: "y", lines: [line, PlotLine("empty", [])]).svg
    #expect(svg.contains("&lt;a &amp; b&gt;"))
    #expect(!svg.contains("nan") && !svg.contains("inf"))
    #expect(svg.components(separatedBy: "<polyline").count == 2)
    #expect(line.points.map(\.x) == [1, 10])
  }
}

extension String {
  /// Its parts between occurrences of a text.
  fileprivate func components(separatedBy text: String) -> [Substring] {
    var parts: [Substring] = []
    var rest = self[...]
    while let found = rest.firstRange(of: text) {
      parts.append(rest[..<found.lowerBound])
      rest = rest[found.upperBound...]
    }
    return parts + [rest]
  }
}
