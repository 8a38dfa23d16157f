// What a run found, as a table for people or JSON for programs.

internal import ArgumentParser
internal import Benchmark

/// How a report is printed.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
  case table, json, csv
}

/// Everything that one run found.
struct Report: Sendable {
  let benchmark: String
  let facts: [Fact]
  var settings: [(String, String)] = []
  var tables: [ReportTable] = []
  var notes: [String] = []
  /// What of it belongs to a whole run.
  var quantities: [Quantity] = []

  init(_ benchmark: String, settings: [(String, String)]) {
    self.benchmark = benchmark
    self.settings = settings
    facts = MachineFacts.read()
  }

  private var described: [(String, String)] { facts.map { ($0.name, $0.value) } + settings }

  /// Writes to standard output.
  func print(_ format: OutputFormat) {
    switch format {
    case .table:
      var text = "sallyport-bench \(benchmark)\n"
      for (key, value) in described { text += "  \(key): \(value)\n" }
      text += tables.map(\.shown).joined()
      if !notes.isEmpty { text += "\n" + notes.map { "note: \($0)\n" }.joined() }
      Swift.print(text, terminator: "")
    case .csv: Swift.print(tables.map(\.csv).joined(separator: "\n"), terminator: "")
    case .json:
      func object(_ fields: [(String, String)]) -> String {
        "{" + fields.map { "\($0.jsonQuoted):\($1.jsonQuoted)" }.joined(separator: ",") + "}"
      }
      Swift.print(
        "{\"benchmark\":\(benchmark.jsonQuoted),\"machine\":\(object(facts.map { ($0.name, $0.value) })),\"settings\":\(object(settings)),"
          + "\"tables\":[\(tables.map(\.json).joined(separator: ","))],"
          + "\"notes\":[\(notes.map(\.jsonQuoted).joined(separator: ","))]}")
    }
  }
}
