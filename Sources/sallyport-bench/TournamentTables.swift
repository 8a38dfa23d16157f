// What a tournament found, as tables.

extension Tournament {
  /// One table for each kind of work, beside the empty programs.
  var tables: [ReportTable] {
    loads.enumerated().map { position, load in
      var table = ReportTable(
        "\(load.rawValue) (\(load.target)), ns per unit; ratios are of CPU time, round by round",
        columns: [
          "contestant", "wall min", "wall median", "cpu min", "cpu median", "added (min)", "added (median)",
          "added ÷ empty's (min)", "(median)", "÷ empty", "quartiles", "÷ nothing",
        ])
      for index in contestants.indices { table.rows.append(row(position, index)) }
      return table
    }
  }

  /// One table for each kind of work, beside nothing.
  var tablesBesideNothing: [ReportTable] {
    loads.enumerated().map { position, load in
      var table = ReportTable(
        "\(load.rawValue), ns per unit; ratios and what is added are of CPU time, round by round",
        columns: [
          "contestant", "wall median", "cpu min", "cpu median", "added (min)", "added (median)", "÷ nothing",
          "quartiles", "wall ÷ nothing",
        ])
      for index in contestants.indices { table.rows.append(rowBesideNothing(position, index)) }
      return table
    }
  }

  private func rowBesideNothing(_ load: Int, _ index: Int) -> [Field] {
    let processor = Samples(cpu[load][index])
    let ratio = paired(cpu[load], index, 0, /)
    let added = (processor.minimum ?? 0) - (Samples(cpu[load][0]).minimum ?? 0)
    return [
      .text(contestants[index].name), .number(Samples(wall[load][index]).median, digits: 0),
      .number(processor.minimum, digits: 0), .number(processor.median, digits: 0), .number(added, 0),
      .number(paired(cpu[load], index, 0, -).median, digits: 0), .number(ratio.median, digits: 3),
      .text(quartiles(ratio)), .number(paired(wall[load], index, 0, /).median, digits: 3),
    ]
  }

  private func row(_ load: Int, _ index: Int) -> [Field] {
    let samples = Samples(wall[load][index])
    let processor = Samples(cpu[load][index])
    // Neighbours in time are compared with each other: what disturbs one batch disturbs the next as well. CPU time
    // leaves out what other processes took from this one.
    let overEmpty = paired(cpu[load], index, 1, /)
    let minimums = cpu[load].map { Samples($0).minimum ?? 0 }
    let (added, floor) = (minimums[index] - minimums[0], minimums[1] - minimums[0])
    let addedMedian = paired(cpu[load], index, 0, -).median ?? 0
    let floorMedian = paired(cpu[load], 1, 0, -).median ?? 0
    return [
      .text(contestants[index].name), .number(samples.minimum, digits: 0), .number(samples.median, digits: 0),
      .number(processor.minimum, digits: 0), .number(processor.median, digits: 0), .number(added, 0),
      .number(addedMedian, 0), index > 1 && floor > 0 ? .number(added / floor, 2) : .none,
      index > 1 && floorMedian > 0 ? .number(addedMedian / floorMedian, 2) : .none,
      .number(overEmpty.median, digits: 3), .text(quartiles(overEmpty)),
      .number(paired(cpu[load], index, 0, /).median, digits: 3),
    ]
  }

  private func quartiles(_ samples: Samples) -> String {
    "\(samples.lowerQuartile?.fixed(3) ?? "-")…\(samples.upperQuartile?.fixed(3) ?? "-")"
  }

  private func paired(
    _ times: [[Double]], _ index: Int, _ other: Int, _ compare: (Double, Double) -> Double
  ) -> Samples {
    Samples(zip(times[index], times[other]).map { compare($0, $1) })
  }
}
